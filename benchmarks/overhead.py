"""What a search costs beside its trainings, and whether it stays that way.

    python benchmarks/overhead.py [--quick] [--json FILE]

Two searches of 500 trials each, as typed by a user, of a network of 6 units on iris with SQLite as
the store: one of learning rates alone, all of which train in one graph, and one over
``spaces/greenest.yaml``, whose optimizers and activations each have a graph of their own.

*Beside training* is what a trial takes from the end of the one before to its own end, less its
training window: choosing, logging, saving the model, evaluating, learning, tidying up. Early are
the trials 10 to 59, late are the last 50.

*Memory* is what the process has for itself (``Pss_Anon`` of ``/proc/self/smaps_rollup``: pages of
files do not count), after each trial. Its growth is the slope from trial 50 on, by the median over
all pairs (Theil 1950, Sen 1968), of which single steps of the allocator are no part. A search keeps
what it knows of each trial, and MLflow a handle of each of its last thousand stores: some 30 kB.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import psutil  # noqa: E402
from _rows import Row, arguments, report, row  # noqa: E402
from scipy.stats import theilslopes  # noqa: E402

if TYPE_CHECKING:
    from pipeline.search.loop import Search
    from pipeline.tracking.search_log import Child

TRIALS, QUICK_TRIALS = 500, 80
EARLY, WINDOW = 10, 50
"""The first trials warm the process up."""

LONGEST_S, MOST_SLOWER = 0.5, 1.25
MOST_GROWTH = 0.1
"""Of what the process had at first, over all trials."""

RATES = """
purpose: Of no two trials the same.
parameters:
  lr: {low: 0.001, high: 0.1, log: true}
"""
SPACES = {
    "one graph": RATES,
    "many graphs": (ROOT / "spaces" / "greenest.yaml").read_text(encoding="utf-8"),
}
TRAINED = (
    *("--dataset", "iris", "--hidden", "6", "--max-epochs", "6", "--target-accuracy", "0.5"),
    *("--patience", "2", "--repeats", "1", "--carbon-intensity", "0"),
)


@dataclass(frozen=True)
class Sight:
    """What was seen of the process of a search, just after a trial.

    Attributes:
        beside_s: seconds of the trial that were not training.
        cpu_s: of all that the trial did, training included.
        memory_kb: of its own.
        files: handles that are open.
        threads: of Python and of the libraries.
    """

    beside_s: float
    cpu_s: float
    memory_kb: int
    files: int
    threads: int


def watched(space: str, trials: int, folder: Path) -> list[Sight]:
    """Search in a fresh process, and watch it.

    Args:
        space: YAML.
        trials: how many.
        folder: empty, for the store and all else that a search leaves.
    """
    (folder / "space.yaml").write_text(space, encoding="utf-8")
    environment = {name: told for name, told in os.environ.items() if "MLFLOW" not in name}
    done = subprocess.run(
        [sys.executable, __file__, "--watched", str(trials)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    lines = (folder / "sights.jsonl").read_text(encoding="utf-8").splitlines()
    return [Sight(**json.loads(line)) for line in lines]


def watch(trials: str) -> None:
    """The process that is watched: a search in the working folder, a line per trial."""
    from pipeline import terminal
    from pipeline.__main__ import cli
    from pipeline.search.view import SearchView

    process = psutil.Process()
    ended_at, cpu_before_s = time.perf_counter(), time.process_time()
    update = SearchView.update

    def seen(self: SearchView, child: "Child", search: "Search") -> None:
        nonlocal ended_at, cpu_before_s
        update(self, child, search)
        sight = Sight(
            beside_s=time.perf_counter() - ended_at - child.run.metrics["time_spent_s"],
            cpu_s=time.process_time() - cpu_before_s,
            memory_kb=own_memory_kb(),
            files=process.num_fds(),
            threads=process.num_threads(),
        )
        with Path("sights.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sight)) + "\n")
        ended_at, cpu_before_s = time.perf_counter(), time.process_time()

    SearchView.update = seen  # type: ignore[method-assign]
    sys.argv[1:] = ["search", "--space", "space.yaml", "--trials", trials, *TRAINED]
    terminal.main(cli, "python -m pipeline")


def own_memory_kb() -> int:
    """Of this process, pages of files left out."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))


def growth_kb(sights: Sequence[Sight]) -> tuple[float, float, float]:
    """Of the memory per trial, with its 95 % interval."""
    slope, _, low, high = theilslopes([sight.memory_kb for sight in sights])
    return float(slope), float(low), float(high)


def rows(name: str, sights: Sequence[Sight]) -> Iterator[Row]:
    """What was seen of one search."""
    early = [sight.beside_s for sight in sights[EARLY : EARLY + WINDOW]]
    late = [sight.beside_s for sight in sights[-WINDOW:]]
    after = f"{name}, {len(sights)} trials"
    yield row(f"{after}: beside training, early", early, "s", at_most=LONGEST_S)
    yield row(f"{after}: beside training, late", late, "s", at_most=LONGEST_S)
    slower = float(np.median(late) / np.median(early))
    yield row(f"{after}: late against early", [slower], "x", at_most=MOST_SLOWER)
    settled = sights[min(WINDOW, len(sights) // 2) :]
    growth, low, high = growth_kb(settled)
    yield Row(f"{after}: memory, growth per trial", growth, "kB", low, high)
    grown = growth * len(settled) / settled[0].memory_kb
    yield row(f"{after}: memory, growth over all", [grown], "x", at_most=MOST_GROWTH)
    for what in ("files", "threads"):
        more = [getattr(sights[-1], what) - getattr(settled[0], what)]
        yield row(f"{after}: {what}, more at the end", more, "", at_most=0)


def main() -> None:
    """Search, and print what was seen."""
    if sys.argv[1:2] == ["--watched"]:
        watch(sys.argv[2])
        return
    options = arguments(__doc__.partition("\n")[0])
    trials = QUICK_TRIALS if options.quick else TRIALS
    seen: list[Row] = []
    for name, space in SPACES.items():
        with tempfile.TemporaryDirectory() as folder:
            seen += rows(name, watched(space, trials, Path(folder)))
    report(seen, options.json)


if __name__ == "__main__":
    main()
