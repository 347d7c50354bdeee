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


@pytest.fixture
def search(store, monkeypatch, greenest, tmp_path):
    """Type a search of the small space: exit code, standard output, error output."""
    import epochs_as_energy
    from searches import SPACE, TRAINED

    epochs_as_energy.install(monkeypatch.setattr)
    space = tmp_path / "small.yaml"
    space.write_text(SPACE)

    def type_(*words: str) -> tuple[int, str, str]:
        return greenest("search", "--space", str(space), *TRAINED, *words)

    return type_
