"""Which configuration comes next: a function of what was tried, and of nothing else."""

import random
import sys

import pytest
from trials import search_through, trial_of

from pipeline.search.sampling import SAMPLERS, TRIES, Sampling
from pipeline.search.space import LARGEST_GRID
from steps import configuration as configurations
from steps.errors import InputError
from steps.outcome import Outcome

WITHOUT_TORCH = tuple(name for name in SAMPLERS if name != "gp")
ALONG_RANGES = tuple(name for name in WITHOUT_TORCH if name not in ("grid", "brute_force"))
LISTS = """
    purpose: Lists, a condition, and combinations that are refused.
    parameters:
      optimizer: [sgd, adam]
      lr: [0.1, 0.001]
      momentum: {values: [0, 0.9], when: {optimizer: sgd}}
      precision: [float32, float16]
      quantization: [none, int8]
    """
RANGES = """
    purpose: Ranges.
    parameters:
      lr: {low: 1e-4, high: 1, log: true}
      batch_size: {low: 1, high: 1024, log: true}
    """


@pytest.fixture
def sampling(space):
    def of(
        text: str,
        sampler: str,
        seed: int = 0,
        fixed: dict[str, str] | None = None,
        figures: int = 0,
    ) -> Sampling:
        return Sampling(space(text), fixed or {}, sampler, seed, slack=1.2, figures=figures)

    return of


@pytest.mark.parametrize("figures", [0, 1, 2, 3])
@pytest.mark.parametrize("sampler", WITHOUT_TORCH)
def test_every_sampler_trains_each_configuration_of_lists_once_and_then_ends(
    sampling, sampler, figures
):
    over_lists = sampling(LISTS, sampler, figures=figures)
    done = search_through(over_lists, trials=99)
    grid = {
        over_lists.space.configuration(point, {}).config_id for point in over_lists.space.points({})
    }
    ids = [trial.config_id for trial in done]
    assert len(ids) == len(set(ids))
    assert set(ids) == grid
    assert over_lists.ask(done) is None


@pytest.mark.parametrize("figures", [0, 2])
@pytest.mark.parametrize("sampler", ALONG_RANGES)
def test_every_sampler_asks_the_same_after_the_same_history(sampling, sampler, figures):
    # More than NSGA-II has in a generation, and more than TPE draws by chance.
    done = search_through(sampling(RANGES, sampler, figures=figures), trials=13)
    again = sampling(RANGES, sampler, figures=figures)
    for number in range(len(done)):
        assert again.ask(done[:number]) == done[number].point


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii", "qmc"])
@pytest.mark.parametrize("text", [LISTS, RANGES], ids=["lists", "ranges"])
@pytest.mark.parametrize("figures", [0, 2])
def test_one_that_was_asked_before_asks_what_a_new_one_would(sampling, sampler, text, figures):
    costs = random.Random(0)
    asked, done = sampling(text, sampler, figures=figures), []
    for number in range(60):
        point = asked.ask(done)
        assert point == sampling(text, sampler, figures=figures).ask(done)
        if point is None:
            break
        # Now and then one is the best or the dearest, which changes what is told of the others.
        outcome = Outcome.REACHED if costs.random() < 0.5 else Outcome.CAPPED
        cost = costs.uniform(1.0, 9.0)
        known = (cost, -cost)[:figures] if figures and outcome == Outcome.REACHED else None
        done.append(trial_of(asked.space, number, point, outcome, cost, known))
    assert len(done) > 15


@pytest.mark.parametrize("sampler", ALONG_RANGES)
def test_samplers_of_ranges_ask_for_the_default_first_and_never_twice(sampling, sampler):
    over_ranges = sampling(RANGES, sampler)
    done = search_through(over_ranges, trials=12)
    assert done[0].config_id == configurations.Configuration().config_id
    assert len({trial.config_id for trial in done}) == 12


@pytest.mark.parametrize("sampler", ALONG_RANGES)
def test_a_default_that_is_not_in_the_space_is_not_tried(sampling, sampler):
    over_lists = sampling(LISTS, sampler, fixed={"batch_size": "77"})
    point = over_lists.ask([])
    assert over_lists.space.configuration(point, over_lists.fixed).batch_size == 77


