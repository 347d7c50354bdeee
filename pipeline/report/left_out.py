"""Runs that are not ranked, by reason."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.data import ReportData

MOST_REASONS, MOST_RUNS = 25, 20


@dataclass(frozen=True)
class Reason:
    """Why runs were left out.

    Attributes:
        why: in words, an ellipsis where they differ in a number.
        count: how many there are.
        runs: the first of them: name, run id and their own reason.
    """

    why: str
    count: int
    runs: Sequence[tuple[str, str, str]]


def left_out(data: ReportData) -> list[Reason]:
    """The commonest reason first."""
    reasons: dict[str, list[tuple[str, str, str]]] = {}
    for each in data.choice.excluded:
        alike = re.sub(r"\b\d+(\.\d+)?\b", "…", each.why)
        reasons.setdefault(alike, []).append((each.run.name, each.run.run_id, each.why))
    ordered = sorted(reasons.items(), key=lambda item: -len(item[1]))
    told = [Reason(why, len(runs), runs[:MOST_RUNS]) for why, runs in ordered[:MOST_REASONS]]
    others = [run for _, runs in ordered[MOST_REASONS:] for run in runs]
    return [*told, Reason("other reasons", len(others), others[:MOST_RUNS])] if others else told
