"""All that the report is made of, gathered by whoever asked for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.choice import Choice
    from pipeline.effects import Effects
    from pipeline.search.bill import Bill
    from pipeline.tracking import RecordedRun

Points = Sequence[tuple[int, int, float]]
"""Of one metric of one run: step, time stamp in ms, value."""


@dataclass(frozen=True)
class Table:
    """A table whose cells are written out already: another country, a life of inferences."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Receipt:
    """What the search cost to which the runs belong.

    Attributes:
        bill: its figures.
        sentences: what follows from them, such as when the search has paid for itself.
    """

    bill: "Bill"
    sentences: Sequence[str] = ()


@dataclass(frozen=True)
class GridPoint:
    """One point of a fixed-point grid.

    Attributes:
        data: width and fraction in bits, such as ``8.4``.
        weights: likewise.
        accuracy: of the model with these, 0 to 1.
        average_bitwidth: bits per value; None where it is not known.
    """

    data: str
    weights: str
    accuracy: float
    average_bitwidth: float | None = None


@dataclass(frozen=True)
class SamplerTrace:
    """How one search of the grid went.

    Attributes:
        sampler: such as ``brute_force`` or ``tpe``.
        seed: of the search.
        scores: the objective at each evaluation in turn; more is better.
    """

    sampler: str
    seed: int
    scores: Sequence[float]


@dataclass(frozen=True)
class Grid:
    """Fixed-point formats that were tried on a trained model.

    Attributes:
        of: name of the run whose model it is.
        points: that were evaluated.
        objective: what the samplers looked for, as typed.
        walks: of the samplers; empty where they were not kept.
    """

    of: str
    points: Sequence[GridPoint]
    objective: str = ""
    walks: Sequence[SamplerTrace] = ()


@dataclass(frozen=True)
class ReportData:
    """All that the page needs.

    Attributes:
        experiment: its name.
        sought: what the winner has, in words: ``the least energy``.
        is_cost: whether that is what reaching the target took, and not a figure of the model.
        metric: by which the choice ranked, such as ``energy_to_accuracy_j``; its ending is its
            unit.
        goal: in words: ``a validation accuracy above 0.95 on digits, 3 epochs in a row``.
        choice: the answer.
        runs: all that could be compared.
        certainty: how sure the answer is, in sentences.
        provenance: by part of the energy, what its joules are worth in the ranked runs.
        made_at: when the runs were read.
        version: Greenest's.
        cautions: why the costs may not compare.
        front: config_ids on the Pareto front of `energy_to_accuracy_j` and `val_accuracy`.
        effects: of the hyperparameters that differ.
        histories: by run id and metric, of a few leaders.
        steps_per_epoch: by run id; a run without has no curve over gradient steps.
        receipt: where the runs belong to a search.
        grid: the latest of the experiment, where there is one.
        tables: further ones, at the end.
        table_file: where all rows of the ranking are.
        again: commands that train or serve the winner.
    """

    experiment: str
    sought: str
    metric: str
    goal: str
    choice: "Choice"
    runs: Sequence["RecordedRun"]
    certainty: Sequence[str]
    provenance: Mapping[str, Sequence[str]]
    made_at: datetime
    version: str
    cautions: Sequence[str] = ()
    front: Sequence[str] = ()
    effects: "Effects | None" = None
    histories: Mapping[str, Mapping[str, Points]] = field(default_factory=dict)
    steps_per_epoch: Mapping[str, int] = field(default_factory=dict)
    receipt: Receipt | None = None
    grid: Grid | None = None
    tables: Sequence[Table] = ()
    table_file: str = "ranking.csv"
    again: Sequence[str] = ()
    is_cost: bool = True
