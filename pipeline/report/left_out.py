"""Runs that are not ranked, by reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.choice import by_reason
from pipeline.report.data import ReportData

MOST_REASONS, MOST_RUNS = 25, 20


@dataclass(frozen=True)
class Reason:
    """Why runs were left out.

    Attributes:
        why: in words, as `by_reason` has it.
        count: how many there are.
        runs: the first of them: name, run id and their own reason.
    """

    why: str
    count: int
    runs: Sequence[tuple[str, str, str]]


def left_out(data: ReportData) -> list[Reason]:
    """The commonest reason first."""
    ordered = [
        (why, [(each.run.name, each.run.run_id, each.why) for each in runs])
        for why, runs in by_reason(data.choice.excluded).items()
    ]
    told = [Reason(why, len(runs), runs[:MOST_RUNS]) for why, runs in ordered[:MOST_REASONS]]
    others = [run for _, runs in ordered[MOST_REASONS:] for run in runs]
    return [*told, Reason("other reasons", len(others), others[:MOST_RUNS])] if others else told
