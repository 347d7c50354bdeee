"""What the search cost, as a receipt."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.data import Receipt
from pipeline.units import grams, joules, seconds

OUTCOMES = {
    "REACHED": "reached the target",
    "CAPPED": "given up, since they could no longer win",
    "BUDGET_EXHAUSTED": "out of epochs before the target",
    "DIVERGED": "diverged",
    "FAILED": "failed",
}


@dataclass(frozen=True)
class Line:
    """One line of the receipt.

    Attributes:
        what: the trainings with this outcome.
        count: how many.
        energy: with its unit; empty where it was not measured.
        share: of the trainings' energy in percent; None where that is not known.
    """

    what: str
    count: int
    energy: str
    share: float | None


@dataclass(frozen=True)
class Bill:
    """The receipt.

    Attributes:
        total: what all of it took, as texts; what was not measured is empty.
        lines: by outcome.
        sentences: what follows.
    """

    energy: str
    emissions: str
    time: str
    lines: Sequence[Line]
    sentences: Sequence[str]


def bill(receipt: Receipt) -> Bill:
    """Written out."""
    told = receipt.bill
    known = sum(told.training_energy_j.values())
    lines = []
    for outcome, count in told.trainings.items():
        spent = told.training_energy_j.get(outcome)
        share = None if spent is None or not known else round(100 * spent / known, 1)
        written = "" if spent is None else joules(spent)
        lines.append(Line(OUTCOMES.get(outcome, outcome), count, written, share))
    return Bill(
        energy="" if told.energy_j is None else joules(told.energy_j),
        emissions="" if told.emissions_kg is None else grams(told.emissions_kg),
        time=seconds(told.time_s),
        lines=lines,
        sentences=receipt.sentences,
    )
