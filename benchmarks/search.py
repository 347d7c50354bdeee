"""Which search gets close to the greenest configuration on the least energy.

    python benchmarks/search.py [--quick] [--json FILE] [--live]
    python benchmarks/search.py --make-tables | --measure-tables

**Replayed** are searches on two tables, each of 180 configurations x 5 seeds of one small network,
trained to their target or for 500 epochs, as a run is where nothing else was typed (`tables.make`;
``--make-tables`` trains them anew, which takes half an hour, and ``--measure-tables`` measures
their energies anew, which takes minutes). Sampler and pruning are the project's own code; a
training is looked up, epoch by epoch. So nothing that a search does beside training is in the
joules: no sampling, logging, saving or evaluating.

*Cost* of a training: joules of compiling its graphs plus its epochs times the joules of one, each
a median over all that should cost the same (see `tables.replay.Table.load`). Accuracies are those
of the very training, so the noise between seeds is in the replay; that between two measurements of
one training is not. As in a search, a configuration is charged for its graphs whether or not an
earlier trial compiled them, but the search pays for them once. A network so small costs several
times more to compile than to train, which makes configurations look alike: the replays ``epochs
alone`` leave compiling out, which is the harder question, and the one of larger trainings. A sweep
spends most on what never gets there: how much depends on the epochs after which that ends, so both
tables are asked with 100 of them, too.

*There*: true is the mean cost over the five seeds, infinite if one of them missed. All trials of a
replay have the same seed, as in a search, so the cheapest may have been lucky; that is why a search
trains its five leaders again before it names one. A replay is there once one of its five leaders is
truly within 20 % of the greenest; "by one run" tells how many were never there with the cheapest
alone. Whether the right winner is named after 40 trials and two more seeds of each leader has rows
of its own; three of the five seeds that say what is true are then known to the search.

A replay that was never there counts with all it spent in 100 trials: it would have taken more.
Intervals hold 95 %: of means by the bootstrap (Efron 1979, "Bootstrap Methods: Another Look at the
Jackknife"), of shares by Wilson's (1927, "Probable Inference").

**Live** (``--live``): ``python -m pipeline search`` as it comes, and with ``--sampler random
--pruning none``, in turns, in folders of their own. Their energies are those of their bills. What
their trainings took is held against what replays of as many trials say of two such searches.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from _rows import Row, in_turns  # noqa: E402
from scipy.stats import binomtest  # noqa: E402
from tables.replay import SPACE, TABLES, Replay, Table, confirmed, replay  # noqa: E402

from pipeline.search.pruning import PRUNINGS  # noqa: E402
from pipeline.search.sampling import SAMPLERS  # noqa: E402
from steps.errors import InputError  # noqa: E402

DATASETS = ("digits", "breast_cancer")
TRIALS = 100
SEARCH_TRIALS, LEADERS, REPEATS = 40, 5, 3
"""What `python -m pipeline search` does where nothing else was typed."""

REPLAYS, QUICK_REPLAYS = 40, 5
NEAR, NEARER = 1.2, 1.05
"""Times the true cost of the greenest."""

GOAL = 0.10
"""Of the energy of 100 random full runs."""

FEW_EPOCHS = 100
"""Less than a run has where nothing else was typed: a sweep by someone who knows its trainings."""

LIVE_TURNS = 3
PROCESSES = 2
DRAWS = 2000

Policy = tuple[str, str]
"""Sampler and pruning."""

DEFAULT: Policy = ("tpe", "cap")
SWEEP: Policy = ("random", "none")

ENOUGH_AFTER = {SWEEP: TRIALS, DEFAULT: SEARCH_TRIALS}
"""Trials to replay even if the greenest was found before."""


@dataclass(frozen=True)
class Question:
    """On which table, whether compiling costs anything, and when hopeless trainings end."""

    dataset: str
    compiling: bool = True
    max_epochs: int | None = None

    def __str__(self) -> str:
        counted = "compiling included" if self.compiling else "epochs alone"
        ends = "" if self.max_epochs is None else f", at most {self.max_epochs} epochs"
        return f"{self.dataset}, {counted}{ends}"


QUESTIONS = [
    *(Question(dataset) for dataset in DATASETS),
    *(Question(dataset, compiling=False) for dataset in DATASETS),
    *(Question(dataset, max_epochs=FEW_EPOCHS) for dataset in DATASETS),
]
LIVE = QUESTIONS[0]


@cache
def table_of(question: Question) -> Table:
    return Table.load(
        TABLES / f"{question.dataset}.npz",
        compiling=question.compiling,
        max_epochs=question.max_epochs,
    )


def policies() -> list[Policy]:
    """All that can be had here, the sweep first."""
    had: list[Policy] = []
    for sampler in SAMPLERS:
        try:
            replay(table_of(LIVE), sampler, "none", 0, trials=0)
        except InputError as error:
            print(f"left out: {error}")
        else:
            had += [(sampler, pruning) for pruning in PRUNINGS]
    return sorted(had, key=lambda policy: policy != SWEEP)


def replay_one(task: tuple[Question, Policy, int]) -> Replay:
    question, policy, number = task
    enough_after = ENOUGH_AFTER.get(policy, 0)
    return replay(table_of(question), *policy, number, TRIALS, NEARER, enough_after)


def replays_of(
    question: Question, chosen: Sequence[Policy], most: int
) -> dict[Policy, list[Replay]]:
    tasks = [
        (question, policy, number)
        for policy in chosen
        for number in range(1 if policy[0] == "grid" else most)  # a grid is always the same
    ]
    results: dict[Policy, list[Replay]] = {policy: [] for policy in chosen}
    with ProcessPoolExecutor(PROCESSES) as pool:
        for (_, policy, _), each in zip(tasks, pool.map(replay_one, tasks), strict=True):
            results[policy].append(each)
    return results


def answer(question: Question, replays: Mapping[Policy, Sequence[Replay]]) -> list[Row]:
    """Print what the replays of one question say; return that as rows."""
    print(f"\n{described(question)}")
    print(" " * 23, *(f"{f'to within {factor - 1:.0%}':52}" for factor in (NEAR, NEARER)))
    print(" " * 23, *[f"{'x greenest (95 %)':22} {'share':8} missed by one run   "] * 2)
    sweep_j = float(np.mean([each.spent_j[-1] for each in replays[SWEEP]]))
    rows: list[Row] = []
    for policy, of_policy in replays.items():
        cells = []
        for factor in (NEAR, NEARER):
            cost, share, missed, by_one_run = rows_of(question, policy, of_policy, sweep_j, factor)
            rows += [cost, share, missed, by_one_run]
            spread = f"{cost.value:6.1f} ({cost.low:.1f} .. {cost.high:.1f})"
            cells.append(
                f"{spread:22} {share.value:<8.3f} {missed.value:6.0%} {by_one_run.value:10.0%}"
            )
        print(f"{' '.join(policy):19} {len(of_policy):3}", "   ".join(cells), flush=True)
    return rows + winners(question, replays[DEFAULT])


def described(question: Question) -> str:
    table = table_of(question)
    above = table.above_best
    outcomes = ", ".join(f"{n} {name}" for name, n in Counter(table.outcomes.ravel()).items())
    return (
        f"{question}: {len(table.points)} configurations x {table.seeds} seeds ({outcomes}); "
        f"{np.isfinite(above).sum()} configurations always reach the target, "
        f"{(above <= NEAR).sum()} are within {NEAR - 1:.0%} and {(above <= NEARER).sum()} within "
        f"{NEARER - 1:.0%} of the greenest, {table.points[int(above.argmin())]}"
    )


def rows_of(
    question: Question, policy: Policy, replays: Sequence[Replay], sweep_j: float, factor: float
) -> tuple[Row, Row, Row, Row]:
    """What a policy spent until it was there, and how often it never was.

    Args:
        question: that was replayed.
        policy: of the searches.
        replays: of them.
        sweep_j: mean energy of 100 random full runs.
        factor: of the true cost of the greenest.

    Returns:
        Mean in units of what the greenest costs, its share of `sweep_j`, share of the replays that
        were never there, and of those that never were by one run.
    """
    until = [each.until(factor, LEADERS) for each in replays]
    spent_j = np.array(
        [each.spent_j[-1] if at is None else at for each, at in zip(replays, until, strict=True)]
    )
    greenest_j = float(table_of(question).cost_j.mean(axis=1).min())
    name = f"{question}: {' '.join(policy)}, to within {factor - 1:.0%}"
    is_goal = policy == DEFAULT and factor == NEAR and question.max_epochs is None
    missed = [at is None for at in until]
    by_one_run = [each.until(factor, leaders=1) is None for each in replays]
    return (
        mean(name, spent_j / greenest_j, "x greenest"),
        mean(f"{name}: share of sweep", spent_j / sweep_j, "", at_most=GOAL if is_goal else None),
        share(f"{name}: missed", missed, at_most=0.0 if is_goal else None),
        share(f"{name}: missed by one run", by_one_run),
    )


def winners(question: Question, replays: Sequence[Replay]) -> list[Row]:
    """How often the default search names one that truly is within 20 %."""
    table = table_of(question)
    name = f"{question}: winner of {SEARCH_TRIALS} trials truly within {NEAR - 1:.0%}"

    def right(leaders: int, repeats: int) -> list[bool]:
        return [
            confirmed(table, each, number, SEARCH_TRIALS, leaders, repeats) <= NEAR
            for number, each in enumerate(replays)
        ]

    return [
        share(f"{name}, by one run", right(1, 1)),
        share(f"{name}, {LEADERS} x {REPEATS} runs", right(LEADERS, REPEATS)),
    ]


def mean(
    name: str, samples: npt.NDArray[np.float64], unit: str, at_most: float | None = None
) -> Row:
    draws = np.random.default_rng(0).choice(samples, (DRAWS, len(samples))).mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975)).tolist()
    return bounded(Row(name, float(samples.mean()), unit, low, high), at_most)


def share(name: str, samples: Sequence[bool], at_most: float | None = None) -> Row:
    found = binomtest(sum(samples), len(samples))
    ends = found.proportion_ci(method="wilson")
    value = float(found.statistic)
    return bounded(Row(name, value, "", float(ends.low), float(ends.high)), at_most)


def bounded(row: Row, at_most: float | None) -> Row:
    if at_most is None:
        return row
    return Row(
        row.name, row.value, row.unit, row.low, row.high, f"<= {at_most:g}", row.value <= at_most
    )


def live(replays: Mapping[Policy, Sequence[Replay]]) -> list[Row]:
    """Both searches for real, in turns; what their trainings took against the replays."""
    bills = in_turns(
        {"default": lambda: bill(), "sweep": lambda: bill("--sampler=random", "--pruning=none")},
        LIVE_TURNS,
    )
    pairs = list(zip(bills["default"], bills["sweep"], strict=True))
    last = SEARCH_TRIALS - 1
    replayed = [
        default.spent_j[last] / sweep.spent_j[last]
        for default in replays[DEFAULT]
        for sweep in replays[SWEEP]
    ]
    low, high = np.quantile(replayed, (0.025, 0.975)).tolist()
    name = f"live, {LIVE.dataset}, {SEARCH_TRIALS} trials: default / random none"
    trainings = mean(f"{name}, trainings", quotients(pairs, "trainings"), "x")
    goal, holds = f"replayed, {low:.2f} .. {high:.2f}", low <= trainings.value <= high
    return [
        Row(*(asdict(trainings) | {"goal": goal, "holds": holds}).values()),
        mean(f"{name}, all that the searches did", quotients(pairs, "search"), "x"),
        mean(f"{name}, cost of the winner", quotients(pairs, "winner"), "x"),
    ]


def quotients(
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], part: str
) -> npt.NDArray[np.float64]:
    return np.array([over[part] / under[part] for over, under in pairs])


def bill(*options: str) -> dict[str, float]:
    """Search for real; joules of all its trainings, of all that it did, and of its winner."""
    from mlflow import MlflowClient

    fixed = table_of(LIVE).fixed
    words = [f"--{name.replace('_', '-')}={text}" for name, text in fixed.items()]
    given = [f"--space={SPACE}", f"--trials={SEARCH_TRIALS}", "--repeats=1", "--carbon-intensity=0"]
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder, 'mlflow.db')}"
        subprocess.run(
            [sys.executable, "-m", "pipeline", "search", *given, *words, *options],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": store},
            check=True,
        )
        client = MlflowClient(store)
        experiments = [each.experiment_id for each in client.search_experiments()]
        (search,) = client.search_runs(experiments, "metrics.search_energy_j > 0")
    metrics = search.data.metrics
    by_outcome = (name for name in metrics if name.startswith("energy_") and name.endswith("_j"))
    return {
        "trainings": sum(metrics[name] for name in by_outcome),
        "search": metrics["search_energy_j"],
        "winner": metrics["greenest_cost"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, too")
    parser.add_argument("--live", action="store_true", help="search for real, too: minutes")
    parser.add_argument("--make-tables", action="store_true", help="train the tables: minutes")
    parser.add_argument("--measure-tables", action="store_true", help="their joules: minutes")
    options = parser.parse_args()
    if options.make_tables or options.measure_tables:
        from tables.make import make_tables, measure_tables

        make_tables() if options.make_tables else measure_tables()
        return
    chosen = [SWEEP, DEFAULT] if options.quick else policies()
    most = QUICK_REPLAYS if options.quick else REPLAYS
    rows: list[Row] = []
    for question in QUESTIONS:
        replays = replays_of(question, chosen, most)
        rows += answer(question, replays)
        if question == LIVE and options.live:
            rows += live(replays)
    print()
    for each in rows:
        if each.goal or "winner" in each.name or each.name.startswith("live"):
            held = f"; goal {each.goal}: {'holds' if each.holds else 'MISSED'}" if each.goal else ""
            print(f"{each.name}: {each.value:.3g} ({each.low:.3g} .. {each.high:.3g}){held}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
