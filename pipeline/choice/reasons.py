"""Runs that are not ranked, by the reason."""

import re
from collections.abc import Sequence

from pipeline.choice.comparable import Excluded


def by_reason(excluded: Sequence[Excluded]) -> dict[str, list[Excluded]]:
    """The commonest reason first; reasons that differ in a number are one, with an ellipsis."""
    together: dict[str, list[Excluded]] = {}
    for each in excluded:
        alike = re.sub(r"\b\d+(\.\d+)?\b", "…", each.why)
        together.setdefault(alike, []).append(each)
    commonest = sorted(together.items(), key=lambda item: -len(item[1]))
    return {
        runs[0].why if len({each.why for each in runs}) == 1 else alike: runs
        for alike, runs in commonest
    }