@pytest.mark.parametrize("sampler", ("tpe", "random", "nsgaii", "brute_force"))
def test_another_seed_asks_for_something_else(sampling, sampler):
    firsts = {
        tuple(trial.config_id for trial in search_through(sampling(LISTS, sampler, seed), 4))
        for seed in range(4)
    }
    assert len(firsts) > 1


def test_a_grid_goes_through_its_points_in_the_order_of_the_file(sampling):
    grid = sampling(LISTS, "grid")
    done = search_through(grid, trials=99)
    assert [trial.point for trial in done] == list(grid.space.points({}))


def test_what_is_left_of_lists_too_long_for_a_grid_is_for_chance_to_find(shipped):
    over_lists = Sampling(shipped("green_screen"), {}, "tpe", seed=0, slack=1.2)
    assert over_lists.space.size > LARGEST_GRID
    assert len(list(over_lists._what_is_left())) == TRIES


@pytest.mark.parametrize("sampler", ("grid", "brute_force"))
def test_a_grid_over_a_range_without_steps_is_refused_with_its_line(sampling, sampler):
    with pytest.raises(InputError, match=r"line 3: a grid needs a step or a list for lr"):
        sampling(RANGES, sampler)


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_samplers_that_learn_go_where_the_front_is(sampling, sampler):
    over_ranges = sampling(RANGES, sampler, figures=2)
    done = []
    for number in range(60):
        point = over_ranges.ask(done)
        figures = abs(point["lr"] - 0.3), abs(point["lr"] - 0.7)
        done.append(trial_of(over_ranges.space, number, point, figures=figures))
    late = [trial.point["lr"] for trial in done[30:]]
    assert sum(rate > 0.1 for rate in late) > len(late) / 2


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_misses_do_not_draw_a_search_for_a_front(sampling, sampler):
    """Half of the rates are too small, and would be half of those that chance asks for."""
    over_ranges = sampling(RANGES, sampler, figures=2)
    done = []
    for number in range(60):
        point = over_ranges.ask(done)
        reached = point["lr"] > 0.01
        outcome = Outcome.REACHED if reached else Outcome.DIVERGED
        figures = (point["lr"], -point["lr"]) if reached else None
        done.append(trial_of(over_ranges.space, number, point, outcome, 0.0, figures))
    late = [trial.point["lr"] for trial in done[30:]]
    assert sum(rate > 0.01 for rate in late) > 0.6 * len(late)


def test_a_front_is_searched_on_where_nothing_is_known_of_a_training(sampling):
    over_ranges = sampling(RANGES, "tpe", figures=2)
    done = [trial_of(over_ranges.space, 0, over_ranges.ask([]))]
    assert over_ranges.ask(done) not in (None, done[0].point)


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_samplers_that_learn_go_where_it_was_cheap(sampling, sampler):
    over_ranges = sampling(RANGES, sampler)
    done = []
    for number in range(60):
        point = over_ranges.ask(done)
        cost = abs(point["lr"] - 0.5) + 0.01
        done.append(trial_of(over_ranges.space, number, point, spent=cost))
    late = [trial.point["lr"] for trial in done[30:]]
    assert sum(rate > 0.1 for rate in late) > len(late) / 2


def test_a_space_in_which_all_is_refused_says_why_before_anything_is_trained(sampling):
    with pytest.raises(InputError, match="momentum"):
        sampling(
            """
            purpose: Adam knows no momentum.
            parameters:
              optimizer: [adam]
              momentum: [0.5, 0.9]
            """,
            "tpe",
        )


def test_an_unknown_sampler_is_refused_with_those_that_there_are(sampling):
    with pytest.raises(InputError, match="--sampler tpee: choose one of tpe, random, grid"):
        sampling(LISTS, "tpee")


def test_gp_without_its_package_is_refused_at_once(sampling, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"--sampler gp: needs a package .*torch"):
        sampling(LISTS, "gp")
