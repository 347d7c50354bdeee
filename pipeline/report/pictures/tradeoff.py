"""Energy against accuracy."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.choice import names_apart
from pipeline.report.data import ReportData, Table
from pipeline.report.pictures.picture import (
    LOGARITHMIC,
    Picture,
    blank,
    plain,
    rounded,
    spread_over,
)
from pipeline.report.quantities import Unit, doubt, named, number, unit_of
from pipeline.report.theme import COLOURS

if TYPE_CHECKING:
    from pipeline.choice import Ranked

ENERGY, ACCURACY = "energy_to_accuracy_j", "val_accuracy"
MOST_POINTS = 1500
"""More are a cloud on the screen, and slow."""
FRONT, REST = COLOURS[1], COLOURS[0]


def tradeoff(data: ReportData) -> Iterator[Picture]:
    """Every configuration that reached the target, and those that no other beats in both."""
    both = [
        ranked
        for ranked in data.choice.ranking
        if ranked.mean(ENERGY) is not None and ranked.mean(ACCURACY) is not None
    ]
    if len(both) < 2:
        return
    names = names_apart(data.choice.ranking)
    unit = unit_of(ENERGY, [_at(ranked)[0] for ranked in both])
    front = sorted((each for each in both if each.config_id in set(data.front)), key=_at)
    on_front = {ranked.config_id for ranked in front}
    rest = [ranked for ranked in both if ranked.config_id not in on_front]
    shown = [rest[index] for index in spread_over(len(rest), MOST_POINTS)] if rest else []
    figure = blank(height=460)
    figure.add_scatter(
        name="configuration",
        mode="markers",
        marker={"color": REST, "size": 7, "opacity": 0.6},
        **_points(shown, names, unit),
    )
    if front:
        figure.add_scatter(
            name="Pareto front",
            mode="lines+markers",
            line={"color": FRONT, "shape": "hv"},
            marker={"color": FRONT, "size": 10, "symbol": "diamond"},
            **_points(front, names, unit),
        )
    energies = [_at(ranked)[0] for ranked in both]
    wide = min(energies) > 0 and max(energies) / min(energies) > 20
    runs = [run for ranked in both for run in ranked.runs]
    title = named(ENERGY, unit, doubt(ENERGY, runs))
    figure.update_xaxes(title_text=title, **(LOGARITHMIC if wide else {}))
    figure.update_yaxes(title_text="Validation accuracy")
    yield Picture(
        name="energy-accuracy",
        choice="energy against accuracy",
        title="Every configuration, and the Pareto front",
        says=_says(len(both), len(shown) + len(front), len(front)),
        figure=figure,
        numbers=_numbers(front, names, unit, title),
    )


def _at(ranked: "Ranked") -> tuple[float, float]:
    return ranked.mean(ENERGY) or math.nan, ranked.mean(ACCURACY) or math.nan


def _points(ranking: Sequence["Ranked"], names: Mapping[str, str], unit: Unit) -> dict[str, Any]:
    return {
        "x": rounded(_at(ranked)[0] / unit.size for ranked in ranking),
        "y": rounded(_at(ranked)[1] for ranked in ranking),
        "text": [plain(names[ranked.config_id]) for ranked in ranking],
        "hovertemplate": f"%{{text}}<br>%{{x}} {unit.name}, %{{y}}<extra></extra>",
    }


def _says(all_: int, shown: int, front: int) -> str:
    some = f" ({shown:,} of them drawn, evenly by rank)" if shown < all_ else ""
    told = (
        f"Mean energy and mean validation accuracy of {all_:,} configurations that reached the "
        f"target{some}; those that missed it have no energy to it."
    )
    if not front:
        return told
    beaten = "No other beats the one" if front == 1 else f"No other beats any of the {front}"
    return f"{told} {beaten} on the Pareto front in both."


def _numbers(
    front: Sequence["Ranked"], names: Mapping[str, str], unit: Unit, title: str
) -> Table | None:
    if not front:
        return None
    rows = [
        (names[r.config_id], number(r, ENERGY, unit).text, number(r, ACCURACY).text) for r in front
    ]
    return Table("", "On the Pareto front", ("configuration", title, "Validation accuracy"), rows)
