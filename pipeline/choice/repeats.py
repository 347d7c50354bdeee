"""The repeats of one configuration: who counts, and what each took."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice.comparable import Excluded
from pipeline.choice.noise import Estimate, Noise, Scale, estimate_per_success
from pipeline.choice.objectives import Objective
from pipeline.tags import CONFIRMATION, PARENT, ROLE, TRIAL
from pipeline.units import joules
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


@dataclass(frozen=True)
class Repeat:
    """The runs of one seed.

    They count as one, of their mean figure: the same seed takes the same epochs again, and hides
    what another one would.

    Attributes:
        runs: at least one.
        reached: the share of them that reached the target.
    """

    runs: tuple["RecordedRun", ...]
    reached: float


def repeats_of(runs: Iterable["RecordedRun"]) -> tuple[Repeat, ...]:
    """The repeats of a configuration; a run without a seed is one of its own."""
    by_seed: dict[str, list[RecordedRun]] = {}
    for run in runs:
        by_seed.setdefault(seed_of(run), []).append(run)
    return tuple(
        Repeat(tuple(same), sum(map(has_reached, same)) / len(same)) for same in by_seed.values()
    )


def share_reached(repeats: Sequence[Repeat]) -> float:
    """Of the repeats, how many reached the target."""
    return sum(repeat.reached for repeat in repeats) / len(repeats)


def seed_of(run: "RecordedRun") -> str:
    """What tells a repeat from another."""
    return run.parameters.get("seed", run.run_id)


def has_reached(run: "RecordedRun") -> bool:
    """Whether a run got to its target."""
    return run.tags.get("outcome") == Outcome.REACHED


@dataclass(frozen=True)
class Figures:
    """What the repeats of a configuration took of an objective.

    Attributes:
        values: one per repeat that has it.
        reached: for each of them, the share of its runs that reached the target.
    """

    values: tuple[float, ...]
    reached: tuple[float, ...]

    @classmethod
    def of(cls, repeats: Iterable[Repeat], objective: Objective) -> "Figures | None":
        """None where a run lacks the figure, or none has it."""
        values, reached = [], []
        for repeat in repeats:
            runs = repeat.runs if objective.spent else tuple(filter(has_reached, repeat.runs))
            if not runs:
                continue
            total = 0.0
            for run in runs:
                value = objective.of(run)
                if value is None:
                    return None
                total += value
            values.append(total / len(runs))
            reached.append(repeat.reached if objective.spent else 1.0)
        return cls(tuple(values), tuple(reached)) if values else None

    @property
    def all_reached(self) -> bool:
        """Whether no repeat missed the target."""
        return min(self.reached) == 1

    def estimate(self, noise: Noise, scale: Scale) -> Estimate:
        """Of the true mean, which is per success where some repeats missed."""
        if self.all_reached:
            return noise.estimate(self.values, scale)
        return estimate_per_success(self.values, self.reached)


def that_count(
    runs: Sequence["RecordedRun"], min_success: float
) -> tuple[tuple[Repeat, ...], list[Excluded]]:
    """The repeats of a configuration that is to be ranked; all are excluded if it is not.

    Args:
        runs: all of one configuration.
        min_success: the share of repeats that must have reached the target.
    """
    capped = [run for run in runs if run.tags["outcome"] == Outcome.CAPPED]
    to_the_end = [run for run in runs if run.tags["outcome"] != Outcome.CAPPED]
    settled = {seed_of(run) for run in to_the_end} if capped else set()
    # What the same seed takes in the end is known, and no bound is needed.
    excluded = [
        Excluded(run, "given up by its search, and trained to an end by another run")
        for run in capped
        if seed_of(run) in settled
    ]
    bounds = [run for run in capped if seed_of(run) not in settled]
    if bounds:
        excluded += [Excluded(run, _bound(run)) for run in bounds]
        why = "another repeat of its configuration was given up (CAPPED)"
        return (), [*excluded, *(Excluded(run, why) for run in to_the_end)]
    repeats = repeats_of(to_the_end)
    # Shares of repeats are sums of fractions: 0.1 + 0.2 is not quite 0.3.
    if share_reached(repeats) < min_success - 1e-9:
        excluded += [Excluded(run, _missed(run, min_success)) for run in to_the_end]
        return (), excluded
    return repeats, excluded


def tried_once(candidates: Mapping[str, Sequence[Repeat]]) -> set[str]:
    """The configurations that a search tried with one seed while it trained others again.

    The cheapest of many single runs was lucky: it is no rival to a mean over repeats.
    """
    searches = {
        run.tags[PARENT]
        for repeats in candidates.values()
        if len(repeats) > 1
        for repeat in repeats
        for run in repeat.runs
        if run.tags.get(ROLE) == CONFIRMATION and PARENT in run.tags
    }
    return {
        config_id
        for config_id, repeats in candidates.items()
        if len(repeats) == 1
        and all(
            run.tags.get(ROLE) == TRIAL and run.tags.get(PARENT) in searches
            for run in repeats[0].runs
        )
    }


def _bound(run: "RecordedRun") -> str:
    spent = run.metrics.get("energy_spent_j")
    known = "" if spent is None else f" after {joules(spent)}"
    return f"given up by its search{known} (CAPPED): a bound, which is never ranked"


def _missed(run: "RecordedRun", min_success: float) -> str:
    if has_reached(run):
        few = "" if min_success == 1 else f" too often for --min-success {min_success:g}"
        return f"another repeat of its configuration missed the target{few}"
    ended = run.metrics.get("val_accuracy")
    told = "" if ended is None else f", validation accuracy ended at {ended:.4f}"
    return f"missed its target ({run.tags['outcome']}{told})"
