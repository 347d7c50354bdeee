"""Samplers on a grid: nothing is evaluated twice, and how soon the best is met."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.quantize_grid.comparison import Mean, races
from pipeline.quantize_grid.emulation import Known
from pipeline.quantize_grid.objective import Objective, Result
from pipeline.quantize_grid.sampling import (
    LARGEST_GRID,
    QUESTIONS_PER_POINT,
    SAMPLERS,
    Walk,
    parse_samplers,
    require_walkable,
    walk,
)
from pipeline.quantize_grid.space import Crossed, Format, Group, Listed, WidthSpace
from steps.errors import InputError
from steps.quantization_modes import FixedPoint

OBJECTIVE = Objective.parse("val_accuracy:1,average_bitwidth:-0.2")
FRONT = Objective.parse("pareto:val_accuracy,average_bitwidth")


@pytest.fixture
def space():
    """Of 4 x 4 points."""
    data = Listed("data", (Format(16, 8), Format(8, 6), Format(8, 4), Format(4, 2)))
    weights = Crossed("weights", (4, 8), (2, 4))
    return WidthSpace(Path("formats.yaml"), "Of the test.", (Group("", data, weights, 1),))


class Bench:
    """Stands for the emulation: the more bits the better, and it counts."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[FixedPoint, ...]] = Counter()

    def __call__(self, point):
        self.asked[point] += 1
        (widths,) = point
        bits = widths.data_width + widths.weight_width + widths.weight_fraction / 10
        return {"val_accuracy": bits / 25, "average_bitwidth": float(widths.weight_width)}


@pytest.mark.parametrize("sampler", ["brute_force", "random"])
@pytest.mark.parametrize("objective", [OBJECTIVE, FRONT], ids=["sum", "front"])
def test_brute_force_and_chance_get_through_a_small_grid(space, sampler, objective):
    known = Known(Bench())
    done = walk(space, sampler, 0, objective, known, space.size)
    assert {each.point for each in done.asked} == set(space.points())
    assert done.evaluations == space.size


def test_nothing_is_evaluated_twice_whoever_asks(space):
    bench = Bench()
    told = []
    known = Known(bench, told.append)
    walks = [
        walk(space, sampler, seed, OBJECTIVE, known, space.size)
        for sampler in SAMPLERS
        for seed in range(3)
    ]
    assert sum(len(each.asked) for each in walks) > space.size
    assert set(bench.asked.values()) == {1}
    assert len(bench.asked) == space.size
    assert told == known.results


def test_brute_force_asks_for_each_point_once(space):
    asked = walk(space, "brute_force", 0, OBJECTIVE, Known(Bench()), space.size).asked
    assert len(asked) == len({each.point for each in asked}) == space.size


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_follows_from_its_seed(space, sampler):
    first, again, other = (
        walk(space, sampler, seed, OBJECTIVE, Known(Bench()), 8).asked for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_ends_after_as_many_different_points_as_were_asked_for(space, sampler):
    bench = Bench()
    done = walk(space, sampler, 0, OBJECTIVE, Known(bench), 5)
    assert done.evaluations == len(bench.asked) == 5


def test_a_sampler_that_never_comes_to_all_points_is_stopped(space, monkeypatch):
    always = next(space.points())
    monkeypatch.setattr(WidthSpace, "suggest", lambda self, trial: always)
    done = walk(space, "random", 0, OBJECTIVE, Known(Bench()), space.size)
    assert done.evaluations == 1
    assert len(done.asked) == QUESTIONS_PER_POINT * space.size


@pytest.mark.parametrize("objective", [OBJECTIVE, FRONT], ids=["sum", "front"])
def test_tpe_learns_where_the_best_is(space, objective):
    best = objective.best([Known(Bench())(point) for point in space.points()])
    walks = [walk(space, "tpe", seed, objective, Known(Bench()), 12) for seed in range(5)]
    assert races(walks, best, objective)[0].met == 5


def result(weight_width, accuracy, data_width=8):
    metrics = {"val_accuracy": accuracy, "average_bitwidth": float(weight_width)}
    return Result((FixedPoint(data_width, 4, weight_width, 2),), metrics)


POOR, GOOD, AS_GOOD = result(8, 0.9), result(4, 0.9), result(4, 0.9, 16)


def test_questions_to_known_points_are_no_evaluations():
    done = Walk("tpe", 0, (POOR, POOR, POOR, GOOD, POOR))
    until = done.until(OBJECTIVE.best([POOR, GOOD]), OBJECTIVE)
    assert until is not None
    assert (until.evaluations, len(until.asked)) == (2, 4)


def test_a_point_of_the_best_value_is_the_best_even_if_another_is_as_good():
    until = Walk("tpe", 0, (AS_GOOD, POOR)).until(OBJECTIVE.best([POOR, GOOD]), OBJECTIVE)
    assert until is not None
    assert until.evaluations == 1


def test_a_front_is_met_when_all_of_its_values_were():
    accurate, small, beaten = result(8, 0.95), result(4, 0.9), result(8, 0.8, 16)
    best = FRONT.best([accurate, small, beaten])
    until = Walk("tpe", 0, (beaten, small, accurate)).until(best, FRONT)
    assert until is not None
    assert until.evaluations == 3
    assert Walk("tpe", 0, (beaten, small)).until(best, FRONT) is None


def test_means_and_their_intervals_are_of_the_seeds():
    late, soon = (POOR, GOOD), (GOOD,)
    walks = [Walk("tpe", seed, late if seed % 2 else soon) for seed in range(10)]
    (race,) = races(walks, OBJECTIVE.best([POOR, GOOD]), OBJECTIVE)
    assert race.evaluations == (1, 2) * 5
    mean = race.mean_evaluations
    assert mean.value == 1.5
    assert 1 < mean.low < 1.5 < mean.high < 2


def test_a_single_seed_tells_nothing_of_the_spread():
    (race,) = races([Walk("tpe", 0, (GOOD,))], OBJECTIVE.best([GOOD]), OBJECTIVE)
    assert race.mean_evaluations == Mean(1, None, None)
    assert str(race.mean_evaluations) == "1.0"


def test_there_is_no_mean_where_a_seed_never_met_the_best():
    walks = [Walk("tpe", 0, (GOOD,)), Walk("tpe", 1, (POOR,)), Walk("random", 0, (GOOD,))]
    tpe, chance = races(walks, OBJECTIVE.best([POOR, GOOD]), OBJECTIVE)
    assert (tpe.met, tpe.evaluations, tpe.mean_evaluations) == (1, (1, None), None)
    assert (chance.sampler, chance.met, chance.mean_questions.value) == ("random", 1, 1)


@pytest.mark.parametrize("text", ["", "grid", "tpe,", "tpe,tpe", "brute-force"])
def test_an_unknown_sampler_is_refused(text):
    with pytest.raises(InputError, match="--sampler"):
        parse_samplers(text)


def test_brute_force_is_refused_where_it_would_never_end():
    twelve = Listed("data", tuple(Format(16, fraction) for fraction in range(12)))
    groups = tuple(Group(name, twelve, twelve, 1) for name in ("a", "b"))
    space = WidthSpace(Path("formats.yaml"), "Of the test.", groups)
    assert space.size == 12**4 > LARGEST_GRID
    with pytest.raises(InputError, match=r"a grid of 20,736 points is more than 1,000"):
        require_walkable(space, {"brute_force": space.size})
    require_walkable(space, {"brute_force": 100})
    require_walkable(space, {"tpe": space.size})
