"""Costs that grow while a training goes on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.tags import GRAPH_SHARED

if TYPE_CHECKING:
    from energy import Carbon
    from pipeline.tracking import RecordedRun
    from steps.train import Progress


@dataclass(frozen=True)
class Objective:
    """A cost that grows while a training goes on.

    Attributes:
        name: as typed.
        unit: of its figures.
        metric: what a training to the target cost, in a run's metrics.
        spent_metric: what a training cost, whatever came of it.
        compile_metric: what its graphs took to compile, in whichever run.
    """

    name: str
    unit: str
    metric: str
    spent_metric: str
    compile_metric: str

    def spent(self, progress: "Progress", carbon: "Carbon") -> tuple[float, float] | None:
        """By a training so far, and by then before its first epoch; None where not measured."""
        if self.name == "time":
            return progress.spent_s, progress.before_s
        both = progress.spent_j, progress.before_j
        if self.name == "emissions":
            both = carbon.emissions_kg(both[0]), carbon.emissions_kg(both[1])
        return None if both[0] is None or both[1] is None else (both[0], both[1])

    def of(self, run: "RecordedRun") -> float | None:
        """Of a run that has ended, whatever came of it; None where it was not measured.

        A run that found its graphs compiled is charged for them all the same.
        """
        if self.metric in run.metrics or self.spent_metric not in run.metrics:
            return run.metrics.get(self.metric)
        shared = run.tags.get("training.graph") == GRAPH_SHARED
        compiling = run.metrics.get(self.compile_metric, 0.0) if shared else 0.0
        return run.metrics[self.spent_metric] + compiling

    def compiling(self, run: "RecordedRun") -> float | None:
        """Of that, what compiling its graphs took; None where it is not known."""
        return run.metrics.get(self.compile_metric)


OBJECTIVES = {
    each.name: each
    for each in (
        Objective("energy", "J", "energy_to_accuracy_j", "energy_spent_j", "compile_energy_j"),
        # MLflow has no emissions of the compilation apart: those of a shared one are not charged to
        # a training that missed.
        Objective("emissions", "kg", "emissions_to_accuracy_kg", "emissions_kg", ""),
        Objective("time", "s", "time_to_accuracy_s", "time_spent_s", "compile_time_s"),
    )
}
