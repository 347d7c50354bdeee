"""What came of a grid: for the terminal, and as the parent's description."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from pipeline import markdown
from pipeline.quantize_grid import figures
from pipeline.quantize_grid.comparison import Race, races

if TYPE_CHECKING:
    from pipeline.quantize_grid.objective import Objective, Result
    from pipeline.quantize_grid.sampling import Walk
    from pipeline.quantize_grid.space import WidthSpace
    from pipeline.tracking.grid_log import GridLog, Walked

SHOWN = 10
"""Rows of the table of the best."""

HEAT_MAP, BARS, RACES = "grid/heat_map.html", "grid/bars.html", "grid/samplers.png"


@dataclass(frozen=True)
class Findings:
    """All that a grid found.

    Attributes:
        space: of the points.
        objective: that says which is the best.
        results: of all points that were evaluated.
        walks: of the samplers.
        float_accuracy: validation accuracy of the model as it was trained, if that is known.
        uncovered: layers with weights that stay in floating point.
    """

    space: "WidthSpace"
    objective: "Objective"
    results: Sequence["Result"]
    walks: Sequence["Walk"]
    float_accuracy: float | None
    uncovered: Sequence[str]

    @property
    def leaders(self) -> list["Result"]:
        """The best first, or the front."""
        return self.objective.leaders(self.results)

    @property
    def races(self) -> tuple[Race, ...]:
        """Of the samplers; none where one walked once, and there is nothing to compare."""
        if len(self.walks) == 1:
            return ()
        return races(self.walks, self.objective.best(self.results), self.objective)


def keep(findings: Findings, log: "GridLog") -> None:
    """Describe, draw and count it in the parent run."""
    lines = [*_sentences(findings), markdown.table(_headings(findings), _rows(findings))]
    if findings.races:
        lines += [
            _of_what_best(findings),
            markdown.table(RACE_HEADINGS, _race_rows(findings.races)),
        ]
        best = "the front" if findings.objective.is_pareto else "the best"
        title = f"{findings.space.path.stem}: {findings.space.size} points, {best} met"
        log.picture(figures.race_figure({title: findings.races}), RACES)
    if not findings.objective.is_pareto:
        log.walks(findings.objective.text, [_walked(findings, walk) for walk in findings.walks])
    log.page(figures.heat_map(findings.space, findings.results), HEAT_MAP)
    log.page(figures.bars(findings.space, findings.results), BARS)
    log.figures(_figures(findings))
    log.describe("\n\n".join(lines))


def _walked(findings: Findings, walk: "Walk") -> "Walked":
    first_met = {result.point: result for result in walk.asked}
    scores = [findings.objective.values(each.metrics)[0] for each in first_met.values()]
    return walk.sampler, walk.seed, scores


def for_terminal(findings: Findings) -> list[Table | str]:
    """The same for a person at the terminal."""
    told: list[Table | str] = [_table(_headings(findings), _rows(findings)), *_sentences(findings)]
    if findings.races:
        told += [_table(RACE_HEADINGS, _race_rows(findings.races)), _of_what_best(findings)]
    return told


def _sentences(findings: Findings) -> list[str]:
    space, leaders = findings.space, findings.leaders
    evaluated = f"{len(findings.results)} of {space.size} points evaluated"
    if findings.objective.is_pareto:
        count = "1 point is" if len(leaders) == 1 else f"{len(leaders)} points are"
        first = f"{count} on the front, by {findings.objective.text}; {evaluated}."
    else:
        best = findings.objective.best(leaders)
        as_good = [each for each in leaders if findings.objective.values(each.metrics) in best]
        named = " = ".join(space.described(each.point) for each in as_good[:SHOWN])
        first = f"Best: {named}, by {findings.objective.text}; {evaluated}."
    known = findings.float_accuracy
    reference = "" if known is None else f" Before: validation accuracy {known:.4f}."
    lines = [f"{first}{reference}"]
    if findings.uncovered:
        lines.append(f"Stays in floating point: {', '.join(findings.uncovered)}.")
    lines.append(
        "Fixed point is emulated: this tells of accuracy and bits, not of time or energy. "
        "Validation rows decide; test rows report."
    )
    return lines


COLUMNS = {
    "objective": ".4f",
    "val_accuracy": ".4f",
    "val_loss": ".4f",
    "average_bitwidth": ".3g",
    "memory_density": ".3g",
    "test_accuracy": ".4f",
}
"""Metrics of the table, and how they are written."""


def _headings(findings: Findings) -> list[str]:
    return ["#", "formats", *_columns(findings)]


def _columns(findings: Findings) -> list[str]:
    return [name for name in COLUMNS if name != "objective" or not findings.objective.is_pareto]


def _rows(findings: Findings) -> list[list[str]]:
    rows = []
    for place, each in enumerate(findings.leaders[:SHOWN], 1):
        metrics = {**each.metrics, **findings.objective.as_metric(each.metrics)}
        told = [format(metrics[name], COLUMNS[name]) for name in _columns(findings)]
        rows.append([str(place), findings.space.described(each.point), *told])
    return rows


RACE_HEADINGS = ("sampler", "met the best", "evaluations until then", "questions until then")


def _race_rows(of_samplers: Sequence[Race]) -> list[tuple[str, ...]]:
    return [
        (
            race.sampler,
            f"{race.met} of {len(race.evaluations)}",
            str(race.mean_evaluations or "not known: some never met it"),
            str(race.mean_questions or "not known"),
        )
        for race in of_samplers
    ]


def _of_what_best(findings: Findings) -> str:
    which = "all values of the front" if findings.objective.is_pareto else "the best value"
    everything = len(findings.results) == findings.space.size
    among = "of all points" if everything else f"of the {len(findings.results)} evaluated points"
    return (
        f"Until {which} {among}; means over seeds (95 %). A question about a known point is no "
        "evaluation."
    )


def _figures(findings: Findings) -> Mapping[str, float | None]:
    figures_of_grid: dict[str, float | None] = {
        "grid_points": findings.space.size,
        "grid_evaluations": len(findings.results),
    }
    if not findings.objective.is_pareto:
        (best,) = findings.objective.best(findings.results)
        figures_of_grid["best_objective"] = best[0]
    for race in findings.races:
        mean = race.mean_evaluations
        name = f"{race.sampler}_evaluations_until_best"
        figures_of_grid[name] = None if mean is None else mean.value
    return figures_of_grid


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
