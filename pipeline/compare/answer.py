"""The answer for programs: one JSON object."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.choice import Ranked, provenance
from pipeline.compare.comparison import Comparison, mean_of
from pipeline.compare.words import verdict

_ENCODER = json.JSONEncoder(allow_nan=False)


def answer(comparison: Comparison) -> dict[str, Any]:
    """What `compare` found. Every number is finite; what is not known is None."""
    choice, objective = comparison.choice, comparison.objective
    ranking = [_ranked(ranked, objective.metric) for ranked in choice.ranking]
    tied = None if choice.tied_with is None else [each.config_id for each in choice.tied_with]
    told: dict[str, Any] = {
        "experiment": comparison.experiment,
        "objective": objective.name,
        "greenest": ranking[0] if ranking else None,
        "tied_with": tied,
        "ranking": ranking,
        "verdict": verdict(choice),
        "repeats_to_decide": choice.repeats_to_decide,
        "metric": objective.metric,
        "provenance": provenance(choice),
        "cautions": list(comparison.cautions),
    }
    if comparison.countries:
        # It reads CodeCarbon's tables.
        from pipeline.compare.elsewhere import emissions_elsewhere

        told["countries"] = emissions_elsewhere(choice.ranking, comparison.countries)
    left_out = [{"run_id": each.run.run_id, "why": each.why} for each in comparison.excluded]
    return {**told, "excluded": left_out}


def as_text(told: Mapping[str, Any]) -> str:
    """JSON that people can read too, with a line for each item of a list.

    The standard library's own indentation takes ten times longer, which is most of the time where
    there are thousands of runs.
    """
    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {_lines(told[key])}" for key in told) + "\n}"


def _lines(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n    " + ",\n    ".join(map(_ENCODER.encode, value)) + "\n  ]"
    return _ENCODER.encode(value)


def _ranked(ranked: Ranked, metric: str) -> dict[str, Any]:
    energy = ranked.intervals.get("energy_to_accuracy_j")
    return {
        "config_id": ranked.config_id,
        "params": dict(ranked.parameters),
        "runs": [run.run_id for run in ranked.runs],
        "n": ranked.repeats,
        "share_reached": ranked.share_reached,
        "ranked_by": vars(ranked.intervals[metric]),
        "energy_to_accuracy_j": energy and vars(energy),
        "emissions_kg": mean_of(ranked, "emissions_kg"),
        "time_to_accuracy_s": mean_of(ranked, "time_to_accuracy_s"),
        "epochs": mean_of(ranked, "epochs"),
        "test_accuracy": ranked.mean("test_accuracy"),
    }
