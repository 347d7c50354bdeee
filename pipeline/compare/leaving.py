"""What a comparison leaves behind: report, figures, table, the winner's file and model."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.compare.answer import answer, as_text, effects, further
from pipeline.compare.comparison import Comparison, mean_of
from pipeline.compare.findings import Findings
from pipeline.compare.reporting import report_data
from pipeline.compare.words import certainty, goal, nothing, worth
from pipeline.greenest_file import FILE_NAME, Winner, typical
from pipeline.left_behind import LeftBehind, leave_behind
from pipeline.markdown import escaped, table
from pipeline.tracking.registry import ALIAS, registry_name

if TYPE_CHECKING:
    from pipeline.choice import Ranked
    from pipeline.effects import Effects
    from pipeline.tracking import RecordedRun

TABLE, RECORD, REPORT, FIGURES = "ranking.csv", "ranking.json", "report.html", "figures"

LEADERS_TOLD = 10
"""In the description of the comparison's run."""


def leave(
    comparison: Comparison,
    found: Findings,
    told_effects: "Effects",
    all_runs: "Sequence[RecordedRun]",
    asked: Mapping[str, str],
) -> LeftBehind:
    """Write it all, as far as that can be done.

    Args:
        comparison: the ranking.
        found: what was asked for beside it.
        told_effects: of the hyperparameters.
        all_runs: of the experiment.
        asked: the options as typed.
    """
    from pipeline import report

    winner = _winner(comparison)
    data = report_data(comparison, found, told_effects, all_runs, list(_again(comparison)))
    record = {**answer(comparison), **further(found), "effects": effects(told_effects)}
    files = {
        TABLE: _csv(comparison.choice.ranking).encode(),
        RECORD: as_text(record).encode(),
        REPORT: report.page(data).encode(),
    }
    for name, figure in report.figures(data).items():
        files[f"{FIGURES}/{name}.plotly.json"] = figure.to_json().encode()
    return leave_behind(
        comparison.experiment, winner, _description(comparison, told_effects), asked, files
    )


def _winner(comparison: Comparison) -> Winner | None:
    if not comparison.choice.ranking:
        return None
    best, objective = comparison.choice.ranking[0], comparison.objective
    return Winner(
        experiment=comparison.experiment,
        run=typical(best.runs, objective.of),
        goal=goal(comparison),
        cost=_interval(best, objective.metric, objective.told),
        verdict=" ".join(certainty(comparison)),
    )


def _interval(ranked: "Ranked", metric: str, told: Callable[[float], str]) -> str:
    interval = ranked.intervals[metric]
    if interval.low is None or interval.high is None:
        return told(interval.mean)
    return f"{told(interval.mean)} ({told(interval.low)} to {told(interval.high)})"


def _again(comparison: Comparison) -> Iterator[str]:
    if comparison.choice.ranking:
        served = registry_name(comparison.experiment)
        yield f"python -m pipeline run --config {FILE_NAME}"
        yield f"python -m pipeline run --config {FILE_NAME} --final"
        yield f"mlflow models serve -m models:/{served}@{ALIAS} --env-manager local"


def _csv(ranking: "Sequence[Ranked]") -> str:
    """A row per configuration: its hyperparameters, then each cost with its limits."""
    text = io.StringIO()
    names = sorted({name for ranked in ranking for name in ranked.parameters})
    metrics = sorted({metric for ranked in ranking for metric in ranked.intervals})
    edges = ("mean", "low", "high")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("place", "config_id", "repeats", "share_reached"),
            *names,
            *(f"{metric}_{edge}" for metric in metrics for edge in edges),
            *("epochs", "test_accuracy"),
        ]
    )
    for place, ranked in enumerate(ranking, 1):
        intervals = [ranked.intervals.get(metric) for metric in metrics]
        writer.writerow(
            [
                *(place, ranked.config_id, ranked.repeats, ranked.share_reached),
                *(ranked.parameters.get(name, "") for name in names),
                *(getattr(interval, edge, None) for interval in intervals for edge in edges),
                *(mean_of(ranked, "epochs"), ranked.mean("test_accuracy")),
            ]
        )
    return text.getvalue()


def _description(comparison: Comparison, told_effects: "Effects") -> str:
    """Markdown for the page of the comparison's run."""
    if not comparison.choice.ranking:
        return escaped(nothing(comparison))
    objective = comparison.objective
    heading = escaped(objective.name.replace("_", " "))
    rows = []
    for ranked in comparison.choice.ranking[:LEADERS_TOLD]:
        cost = _interval(ranked, objective.metric, objective.told)
        rows.append((escaped(f"{ranked.name} ({ranked.config_id})"), str(ranked.repeats), cost))
    ranking = table(("configuration", "seeds", heading), rows)
    sentences = " ".join(map(escaped, certainty(comparison)))
    worths = "\n".join(f"- {escaped(line.strip())}" for line in worth(comparison))
    carried = [effect.sentence for effect in told_effects.effects if effect.sentence]
    matters = "\n".join(f"- {escaped(sentence)}" for sentence in carried)
    parts = (sentences, ranking, worths, matters, f"All of it: `{REPORT}` among the artifacts.")
    return "\n\n".join(part for part in parts if part)
