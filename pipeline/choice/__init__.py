"""Which configuration is the greenest, among runs towards one target on one dataset."""

from pipeline.choice.comparable import FACETS, Excluded, closest, comparable, trained_among
from pipeline.choice.names import names_apart, names_of_runs
from pipeline.choice.noise import Interval, Noise
from pipeline.choice.objectives import (
    OBJECTIVES,
    Objective,
    objective_named,
    refuse_test_metrics,
    require_recorded,
    weighted,
)
from pipeline.choice.probability import probabilities_of_being_best
from pipeline.choice.ranking import Choice, Ranked, choose, without_noise
from pipeline.choice.reasons import by_reason
from pipeline.choice.worth import cautions, places, provenance, refuse_mixed

__all__ = [
    "FACETS",
    "OBJECTIVES",
    "Choice",
    "Excluded",
    "Interval",
    "Noise",
    "Objective",
    "Ranked",
    "by_reason",
    "cautions",
    "choose",
    "closest",
    "comparable",
    "names_apart",
    "names_of_runs",
    "objective_named",
    "places",
    "probabilities_of_being_best",
    "provenance",
    "refuse_mixed",
    "refuse_test_metrics",
    "require_recorded",
    "trained_among",
    "weighted",
    "without_noise",
]
