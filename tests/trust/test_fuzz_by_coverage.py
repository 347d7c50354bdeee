"""The parsers, fuzzed by what of them an input reaches. Only where atheris is installed."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from extent import LONG, TALLY
from parsers import PARSERS

SECONDS = os.environ.get("TRUST_FUZZ_SECONDS", "20")
"""For each parser."""

pytestmark = [
    pytest.mark.skipif(not LONG, reason="takes minutes: TRUST=long"),
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None, reason="needs `pip install atheris`"
    ),
]


@pytest.mark.parametrize("name", PARSERS)
def test_no_input_that_reaches_another_line_breaks_the_promise(name, tmp_path, project):
    searched = [str(project), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("fuzz_parsers.py"))),
            *(name, SECONDS, str(tmp_path)),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(searched)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    tried = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    TALLY["inputs tried"] += int(tried[1]) if tried else 0
    assert done.returncode == 0, done.stderr[-5000:]
    assert tried
