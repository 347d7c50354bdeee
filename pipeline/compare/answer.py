"""The answer for programs: one JSON object."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.choice import Ranked, provenance
from pipeline.compare.comparison import Comparison, mean_of
from pipeline.compare.findings import Findings
from pipeline.compare.words import verdict

if TYPE_CHECKING:
    from pipeline.effects import Effects
    from pipeline.pareto import Front

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
        "verdict": verdict(comparison),
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
        "emissions_to_accuracy_kg": mean_of(ranked, "emissions_to_accuracy_kg"),
        "time_to_accuracy_s": mean_of(ranked, "time_to_accuracy_s"),
        "epochs": mean_of(ranked, "epochs"),
        "test_accuracy": ranked.mean("test_accuracy"),
    }


def further(found: Findings) -> dict[str, Any]:
    """What was asked for beside the ranking; every number finite or None."""
    told: dict[str, Any] = {}
    if found.front is not None:
        told["pareto"] = [
            {"config_id": ranked.config_id, **dict(zip(_axes(found.front), values, strict=True))}
            for ranked, values in zip(found.front.members, found.front.values, strict=True)
        ]
    if found.lifetime is not None:
        told["lifetime"] = {
            "inferences": found.lifetime.inferences,
            "variants": [
                {
                    "config_id": variant.configuration.config_id,
                    "mode": variant.mode,
                    "training_j": variant.training_j,
                    "search_j": variant.search_j,
                    "per_inference_j": variant.per_inference_j,
                    "total_j": variant.total_j(found.lifetime.inferences),
                    "val_accuracy": variant.val_accuracy,
                }
                for variant in found.lifetime.variants
            ],
            "stages": [
                {
                    "from_inferences": stage.from_inferences,
                    "config_id": stage.variant.configuration.config_id,
                    "mode": stage.variant.mode,
                }
                for stage in found.lifetime.stages
            ],
            "left_out": [
                {"config_id": each.configuration.config_id, "mode": each.mode, "why": each.why}
                for each in found.lifetime.left_out
            ],
        }
    if found.profiles is not None:
        told["profiles"] = [
            {
                "configuration": dict(profile.parameters),
                "score": profile.score,
                "ratios": {
                    task: ratio if math.isfinite(ratio) else None
                    for task, ratio in profile.ratios.items()
                },
            }
            for profile in found.profiles.profiles
        ]
    return told


def _axes(front: "Front") -> list[str]:
    return [axis.metric for axis in front.axes]


def effects(told: "Effects") -> list[dict[str, Any]]:
    """What each hyperparameter does, the most important first."""
    return [
        {
            "parameter": effect.parameter,
            "importance": effect.importance,
            "importance_for_reaching": effect.importance_for_reaching,
            "inseparable_from": list(effect.inseparable_from),
            "sentence": effect.sentence,
            "levels": [
                {
                    "value": level.value,
                    "runs": level.runs,
                    "reached": level.reached,
                    "given_up": level.given_up,
                    **{name: vars(interval) for name, interval in level.means.items()},
                }
                for level in effect.levels
            ],
        }
        for effect in told.effects
    ]
