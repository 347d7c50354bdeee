"""What compiling has cost in a search so far, and so what a training will cost at least."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LIKENESS = 0.5
"""Of what XLA took for the same layers, another training of them takes that share at least:
optimizers, precisions and schedules made compilations of one MLP differ by up to 2.7 times."""

LAYERS = ("dataset", "model", "hidden")
"""Hyperparameters that say which layers are compiled."""


@dataclass
class Compilations:
    """The cheapest of those that are known, in the unit of the objective.

    Attributes:
        cheapest: of all; 0 where none is known.
    """

    cheapest: float = 0.0
    _by_xla: dict[tuple[str, ...], float] = field(default_factory=dict)

    def learn(self, parameters: Mapping[str, str], cost: float) -> None:
        """Of a training that has ended.

        Args:
            parameters: its hyperparameters, as texts.
            cost: of compiling its graphs, in whichever training that was.
        """
        self.cheapest = min(self.cheapest or cost, cost)
        if parameters.get("jit_compile") == "on":
            layers = _layers(parameters)
            self._by_xla[layers] = min(self._by_xla.get(layers, cost), cost)

    def by_xla_at_least(self, parameters: Mapping[str, str]) -> float:
        """What XLA will take in a training with these hyperparameters; 0 where nobody knows.

        It cannot be interrupted, and takes many times what a small training takes without it.
        """
        if parameters.get("jit_compile") != "on":
            return 0.0
        return LIKENESS * self._by_xla.get(_layers(parameters), 0.0)


def _layers(parameters: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(parameters.get(name, "") for name in LAYERS)
