"""Coverage-guided fuzzing of one parser, by atheris (https://github.com/google/atheris).

    python fuzz_parsers.py NAME SECONDS FOLDER

The last line of the error stream is libFuzzer's: how many inputs were tried. An input that breaks
the promise of `parsers.Parser` ends it with exit code 77, and lies in FOLDER.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["energy", "pipeline", "steps", "yaml", "zipfile", "csv", "PIL", "numpy.lib"],
):
    from parsers import LONGEST_S, PARSERS

LARGEST_INPUT = 2000
"""Bytes. Larger ones find nothing that smaller ones do not, more slowly."""


def main(name: str, seconds: str, folder: Path) -> None:
    """Fuzz for so long."""
    parser = PARSERS[name]
    corpus, work = folder / "corpus", folder / "work"
    for path in (corpus, work):
        path.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate(parser.seeds):
        (corpus / str(place)).write_bytes(seed)
    file = work / f"file{parser.suffix}"

    def try_one(content: bytes) -> None:
        parser.tried(file, content)

    limits = [f"-max_total_time={seconds}", f"-max_len={LARGEST_INPUT}", f"-timeout={LONGEST_S:g}"]
    words = [*limits, "-rss_limit_mb=4096", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *words, str(corpus)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
