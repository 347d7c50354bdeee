import math
from dataclasses import replace

import invented
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report import Grid, GridPoint, SamplerTrace, figures
from pipeline.report.pictures.curves import curves
from pipeline.report.pictures.fixed_point import samplers, towers
from pipeline.report.pictures.picture import plain, rounded, spread_over
from pipeline.report.pictures.power import power
from pipeline.report.quantities import unit_of
from pipeline.report.theme import IN_THE_DARK, PAPER


@pytest.fixture(scope="module")
def data():
    return invented.report_data(invented.runs(60), full=True)


def names(pictures) -> set[str]:
    return {picture.name for picture in pictures}


def test_the_sum_over_epochs_is_the_axis_of_joules(data):
    picture = next(p for p in curves(data) if p.name == "loss-joules")
    run_id, history = next(iter(data.histories.items()))
    spent = np.cumsum([value for _, _, value in history["epoch_energy_j"]])
    assert picture.figure.data[0].x == pytest.approx(spent, rel=1e-3)
    assert run_id == picture.figure.data[0].legendgroup


def test_a_gap_in_the_energy_leaves_no_sum_that_would_be_too_small(data):
    gap = {
        run_id: {**history, "epoch_energy_j": history["epoch_energy_j"][1:]}
        for run_id, history in data.histories.items()
    }
    assert "loss-joules" not in names(curves(replace(data, histories=gap)))
    assert "loss-epochs" in names(curves(replace(data, histories=gap)))


def test_without_steps_per_epoch_there_is_no_axis_of_steps(data):
    assert "loss-steps" not in names(curves(replace(data, steps_per_epoch={})))


def test_power_is_energy_over_time_of_each_epoch(data):
    picture = next(iter(power(data)))
    history = next(iter(data.histories.values()))
    watts = [
        energy / time
        for (_, _, energy), (_, _, time) in zip(
            history["epoch_energy_j"], history["epoch_time_s"], strict=True
        )
    ]
    assert picture.figure.data[0].y[:-1] == pytest.approx(watts, rel=1e-3)
    assert "estimated" in picture.says


def test_the_epochs_that_held_the_target_are_marked(data):
    picture = next(iter(power(data)))
    run_id, history = next(iter(data.histories.items()))
    run = next(run for run in data.runs if run.run_id == run_id)
    times = [time for _, _, time in history["epoch_time_s"]]
    held = sum(times[-int(run.parameters["patience"]) :])
    way, patience = [(shape.x0, shape.x1) for shape in picture.figure.layout.shapes]
    assert way == (0, pytest.approx(sum(times) - held))
    assert patience == pytest.approx((sum(times) - held, sum(times)))
    assert "time (s)" in str(picture.figure.layout.xaxis.title.text)


def test_of_a_curve_that_mlflow_thinned_out_no_sum_is_shown(data):
    thin = {
        run_id: {metric: points[::2] for metric, points in history.items()}
        for run_id, history in data.histories.items()
    }
    drawn = names(curves(replace(data, histories=thin)))
    assert "loss-epochs" in drawn
    assert not {"loss-seconds", "loss-joules"} & drawn
    assert not list(power(replace(data, histories=thin)))


def test_each_tower_is_a_closed_box(data):
    mesh = next(iter(towers(data))).figure.data[0]
    assert len(mesh.x) == 8 * len(data.grid.points)
    edges: dict[tuple[int, int], int] = {}
    for triangle in zip(mesh.i, mesh.j, mesh.k, strict=True):
        for side in range(3):
            ends = (triangle[side], triangle[(side + 1) % 3])
            edges[tuple(sorted(ends))] = edges.get(tuple(sorted(ends)), 0) + 1
    assert set(edges.values()) == {2}


def test_of_points_with_the_same_bits_the_best_is_shown(data):
    grid = Grid("a run", [GridPoint("8.4", "8.4", 0.7), GridPoint("8.4", "8.4", 0.9)])
    mesh = next(iter(towers(replace(data, grid=grid)))).figure.data[0]
    assert max(mesh.z) == 0.9


def test_the_best_so_far_never_gets_worse(data):
    walks = [
        SamplerTrace(name, seed, [0.5, 0.9, 0.2 + 0.1 * seed])
        for name in ("brute_force", "tpe")
        for seed in range(3)
    ]
    grid = replace(data.grid, walks=walks)
    drawn = next(iter(samplers(replace(data, grid=grid)))).figure.data
    assert all(list(trace.y) == sorted(trace.y) for trace in drawn)
    assert drawn[-1].y == pytest.approx([0.5, 0.9, 0.9])


def test_one_sampler_alone_is_no_race(data):
    grid = replace(data.grid, walks=[w for w in data.grid.walks if w.sampler == "tpe"])
    assert not list(samplers(replace(data, grid=grid)))


def test_figures_for_keeping_have_a_title_and_the_paper_s_colour(data):
    kept = figures(data)
    assert {"importance", "bars-lr", "energy-accuracy", "loss-epochs"} <= kept.keys()
    assert all(figure.layout.title.text for figure in kept.values())
    assert all(f.layout.template.layout.paper_bgcolor == PAPER for f in kept.values())


def test_bars_of_estimates_are_hatched_and_those_of_times_are_not(data):
    drawn = {trace.yaxis: trace for trace in figures(data)["bars-lr"].data if trace.type == "bar"}
    assert drawn["y"].marker.pattern.shape == "/"
    assert drawn["y2"].marker.pattern.shape is None


def test_an_unknown_interval_has_no_whisker_that_would_look_like_certainty(data):
    drawn = figures(data)["bars-lr"].data
    whiskers = {trace.yaxis: trace for trace in drawn if trace.type == "scatter"}
    assert {trace.yaxis for trace in drawn} - whiskers.keys() == {"y6"}
    assert all(min(trace.error_y.array) > 0 for trace in whiskers.values())


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_is_seen_on_both_backgrounds():
    from pipeline.report.theme import COLOURS

    for light in COLOURS:
        for colour, ground in ((light, PAPER), (IN_THE_DARK[light], IN_THE_DARK[PAPER])):
            bright, dim = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 3, colour


@given(st.integers(1, 5000), st.integers(2, 500))
def test_thinning_keeps_the_ends_and_the_order(length, at_most):
    kept = spread_over(length, at_most)
    assert kept[0] == 0
    assert kept[-1] == length - 1
    assert kept == sorted(set(kept))
    assert len(kept) == min(length, at_most)


@given(st.text())
def test_no_tag_is_left_in_a_figure_s_text(text):
    assert not {"<", ">"} & set(plain(text))


def test_a_number_that_is_not_finite_is_a_gap():
    assert rounded([1.23456, math.nan, math.inf]) == [1.235, None, None]


@given(st.floats(1e-9, 1e12))
def test_a_value_alone_reads_well_in_its_unit(energy_j):
    unit = unit_of("energy_to_accuracy_j", [energy_j])
    shown = energy_j / unit.size
    assert shown < 1000 or unit.name == "MJ"
    assert shown >= 1 or unit.name == "mJ"
