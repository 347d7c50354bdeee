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
from pipeline.report import GridPoint, Receipt, ReportData
from pipeline.search.bill import bill_of

if TYPE_CHECKING:
    from pipeline.effects import Effects
    from pipeline.tracking import RecordedRun

LEADERS = 8
"""Whose curves are shown."""

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
        histories=tracking.histories([run.run_id for run in leaders], CURVES),
        steps_per_epoch=dict(_steps_per_epoch(leaders)),
        receipt=_receipt(comparison, all_runs),
        grid=list(_grid(all_runs)),
        tables=list(tables(comparison, found)),
        again=again,
    )


def _steps_per_epoch(runs: "Sequence[RecordedRun]") -> Iterator[tuple[str, int]]:
    for run in runs:
        rows, _, part = run.tags.get("dataset.parts", "").partition(" ")
        if not rows.isdecimal() or not part.startswith("train"):
            continue
        batch = run.parameters.get("batch_size", "")
        size = int(rows) if batch == "full" else int(batch) if batch.isdecimal() else 0
        if size:
            yield run.run_id, -(-int(rows) // size)


def _receipt(comparison: Comparison, all_runs: "Sequence[RecordedRun]") -> Receipt | None:
    """Of the search that the winner comes from; None where it comes from none."""
    from pipeline.tracking.search_log import PARENT, ROLE

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
    more = f"The winner comes from {len(searches)} searches; this is one of them."
    return Receipt(bill, [more] if len(searches) > 1 else [])


def _grid(all_runs: "Sequence[RecordedRun]") -> Iterator[GridPoint]:
    """Points of the latest grid of fixed-point formats, if there is one."""
    from pipeline.tracking.grid_log import GRID_OF
    from pipeline.tracking.search_log import PARENT

    points = [run for run in all_runs if GRID_OF in run.tags and "data_width" in run.parameters]
    if not points:
        return
    latest = max(points, key=lambda run: run.started_at_ms).tags.get(PARENT)
    for run in points:
        given, accuracy = run.parameters, run.metrics.get("val_accuracy")
        if run.tags.get(PARENT) == latest and run.status == "FINISHED" and accuracy is not None:
            yield GridPoint(
                data=f"{given['data_width']}.{given['data_fraction']}",
                weights=f"{given['weight_width']}.{given['weight_fraction']}",
                accuracy=accuracy,
                average_bitwidth=run.metrics.get("average_bitwidth"),
            )
