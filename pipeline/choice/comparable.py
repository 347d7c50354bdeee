"""Which runs trained on one dataset towards one target, and why the others are left out."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING

from steps.errors import InputError
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

FACETS = {"dataset", "target_accuracy", "patience"}
"""Parameters that must be the same for costs to be compared."""

MISSED = (Outcome.BUDGET_EXHAUSTED, Outcome.DIVERGED)
TRAINED = frozenset({Outcome.REACHED, Outcome.CAPPED, *MISSED})

RECORDS = {
    "search.key": "the record of a search, not a training",
    "grid.run_id": "of a grid of formats, not a training",
}
"""By tag, runs of ours that are no trainings."""

COMPARISON = "greenest.kind"
"""Tag of what `compare` itself leaves behind, of which nobody wants to hear."""

Facets = Callable[["RecordedRun"], tuple[object, ...]]
"""What a run is picked by; the last of them identifies."""


@dataclass(frozen=True)
class Excluded:
    """A run that is not ranked, and why."""

    run: "RecordedRun"
    why: str


def comparable(
    runs: Iterable["RecordedRun"],
    dataset: str = "",
    target_accuracy: float | None = None,
    patience: int | None = None,
    hardware: str = "",
) -> tuple[list["RecordedRun"], list[Excluded]]:
    """The runs that trained on one dataset towards one target, and those that are none of these.

    Args:
        runs: of one experiment, of whatever program.
        dataset: as it was named, or its digest; empty if there is only one.
        target_accuracy: None if there is only one.
        patience: None if there is only one.
        hardware: a machine, or part of its name; empty for all. Whether several may be ranked
            together depends on the objective (`refuse_mixed`).

    Raises:
        InputError: there are several, and the user has to pick.
    """
    trained, excluded = trained_among(runs)
    if hardware:
        trained, elsewhere = _of_hardware(trained, hardware)
        excluded += elsewhere
    for option, wanted, facets in (
        ("--dataset", dataset or None, _dataset),
        ("--target-accuracy", target_accuracy, _target_accuracy),
        ("--patience", patience, _patience),
    ):
        if wanted is not None:
            others = [run for run in trained if wanted not in facets(run)]
            trained = [run for run in trained if wanted in facets(run)]
            excluded += [Excluded(run, f"other {option}: {_shown(facets(run))}") for run in others]
            if others and not trained:
                raise InputError(
                    option, wanted, f"no run has it; choose {_choices(others, facets)}"
                )
        if len({facets(run)[-1] for run in trained}) > 1:
            why = "is needed, since the runs differ in it" if wanted is None else "names several"
            problem = f"{why}; choose {_choices(trained, facets)}"
            raise InputError(option, "" if wanted is None else wanted, problem)
    return trained, excluded


def trained_among(
    runs: Iterable["RecordedRun"],
) -> tuple[list["RecordedRun"], list[Excluded]]:
    """The trainings that came to an end, on whatever dataset, and all else but comparisons."""
    trained, excluded = [], []
    for run in runs:
        if COMPARISON in run.tags:
            continue
        why = _why_not(run)
        if why is None:
            trained.append(run)
        else:
            excluded.append(Excluded(run, why))
    return trained, excluded


def closest(runs: Iterable["RecordedRun"]) -> "RecordedRun | None":
    """Of runs that missed, the one whose validation accuracy ended highest."""
    scored = [run for run in runs if math.isfinite(run.metrics.get("val_accuracy", math.nan))]
    return max(scored, key=lambda run: run.metrics["val_accuracy"], default=None)


def _why_not(run: "RecordedRun") -> str | None:
    """Why a run is left out whatever else there is; None if it is not."""
    if "config_id" not in run.tags:
        kinds = (kind for tag, kind in RECORDS.items() if tag in run.tags)
        return next(kinds, "not a run of Greenest")
    if missing := sorted(FACETS - run.parameters.keys()):
        return f"half-logged, or of another version: it has no {', '.join(missing)}"
    for name, facets in (("target_accuracy", _target_accuracy), ("patience", _patience)):
        try:
            facets(run)
        except ValueError:
            return f"its {name} is {shorten(run.parameters[name], 40) or 'empty'}, no number"
    if "final" in run.tags:
        return "trained on the validation rows too: no target was checked"
    if run.status != "FINISHED" or run.tags.get("outcome") not in TRAINED:
        return _unfinished(run)
    if run.tags["outcome"] == Outcome.CAPPED and "epochs" not in run.metrics:
        return "given up by its search before it began (CAPPED)"
    return None


def _unfinished(run: "RecordedRun") -> str:
    outcome = run.tags.get("outcome")
    if "failure" in run.tags:
        return shorten(f"{run.status}: {run.tags['failure']}", 120, placeholder=" …")
    if "found_lr" in run.metrics:
        return "only looked for a learning rate"
    if run.status == "RUNNING":
        return "still running"
    if outcome == Outcome.FINAL:
        return "trained on the validation rows too: no target was checked"
    if outcome in TRAINED:
        return f"{run.status}, although its training had ended"
    return "not trained"


def _of_hardware(
    runs: Sequence["RecordedRun"], wanted: str
) -> tuple[list["RecordedRun"], list[Excluded]]:
    names = {hardware_of(run) for run in runs}
    part = wanted.casefold()
    meant = {wanted} & names or {name for name in names if part in name.casefold()}
    if names and len(meant) != 1:
        why = "names several" if meant else "no run has it"
        choices = " | ".join(sorted(meant or names))
        raise InputError("--hardware", wanted, f"{why}; choose one of {choices}")
    kept = [run for run in runs if hardware_of(run) in meant]
    others = [run for run in runs if hardware_of(run) not in meant]
    return kept, [Excluded(run, f"other --hardware: {hardware_of(run)}") for run in others]


def hardware_of(run: "RecordedRun") -> str:
    """The machine that a run was measured on."""
    return run.tags.get("hardware", "unknown")


def _dataset(run: "RecordedRun") -> tuple[object, ...]:
    # The digest comes last because it identifies: a file may change and keep its name.
    return run.parameters["dataset"], run.tags.get("dataset_digest", "")


def _target_accuracy(run: "RecordedRun") -> tuple[object, ...]:
    target = float(run.parameters["target_accuracy"])
    if not math.isfinite(target):
        raise ValueError
    return (target,)


def _patience(run: "RecordedRun") -> tuple[object, ...]:
    return (int(run.parameters["patience"]),)


def _choices(runs: Sequence["RecordedRun"], facets: Facets) -> str:
    return "one of " + ", ".join(sorted({_shown(facets(run)) for run in runs}))


def _shown(facets: tuple[object, ...]) -> str:
    name, *digest = map(str, facets)
    return f"{name} ({digest[0]})" if digest else name
