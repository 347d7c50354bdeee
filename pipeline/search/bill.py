"""The bill of a search: what it spent on what, and when that has paid off."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.units import joules
from steps.outcome import Outcome
from steps.parsing import count

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


@dataclass(frozen=True)
class Bill:
    """What a search cost.

    Attributes:
        energy_j: all that the search spent; None where nothing was measured.
        emissions_kg: likewise.
        time_s: likewise.
        trainings: by outcome, how many.
        training_energy_j: by outcome, joules in the windows of the trainings.
        saved_at_most_j: what the trainings that were given up would have spent in addition, had
            each gone on to its last epoch at its own joules per epoch. They might have ended
            earlier, so it is the most that pruning saved, not what it saved.
    """

    energy_j: float | None
    emissions_kg: float | None
    time_s: float
    trainings: Mapping[str, int]
    training_energy_j: Mapping[str, float]
    saved_at_most_j: float


def bill_of(
    runs: Sequence["RecordedRun"],
    energy_j: float | None,
    emissions_kg: float | None,
    time_s: float,
) -> Bill:
    """The bill of a search with these trainings.

    Args:
        runs: its children.
        energy_j: of the whole search, by its own window.
        emissions_kg: likewise.
        time_s: likewise.
    """
    trainings: dict[str, int] = {}
    energies: dict[str, float] = {}
    saved = 0.0
    for run in runs:
        outcome = run.tags.get("outcome", Outcome.FAILED)
        trainings[outcome] = trainings.get(outcome, 0) + 1
        spent = run.metrics.get("energy_spent_j")
        if spent is None:
            continue
        energies[outcome] = energies.get(outcome, 0.0) + spent
        epochs, budget = run.metrics.get("epochs"), count(run.parameters.get("max_epochs", ""))
        if outcome == Outcome.CAPPED and epochs and budget:
            saved += (budget - epochs) * spent / epochs
    return Bill(energy_j, emissions_kg, time_s, trainings, energies, saved)


def retrainings_to_pay_off(
    search_j: float | None, default_j: float | None, winner_j: float | None
) -> float:
    """After how many trainings of the winner the search has paid for itself.

    Args:
        search_j: what the search spent.
        default_j: what the default configuration costs to the target; None if it missed it, was
            given up, or is not known.
        winner_j: what the winner costs.

    Returns:
        A whole number; infinite where the winner saves nothing, NaN where something is not known.
    """
    if search_j is None or default_j is None or winner_j is None:
        return math.nan
    return math.ceil(search_j / (default_j - winner_j)) if default_j > winner_j else math.inf


def default_cost_of(runs: Iterable["RecordedRun"], config_id: str) -> float | None:
    """What the default configuration took to the target; None where it never got there.

    Args:
        runs: of a search.
        config_id: of the default among them.
    """
    costs = [
        run.metrics["energy_to_accuracy_j"]
        for run in runs
        if run.tags.get("config_id") == config_id and "energy_to_accuracy_j" in run.metrics
    ]
    return statistics.fmean(costs) if costs else None


def what_follows(bill: Bill, default_j: float | None, winner_j: float | None) -> list[str]:
    """What giving up has saved, and when the search has paid for itself, in sentences."""
    trainings = retrainings_to_pay_off(bill.energy_j, default_j, winner_j)
    if math.isnan(trainings):
        told = "Against the default configuration nothing can be said: its cost is not known."
    elif math.isinf(trainings):
        told = "The default configuration costs no more than the winner: nothing to pay off."
    else:
        told = (
            f"It has paid for itself after {trainings:.0f} trainings of the winner, not the "
            "default."
        )
    return [*saved(bill), told]


def saved(bill: Bill) -> list[str]:
    """What giving up has saved, in a sentence, or none."""
    if not bill.saved_at_most_j:
        return []
    return [f"Giving up early saved at most {joules(bill.saved_at_most_j)}."]
