"""Pictures of a grid hold the numbers of the grid."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.quantize_grid.comparison import Race
from pipeline.quantize_grid.figures import bars, heat_map, race_figure
from pipeline.quantize_grid.objective import Result
from pipeline.quantize_grid.space import Format, Group, Listed, WidthSpace
from steps.quantization_modes import FixedPoint


def formats(name):
    return Listed(name, (Format(8, 4), Format(4, 2)))


@pytest.fixture
def space():
    group = Group("", formats("data"), formats("weights"), 1)
    return WidthSpace(Path("formats.yaml"), "Of the test.", (group,))


def result(accuracy, *point):
    return Result(point, {"val_accuracy": accuracy})


@pytest.fixture
def results():
    """Three of the four points."""
    return [
        result(0.9, FixedPoint(8, 4, 8, 4)),
        result(0.7, FixedPoint(8, 4, 4, 2)),
        result(0.6, FixedPoint(4, 2, 8, 4)),
    ]


def test_a_heat_map_has_accuracies_where_they_belong_and_nothing_where_none_is(space, results):
    (cells,) = heat_map(space, results).data
    assert (cells.x, cells.y) == (("8.4", "4.2"), ("8.4", "4.2"))
    assert [list(row) for row in cells.z] == [[0.9, 0.6], [0.7, None]]


def test_bars_are_as_high_as_accuracies_and_there_is_none_for_an_unknown_point(space, results):
    drawn = bars(space, results).data
    assert [max(bar.z) for bar in drawn] == [0.9, 0.7, 0.6]
    assert {min(bar.z) for bar in drawn} == {0}
    assert [(round(np.mean(bar.x)), round(np.mean(bar.y))) for bar in drawn] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]


def test_colours_are_of_the_accuracies_that_there_are_and_the_same_in_both_pictures(space, results):
    for figure in (heat_map(space, results), bars(space, results)):
        colors = figure.layout.coloraxis
        assert (colors.cmin, colors.cmax) == (0.6, 0.9)


def test_a_bar_is_a_closed_box(space, results):
    bar = bars(space, results).data[0]
    edges = [
        tuple(sorted(pair))
        for i, j, k in zip(bar.i, bar.j, bar.k, strict=True)
        for pair in ((i, j), (j, k), (k, i))
    ]
    # Of a closed surface, every edge belongs to two triangles.
    assert {edges.count(edge) for edge in edges} == {2}
    corners = np.column_stack([bar.x, bar.y, bar.z])
    for triangle in zip(bar.i, bar.j, bar.k, strict=True):
        # Each lies in one of the six sides.
        assert any(len(set(corners[list(triangle), axis])) == 1 for axis in range(3))


def test_layers_with_formats_of_their_own_show_the_best_point_with_each(space):
    two = WidthSpace(
        space.path,
        space.purpose,
        (*space.groups, Group("out", formats("out: data"), formats("out: weights"), 2)),
    )
    wide, narrow = FixedPoint(8, 4, 8, 4), FixedPoint(4, 2, 4, 2)
    results = [result(0.9, wide, wide), result(0.5, wide, narrow), result(0.7, narrow, wide)]
    others, out = heat_map(two, results).data
    assert [list(row) for row in others.z] == [[0.9, None], [None, 0.7]]
    assert [list(row) for row in out.z] == [[0.9, None], [None, 0.5]]
    assert len(bars(two, results).data) == 4


def test_a_race_shows_each_seed_and_says_which_never_arrived():
    of_grid = [
        Race("brute_force", (3, 5, 7), (3, 5, 7)),
        Race("tpe", (2, None, 4), (2, None, 6)),
    ]
    figure = race_figure({"16 points": of_grid, "18 points": of_grid[:1]})
    first, second = figure.axes
    assert [list(line.get_ydata()) for line in first.lines if line.get_marker() == "."] == [
        [3, 5, 7],
        [2, 4],
    ]
    names = [label.get_text() for label in first.get_xticklabels()]
    assert names == ["brute_force", "tpe\n(missed 1 of 3)"]
    assert second.get_title() == "18 points"
    assert first.get_ylim()[0] == 0 and first.get_ylim()[1] > 7
