"""The report's material: what a comparison found, with the curves and the bill behind it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.choice import provenance
from pipeline.compare.comparison import Comparison
from pipeline.compare.findings import Findings
from pipeline.compare.tables import tables
from pipeline.compare.words import certainty, target
from pipeline.report import Grid, GridPoint, Receipt, ReportData, SamplerTrace
from pipeline.search.bill import bill_of, default_cost_of, what_follows
from pipeline.tags import PARENT, ROLE
from steps import configuration as configurations
from steps.errors import InputError
from steps.parsing import count

if TYPE_CHECKING:
    from pipeline.effects import Effects
    from pipeline.tracking import RecordedRun

LEADERS = 8
"""Whose curves are shown."""

EPOCHS = 2500
"""Of each curve at most: seconds and joules are summed over all of them."""

CURVES = ("train_loss", "val_loss", "val_accuracy", "epoch_time_s", "epoch_energy_j")


def report_data(
    comparison: Comparison,
    found: Findings,
    effects: "Effects",
    all_runs: "Sequence[RecordedRun]",
    again: Sequence[str],
) -> ReportData:
    """Gather all that the page shows; reads the leaders' curves from MLflow.

    Args:
        comparison: the ranking.
        found: what was asked for beside it.
        effects: of the hyperparameters.
        all_runs: of the experiment, those of searches and grids included.
        again: commands that train or serve the winner.
    """
    from pipeline import tracking
    from pipeline.pareto import axes_of, front_of

    choice = comparison.choice
    leaders = [ranked.runs[0] for ranked in choice.ranking[:LEADERS]]
    front = front_of(choice.ranking, axes_of("energy,val_accuracy"))
    return ReportData(
        experiment=comparison.experiment,
        sought=comparison.objective.words,
        metric=comparison.objective.metric,
        goal=target(comparison),
        choice=replace(choice, excluded=comparison.excluded),
        runs=comparison.runs,
        certainty=list(certainty(comparison)) if choice.ranking else [],
        provenance=provenance(choice),
        made_at=datetime.now(UTC),
        version=__version__,
        cautions=comparison.cautions,
        front=[ranked.config_id for ranked in front.members],
        effects=effects,
        histories=tracking.histories([run.run_id for run in leaders], CURVES, EPOCHS),
        steps_per_epoch=dict(_steps_per_epoch(leaders)),
        receipt=_receipt(comparison, all_runs),
        grid=_grid(all_runs),
        tables=list(tables(comparison, found)),
        again=again,
        is_cost=comparison.objective.spent is not None,
    )


def _steps_per_epoch(runs: "Sequence[RecordedRun]") -> Iterator[tuple[str, int]]:
    for run in runs:
        told, _, part = run.tags.get("dataset.parts", "").partition(" ")
        rows, batch = count(told), run.parameters.get("batch_size", "")
        size = rows if batch == "full" else count(batch)
        if rows and size and part.startswith("train"):
            yield run.run_id, -(-rows // size)


def _receipt(comparison: Comparison, all_runs: "Sequence[RecordedRun]") -> Receipt | None:
    """Of the search that the winner comes from; None where it comes from none."""
    if not comparison.choice.ranking:
        return None
    won = comparison.choice.ranking[0].runs
    searches = {run.tags[PARENT] for run in won if ROLE in run.tags and PARENT in run.tags}
    parent = next((run for run in all_runs if run.run_id in searches), None)
    if parent is None or "search_time_s" not in parent.metrics:
        return None
    children = [run for run in all_runs if run.tags.get(PARENT) == parent.run_id]
    bill = bill_of(
        children,
        parent.metrics.get("search_energy_j"),
        parent.metrics.get("search_emissions_kg"),
        parent.metrics["search_time_s"],
    )
    winner_j = comparison.choice.ranking[0].mean("energy_to_accuracy_j")
    sentences = what_follows(bill, _default_cost(parent, children), winner_j)
    if len(searches) > 1:
        sentences.append(f"The winner comes from {len(searches)} searches; this is one of them.")
    return Receipt(bill, sentences)


def _default_cost(search: "RecordedRun", children: "Sequence[RecordedRun]") -> float | None:
    """What the configuration took that the user had before the search."""
    fixed = {
        name.removeprefix("fixed."): text
        for name, text in search.parameters.items()
        if name.startswith("fixed.")
    }
    try:
        return default_cost_of(children, configurations.parse(fixed).config_id)
    except (InputError, KeyError):
        # A search of another version, with options that are no more.
        return None


def _grid(all_runs: "Sequence[RecordedRun]") -> Grid | None:
    """The latest grid of fixed-point formats, if there is one."""
    from pipeline.tracking.grid_log import GRID_OF, walks_of

    points = [run for run in all_runs if GRID_OF in run.tags and PARENT in run.tags]
    if not points:
        return None
    newest = max(points, key=lambda run: run.started_at_ms)
    latest, model = newest.tags[PARENT], newest.tags[GRID_OF]
    objective, walks = walks_of(latest)
    return Grid(
        of=next((run.name for run in all_runs if run.run_id == model), model),
        points=list(_points([run for run in points if run.tags[PARENT] == latest])),
        objective=objective,
        walks=[SamplerTrace(*walk) for walk in walks],
    )


def _points(runs: "Sequence[RecordedRun]") -> Iterator[GridPoint]:
    """Those of one format for all layers: others do not lie on a plane."""
    for run in runs:
        formats, accuracy = _formats(run), run.metrics.get("val_accuracy")
        if run.status == "FINISHED" and accuracy is not None and formats is not None:
            yield GridPoint(
                *formats,
                accuracy=accuracy,
                average_bitwidth=run.metrics.get("average_bitwidth"),
            )


def _formats(run: "RecordedRun") -> tuple[str, str] | None:
    """Of data and of weights."""
    names = ("data_width", "data_fraction", "weight_width", "weight_fraction")
    bits = [run.parameters.get(name, "") for name in names]
    return (f"{bits[0]}.{bits[1]}", f"{bits[2]}.{bits[3]}") if all(bits) else None
