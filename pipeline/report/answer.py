"""The top of the page: which configuration, at what cost, how sure, and worth what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.choice import closest
from pipeline.report.data import ReportData
from pipeline.report.quantities import Number, Worth, name_of, number
from pipeline.units import kind_of

if TYPE_CHECKING:
    from pipeline.choice import Choice, Ranked

BESIDE = (
    "energy_to_accuracy_j",
    "time_to_accuracy_s",
    "emissions_to_accuracy_kg",
    "epochs",
    "test_accuracy",
)


@dataclass(frozen=True)
class Answer:
    """What the page says first.

    Attributes:
        verdict: how far the name stands out.
        name: of the configuration; empty where none reached the target.
        config_id: likewise.
        quantity: what the cost is of.
        cost: that it was chosen by.
        beside: other figures, by what they are.
        repeats: seeds that the mean is over.
        parameters: that tell it from the others.
        fixed: those that all configurations share.
        closest: where none reached the target, which came nearest, in words.
    """

    verdict: str
    name: str = ""
    config_id: str = ""
    quantity: str = ""
    cost: Number | None = None
    beside: Sequence[tuple[str, Number]] = ()
    repeats: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    closest: str = ""


def answer(data: ReportData) -> Answer:
    """In short."""
    if not data.choice.ranking:
        return Answer("Nothing reached the target", closest=_closest(data))
    best = data.choice.ranking[0]
    told_apart = differing(data.choice.ranking)
    return Answer(
        verdict=_verdict(data.choice, data.metric),
        name=best.name,
        config_id=best.config_id,
        quantity=name_of(data.metric),
        cost=number(best, data.metric),
        beside=[(name_of(m), number(best, m)) for m in BESIDE if m != data.metric],
        repeats=best.repeats,
        parameters={name: best.parameters.get(name, "") for name in told_apart},
        fixed={n: v for n, v in best.parameters.items() if n not in told_apart and v != ""},
    )


def _verdict(choice: "Choice", metric: str) -> str:
    if len(choice.rivals) == 1:
        alone = "First, and the only one with repeats"
        return alone if choice.behind else "The only one that reached the target"
    if choice.tied_with is None:
        return "First, but nothing was repeated"
    if not choice.tied_with:
        return "Greenest" if "energy" in metric or "emissions" in metric else "First"
    others = len(choice.tied_with)
    return f"First, tied with {others} {'other' if others == 1 else 'others'}"


def differing(ranking: Sequence["Ranked"]) -> list[str]:
    """Hyperparameters that tell the configurations apart."""
    names = dict.fromkeys(name for ranked in ranking for name in ranked.parameters)
    first = ranking[0].parameters
    return [n for n in names if any(r.parameters.get(n) != first.get(n) for r in ranking)]


def worth_of_parts(provenance: Mapping[str, Sequence[str]]) -> list[tuple[str, str, Worth]]:
    """By part of the energy: its name, what was told of it, and what that is worth."""
    return [
        (part.upper(), "; ".join(_how(told) for told in tellings), _worth(tellings))
        for part, tellings in provenance.items()
    ]


def _worth(tellings: Sequence[str]) -> Worth:
    kinds = {kind_of(told) for told in tellings} or {"absent"}
    return Worth(kinds.pop()) if len(kinds) == 1 else Worth.PARTLY


def _how(told: str) -> str:
    """``estimated (CodeCarbon: …)`` without its first word, which is shown apart."""
    _, _, how = told.partition(" ")
    return how.strip("()") if how.startswith("(") else how


def _closest(data: ReportData) -> str:
    attempt = closest(data.runs)
    if attempt is None:
        return "No run was trained to an end."
    return (
        f"The closest was {attempt.name} (run {attempt.run_id}): its validation accuracy ended at "
        f"{attempt.metrics['val_accuracy']:.4f}."
    )
