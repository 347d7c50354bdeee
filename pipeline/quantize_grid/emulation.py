"""The points of a grid, evaluated in one traced graph, each once."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pipeline.quantize_grid.objective import Result
from pipeline.quantize_grid.space import Point, WidthSpace
from steps.errors import one_line

if TYPE_CHECKING:
    from steps.partition import Partition
    from steps.preprocess import Dataset
    from steps.quantize.fixed_point import FixedPointModel


class Emulation:
    """A model in fixed point, before the rows that decide and those that report."""

    def __init__(
        self, model: "FixedPointModel", space: WidthSpace, dataset: "Dataset", parts: "Partition"
    ) -> None:
        """See that the model can have all of the formats.

        Args:
            model: whose formats are set here.
            space: which ones it may have.
            dataset: raw rows.
            parts: which rows decide and which report, and how they are scaled.

        Raises:
            InputError: the space has layers that the model has not, or the other way round, or
                formats of so many bits that the emulation would not be exact.
        """
        self._model = model
        self._layers = space.layers_of_groups(model.kinds)
        for group, layers in zip(space.groups, self._layers, strict=True):
            for widths in group.choices:
                try:
                    model.set_layers(dict.fromkeys(layers, widths))
                except ValueError as problem:
                    space.refuse(group.line, one_line(problem))
        self._rows = {
            part: (parts.scaled(name, dataset), dataset.labels[getattr(parts, name)])
            for part, name in (("val", "validation"), ("test", "test"))
        }

    def __call__(self, point: Point) -> dict[str, float]:
        """Metrics of a point: accuracy and loss on validation and test rows, and what it saves."""
        from steps.evaluate import score

        model = self._model
        for layers, widths in zip(self._layers, point, strict=True):
            model.set_layers(dict.fromkeys(layers, widths))
        metrics: dict[str, float | None] = {
            "average_bitwidth": model.average_bitwidth,
            "memory_density": model.memory_density,
        }
        for part, (rows, labels) in self._rows.items():
            scores = score(model.probabilities(rows), labels)
            metrics |= {f"{part}_accuracy": scores.accuracy, f"{part}_loss": scores.loss}
        return {name: value for name, value in metrics.items() if value is not None}


class Known:
    """What is known of each point: evaluated when it is first asked for, whoever asks."""

    def __init__(
        self,
        evaluate: Callable[[Point], Mapping[str, float]],
        keep: Callable[[Result], None] = lambda result: None,
    ) -> None:
        """Args: how to get the metrics of a point, and who is told of each new result."""
        self._evaluate = evaluate
        self._keep = keep
        self._results: dict[Point, Result] = {}

    @property
    def results(self) -> list[Result]:
        """All so far, in the order in which they were evaluated."""
        return list(self._results.values())

    def __call__(self, point: Point) -> Result:
        """The result of a point."""
        if point not in self._results:
            result = Result(point, self._evaluate(point))
            self._results[point] = result
            self._keep(result)
        return self._results[point]
