"""Names that no two configurations share: those of runs leave out what is seldom changed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.choice.ranking import Ranked
    from pipeline.tracking import RecordedRun


def names_apart(ranking: Sequence["Ranked"]) -> dict[str, str]:
    """By ``config_id`` a name that no other has."""
    names = _apart((ranked.name, ranked.config_id) for ranked in ranking)
    return {ranked.config_id: names[ranked.name, ranked.config_id] for ranked in ranking}


def names_of_runs(runs: Sequence["RecordedRun"]) -> dict[str, str]:
    """By run id a name that no run of another configuration has."""
    of = {run.run_id: (run.name, run.tags.get("config_id", "")) for run in runs}
    names = _apart(of.values())
    return {run_id: names[pair] for run_id, pair in of.items()}


def _apart(pairs: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
    """Of a name and a config_id: the name, with a part of the latter behind it where needed."""
    known = set(pairs)
    sharing = Counter(name for name, _ in known)
    return {
        (name, config_id): name if sharing[name] == 1 else f"{name} ({config_id[:6]})"
        for name, config_id in known
    }
