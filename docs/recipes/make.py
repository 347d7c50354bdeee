"""Run what the recipes show, and put what comes of it into their pages.

    python docs/recipes/make.py --in FOLDER [--instead OLD=NEW ...] [PAGE ...]

Blocks marked ``sh`` and ``python`` run in FOLDER, one after the other; blocks marked ``bash`` are
for machines that are not here, and are left alone. A block marked ``text`` behind one that runs is
what that printed. Pictures that a page shows are drawn by it, in FOLDER, and copied beside it.

``ID`` stands for the run that was trained last, as it does for a reader. FOLDER holds the data that
a page tells its reader to get; ``--instead`` names others for a machine without a network, such as
``--instead openml:32=csv:pendigits.csv``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]*\]\(([\w.-]+)\)")
TRAINED = re.compile(r"^\s*run\s+([0-9a-f]{32})\b", re.MULTILINE)
RUN_ID = re.compile(r"\bID\b")

Run = Callable[[str, str], str]
"""Language and text of a block; what it printed."""


def pages() -> list[Path]:
    """The recipes in their order."""
    return sorted(HERE.glob("[0-9]-*.md"))


def blocks(page: str, *languages: str) -> list[str]:
    """Texts of the blocks of a page that are in one of these languages."""
    return [text for language, text in BLOCK.findall(page) if language in languages]


def pictures(page: str) -> list[str]:
    """Names of the pictures that a page shows."""
    return PICTURE.findall(page)


def instead_of(text: str, others: Mapping[str, str]) -> str:
    """The text with each of these put in the place of the other."""
    for old, new in others.items():
        text = text.replace(old, new)
    return text


def remade(page: str, run: Run, others: Mapping[str, str]) -> str:
    """Run the blocks of a page.

    Args:
        page: its Markdown.
        run: runs a block.
        others: what to run instead of parts of it.

    Returns:
        The page with what its blocks have printed now.
    """
    printed, run_id = "", ""

    def visit(block: re.Match[str]) -> str:
        nonlocal printed, run_id
        language, text = block.groups()
        if language in ("sh", "python"):
            printed = run(language, RUN_ID.sub(run_id or "ID", instead_of(text, others)))
            run_id = (TRAINED.findall(printed) or [run_id])[-1]
        elif language == "text":
            lines = (line.rstrip() for line in printed.strip("\n").splitlines())
            return "```text\n" + "".join(f"{line}\n" for line in lines) + "```"
        return block.group()

    return BLOCK.sub(visit, page)


def commands(text: str) -> Iterable[str]:
    """The commands of a block, each on one line; comments left out."""
    joined = text.replace("\\\n", " ")
    return (line for line in joined.splitlines() if line.strip() and not line.startswith("#"))


def in_processes(folder: Path) -> Run:
    """Runs blocks as a reader would, in that folder; stops where one fails."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": programs, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}

    def run(language: str, text: str) -> str:
        print(text, file=sys.stderr)
        words = {"sh": ["bash", "-e", "-c"], "python": [sys.executable, "-c"]}[language]
        done = subprocess.run(
            [*words, text],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(done.stdout, file=sys.stderr)
        return done.stdout

    return run


def set_up(folder: Path) -> None:
    """What the commands expect to find in a clone of this repository."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("spaces", "docs"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)


def chosen(numbers: Sequence[str]) -> list[Path]:
    """The pages of these numbers; all where there are none."""
    return [page for page in pages() if not numbers or page.name.split("-")[0] in numbers]


def main() -> None:
    """Make the pages anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="their numbers; default: all")
    parser.add_argument("--in", dest="folder", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--instead", action="append", default=[], metavar="OLD=NEW")
    options = parser.parse_args()
    others = dict(pair.rsplit("=", 1) for pair in options.instead)
    set_up(options.folder)
    run = in_processes(options.folder)
    for path in chosen(options.pages):
        page = remade(path.read_text(encoding="utf-8"), run, others)
        path.write_text(page, encoding="utf-8")
        for picture in pictures(page):
            shutil.copy(options.folder / picture, path.with_name(picture))


if __name__ == "__main__":
    main()
