"""A training of a search that is given away: what its worker is told, and what it tells in turn."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pipeline.search.pruning import Cap, Pruning
from steps.configuration import Configuration

if TYPE_CHECKING:
    from pipeline.search.parameters import Point

ENERGY_SHARED = "energy.shared"
"""Tag of a training whose joules are in part those of its neighbours: of which, and how many."""
SHARED_FLAG = "shared_machine"
"""Word in the tag ``energy.flags`` of such a training."""


@dataclass(frozen=True)
class Job:
    """All that a worker is told.

    Attributes:
        tracking_uri: of the store, which the worker must reach.
        project_tags: what ``mlflow run`` knows of the project.
        experiment_id: of the search.
        search_id: the parent run.
        number: of the training, counted from 0.
        role: `TRIAL` or `CONFIRMATION`.
        point: of the space.
        parameters: the configuration, as texts.
        metering: the fields of `Metering`.
        pruning: its name.
        slack: of the cap, over the best cost.
        objective: its name.
        best: cost of the best training so far, in the unit of the objective; None if there is none.
        envelope: lowest accuracy at each hundredth of the way to the target, as `Envelope`.
        poll_s: seconds between two looks at the best cost; no look at all where it is 0.
        energy_shared: what of the machine's energy is not this training's alone; empty for none.
    """

    tracking_uri: str
    project_tags: Mapping[str, str]
    experiment_id: str
    search_id: str
    number: int
    role: str
    point: Mapping[str, Any]
    parameters: Mapping[str, str]
    metering: Mapping[str, Any]
    pruning: str
    slack: float
    objective: str
    best: float | None
    envelope: Sequence[float]
    poll_s: float
    energy_shared: str = ""

    def to_json(self) -> str:
        """In one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """As `to_json` wrote it."""
        return cls(**json.loads(line))


@dataclass
class UnderWay:
    """A training that was begun.

    Attributes:
        configuration: with its seed.
        role: `TRIAL` or `CONFIRMATION`.
        point: of the space.
        losses: of its workers so far.
    """

    configuration: Configuration
    role: str
    point: "Point"
    losses: int = 0


HUNDREDTHS = 100


def envelope_of(pruning: Pruning) -> list[float]:
    """All curves that a cap has learned from as one that is nowhere above their envelope.

    Its length does not grow with the search; empty where nothing was learned.
    """
    if not isinstance(pruning, Cap) or math.isinf(pruning.best):
        return []
    return [pruning.envelope.at(place / HUNDREDTHS) for place in range(1, HUNDREDTHS + 1)]
