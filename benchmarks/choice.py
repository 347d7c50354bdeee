"""How often the choice is right: simulated experiments of which the truth is known.

    python benchmarks/choice.py [--quick] [--json FILE]

Each experiment is made of runs as the pipeline records them, ranked by `pipeline.choice` as
`compare` ranks them: 2,000 per scenario, three seeds per configuration and a coefficient of
variation of 0.2 unless the scenario says otherwise.

**True** is the arithmetic mean that a configuration's cost is drawn around. *Covered* are the true
costs that lie in the interval: of every configuration, and of the winner, whose mean is too low
because it won. *Wrong winner*: one is named the greenest alone, and it is not; where several are
truly equal, naming any of them is wrong. *Lost*: the truly greenest is neither named nor among the
tied.

The scenarios under `BEYOND` break what the intervals assume, to show how far they bend, and have no
goal: noise that is not lognormal, or differs between configurations; a search, which repeats only
those that were lucky at first; and configurations that may miss the target, where those that never
did pass for ones that never will, and win by that.

Intervals of the shares are Wilson's (1927, "Probable Inference"), 95 %. A goal is missed where all
of that interval lies outside of it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
from _rows import Row, arguments, report  # noqa: E402
from scipy.stats import binomtest  # noqa: E402

from pipeline.choice import Choice, Noise, choose  # noqa: E402
from pipeline.choice.verdict import repeats_to_decide  # noqa: E402
from pipeline.tracking import RecordedRun  # noqa: E402
from steps.outcome import Outcome  # noqa: E402

EXPERIMENTS, QUICK_EXPERIMENTS = 2000, 100
VARIATION = 0.2
MISS = 3.0
METRIC = "energy_to_accuracy_j"

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, Floats, int], Floats]
"""Costs of some repeats, shape (configurations, repeats), around true means."""


def lognormal(generator: np.random.Generator, true: Floats, repeats: int) -> Floats:
    return _lognormal(generator, true, repeats, np.full(len(true), VARIATION))


def wide_lognormal(generator: np.random.Generator, true: Floats, repeats: int) -> Floats:
    return _lognormal(generator, true, repeats, np.full(len(true), 1.0))


def lognormal_of_many_widths(generator: np.random.Generator, true: Floats, repeats: int) -> Floats:
    widths = VARIATION * np.exp(0.5 * generator.standard_normal(len(true)))
    return _lognormal(generator, true, repeats, widths)


def gamma(generator: np.random.Generator, true: Floats, repeats: int) -> Floats:
    shape = VARIATION**-2
    return true[:, None] * generator.gamma(shape, 1 / shape, (len(true), repeats))


def normal(generator: np.random.Generator, true: Floats, repeats: int) -> Floats:
    factors = 1 + VARIATION * generator.standard_normal((len(true), repeats))
    return true[:, None] * np.maximum(factors, 0.05)


def _lognormal(
    generator: np.random.Generator, true: Floats, repeats: int, variations: Floats
) -> Floats:
    variances = np.log1p(variations**2)[:, None]
    noise = generator.standard_normal((len(true), repeats))
    return true[:, None] * np.exp(np.sqrt(variances) * noise - variances / 2)


@dataclass(frozen=True)
class Scenario:
    """A kind of experiment.

    Attributes:
        name: in the table.
        true_j: true cost of each configuration.
        repeats: seeds of each configuration, or of all.
        draw: the noise.
        leaders: where not 0, a search: all have one seed, and so many leaders get two more.
        success: chance of a repeat to reach its target; a miss takes `MISS` times the cost.
    """

    name: str
    true_j: Sequence[float]
    repeats: int | Sequence[int] = 3
    draw: Draw = lognormal
    leaders: int = 0
    success: float = 1.0

    @property
    def truth(self) -> list[float]:
        """What it takes each configuration to reach the target once."""
        misses = (1 - self.success) / self.success
        return [cost * (1 + MISS * misses) for cost in self.true_j]

    @property
    def min_success(self) -> float:
        """What `compare` is asked for."""
        return 1.0 if self.success == 1 else 0.5


@dataclass(frozen=True)
class Tally:
    """What came of the experiments of a scenario.

    Attributes:
        covered: by configuration and experiment, whether its interval holds the true cost.
        winner_covered: by experiment, the same of the winner's.
        named: whether the first was named alone.
        wrong: whether it was, and is not the greenest alone.
        lost: whether the greenest is neither named nor among the tied.
    """

    covered: list[bool] = field(default_factory=list)
    winner_covered: list[bool] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)


def tally(scenario: Scenario, experiments: int, seed: int = 0) -> Tally:
    """Simulate experiments, and judge each answer by the truth."""
    generator = np.random.default_rng(seed)
    told = Tally()
    for _ in range(experiments):
        runs = list(
            _searched(scenario, generator) if scenario.leaders else _all(scenario, generator)
        )
        _judge(choose(runs, "energy", min_success=scenario.min_success), scenario, told)
    return told


def _judge(choice: Choice, scenario: Scenario, told: Tally) -> None:
    if not choice.ranking:
        return
    true = {config_id(place): cost for place, cost in enumerate(scenario.truth)}
    best = {name for name, cost in true.items() if cost == min(true.values())}
    intervals = {ranked.config_id: ranked.intervals[METRIC] for ranked in choice.ranking}
    hits = [
        interval.low <= true[name] <= interval.high
        for name, interval in intervals.items()
        if interval.low is not None and interval.high is not None
    ]
    first, *others = intervals
    is_named = choice.tied_with == () and bool(others)
    among = {first, *(other.config_id for other in choice.tied_with or ())}
    told.covered.extend(hits)
    told.winner_covered.append(hits[0])
    told.named.append(is_named)
    told.wrong.append(is_named and best != {first})
    told.lost.append(not is_named and not best & among)


def _all(scenario: Scenario, generator: np.random.Generator) -> Iterator[RecordedRun]:
    true = np.asarray(scenario.true_j, dtype=float)
    repeats = np.broadcast_to(scenario.repeats, true.shape)
    costs = scenario.draw(generator, true, int(repeats.max()))
    reached = generator.random(costs.shape) < scenario.success
    for place, seeds in enumerate(repeats):
        for seed in range(seeds):
            yield run_of(place, seed, costs[place, seed], reached=bool(reached[place, seed]))


def _searched(scenario: Scenario, generator: np.random.Generator) -> Iterator[RecordedRun]:
    """What a search ranks: its leaders by one seed, with two more."""
    true = np.asarray(scenario.true_j, dtype=float)
    costs = scenario.draw(generator, true, 3)
    for place in np.argsort(costs[:, 0])[: scenario.leaders].tolist():
        for seed, cost in enumerate(costs[place]):
            yield run_of(place, seed, cost)


def config_id(place: int) -> str:
    return f"c{place}"


def run_of(place: int, seed: int, cost: float, *, reached: bool = True) -> RecordedRun:
    """A run as `comparable` lets it through."""
    spent = {"energy_spent_j": cost if reached else MISS * cost}
    return RecordedRun(
        run_id=f"{config_id(place)}-{seed}",
        name=f"{config_id(place)}-s{seed}",
        status="FINISHED",
        started_at_ms=0,
        parameters={"seed": str(seed)},
        metrics=spent | ({METRIC: cost} if reached else {}),
        tags={
            "config_id": config_id(place),
            "outcome": Outcome.REACHED if reached else Outcome.BUDGET_EXHAUSTED,
        },
    )


def share_decided(ratio: float, seeds: int, experiments: int, seed: int = 0) -> list[bool]:
    """Whether experiments of two configurations, of costs in that ratio, name the right one."""
    told = tally(Scenario("", (1.0, ratio), seeds), experiments, seed)
    return [named and not wrong for named, wrong in zip(told.named, told.wrong, strict=True)]


def needed_for(ratio: float, seeds: int) -> int | None:
    """What `repeats_to_decide` says where the noise is known and the difference is the true one."""
    spread = float(np.sqrt(np.log1p(VARIATION**2)))
    noise = Noise(spread, 2 * (seeds - 1))
    first, other = (noise.estimate([cost] * seeds) for cost in (1.0, ratio))
    return repeats_to_decide(first, [other])


def twenty(steps: Callable[[int], float]) -> tuple[float, ...]:
    return tuple(steps(place) for place in range(20))


WITHIN = (
    Scenario("2, equal", (1.0, 1.0)),
    Scenario("2, 5 % apart", (1.0, 1.05)),
    Scenario("2, 50 % apart", (1.0, 1.5)),
    Scenario("5, 5 % apart each", tuple(1.05**place for place in range(5))),
    Scenario("20, equal", (1.0,) * 20),
    Scenario("20, 2 equal and the others far", (1.0, 1.0) + (5.0,) * 18),
    Scenario("20, first 30 % ahead", (1.0,) + (1.3,) * 19),
    Scenario("20, 5 % apart each", twenty(lambda place: 1.05**place)),
    Scenario("20, 20 % apart each", twenty(lambda place: 1.2**place)),
    Scenario("20, 3 seeds or 1", twenty(lambda place: 1.05**place), (3, 1) * 10),
)
BEYOND = (
    Scenario("20 equal, gamma noise", (1.0,) * 20, draw=gamma),
    Scenario("20 equal, normal noise", (1.0,) * 20, draw=normal),
    Scenario("20 equal, variation 1", (1.0,) * 20, draw=wide_lognormal),
    Scenario("20 equal, variation 0.1 to 0.4", (1.0,) * 20, draw=lognormal_of_many_widths),
    Scenario("5 leaders of 40, 5 % apart", tuple(1.05**place for place in range(40)), leaders=5),
    Scenario("5 with misses, 10 seeds", tuple(1.1**place for place in range(5)), 10, success=0.8),
)


def rows_of(scenario: Scenario, experiments: int, *, has_goal: bool) -> Iterator[Row]:
    told = tally(scenario, experiments)
    between = (0.93, 0.97) if has_goal else None
    at_most = (0.0, 0.05) if has_goal else None
    yield share(f"{scenario.name}: covered", told.covered, between)
    yield share(f"{scenario.name}: winner covered", told.winner_covered, between)
    yield share(f"{scenario.name}: wrong winner named", told.wrong, at_most)
    yield share(f"{scenario.name}: greenest lost", told.lost, at_most)
    yield share(f"{scenario.name}: named at all", told.named, None)


def share(name: str, hits: Sequence[bool], goal: tuple[float, float] | None) -> Row:
    """A share in percent, with its interval."""
    test = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    value = sum(hits) / len(hits)
    low, high = 100 * float(test.low), 100 * float(test.high)
    if goal is None:
        return Row(name, 100 * value, "%", low, high)
    holds = low <= 100 * goal[1] and high >= 100 * goal[0]
    return Row(name, 100 * value, "%", low, high, f"{100 * goal[0]:g} to {100 * goal[1]:g}", holds)


def main() -> None:
    options = arguments(__doc__)
    experiments = QUICK_EXPERIMENTS if options.quick else EXPERIMENTS
    rows: list[Row] = []
    for scenarios, has_goal in ((WITHIN, True), (BEYOND, False)):
        for scenario in scenarios:
            rows += rows_of(scenario, experiments, has_goal=has_goal)
    for ratio in (1.2, 1.5):
        more = needed_for(ratio, 3)
        if more is not None:
            decided = share_decided(ratio, 3 + more, experiments)
            name = f"2, {ratio:g} times apart: decided by {more} more seeds each"
            rows.append(share(name, decided, (0.75, 0.85)))
    report(rows, options.json)


if __name__ == "__main__":
    main()
