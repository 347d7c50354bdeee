"""Runs by configuration and repeat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from pipeline.choice.comparable import hardware_of
from pipeline.effects.factors import MACHINE

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Grouped:
    """Runs with what they repeat. A configuration on another machine is another one here.

    Attributes:
        runs: trained ones.
        configuration: int, shape (runs,): the configuration of each.
        repeat: int, shape (runs,): the configuration and seed of each.
        parameters: of each configuration, its machine under `MACHINE`.
        names: of each configuration, its ``config_id`` first.
    """

    runs: "Sequence[RecordedRun]"
    configuration: Indices
    repeat: Indices
    parameters: Sequence[Mapping[str, str]]
    names: Sequence[str]

    @classmethod
    def of(cls, runs: "Sequence[RecordedRun]") -> Self:
        """Args: trained runs."""
        configurations: dict[str, int] = {}
        repeats: dict[tuple[int, str], int] = {}
        parameters: list[Mapping[str, str]] = []
        of_run: list[tuple[int, int]] = []
        for run in runs:
            machine = hardware_of(run)
            name = f"{run.tags['config_id']} {machine}"
            configuration = configurations.setdefault(name, len(configurations))
            if configuration == len(parameters):
                parameters.append({**run.parameters, MACHINE: machine})
            seeded = (configuration, run.parameters.get("seed", run.run_id))
            of_run.append((configuration, repeats.setdefault(seeded, len(repeats))))
        columns = np.array(of_run, np.intp).reshape(-1, 2)
        return cls(runs, columns[:, 0], columns[:, 1], parameters, list(configurations))
