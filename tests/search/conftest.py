import textwrap

import pytest

from pipeline.search.space import Space


@pytest.fixture
def space(tmp_path):
    """The space of some lines of YAML, as a file of this test's own."""

    def load(text: str) -> Space:
        path = tmp_path / "space.yaml"
        path.write_bytes(textwrap.dedent(text).lstrip("\n").encode())
        return Space.load(path)

    return load


@pytest.fixture
def shipped(project):
    return lambda name: Space.load(project / "spaces" / f"{name}.yaml")
