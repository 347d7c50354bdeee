"""Who is ranked, in which order, and what the noise allows to say."""

import math
from dataclasses import replace

import pytest
from recorded_runs import ENERGY, choice_of, of_search, order, reasons, repeats, run_of
from scipy import stats

from pipeline.choice import Choice, Noise, by_reason, names_apart, weighted
from pipeline.choice.verdict import MOST_REPEATS, repeats_to_decide

MISSES = ("BUDGET_EXHAUSTED", "DIVERGED")


def test_configurations_are_ranked_by_their_mean_over_repeats():
    runs = [*repeats(0.1, 100, 140), *repeats(0.2, 10, 200), *repeats(0.3, 119, 119)]
    choice = choice_of(runs)
    assert order(choice) == [0.2, 0.3, 0.1]
    assert [ranked.intervals[ENERGY].mean for ranked in choice.ranking] == [105, 119, 120]
    assert [len(ranked.runs) for ranked in choice.ranking] == [2, 2, 2]
    assert "seed" not in choice.ranking[0].parameters


def test_configurations_of_the_same_name_are_told_apart_by_their_id():
    runs = [run_of(0.1, hidden="8"), run_of(0.1, hidden="16"), run_of(0.2)]
    choice = choice_of(runs)
    names = names_apart(choice.ranking)
    assert len(set(names.values())) == 3
    for ranked in choice.ranking:
        is_shared = ranked.parameters["lr"] == "0.1"
        assert names[ranked.config_id].startswith(ranked.name)
        assert (ranked.config_id[:6] in names[ranked.config_id]) == is_shared


def test_each_objective_ranks_by_its_own_metric():
    runs = [
        run_of(0.1, energy_j=1, emissions_kg=2, time_s=3),
        run_of(0.2, energy_j=2, emissions_kg=3, time_s=1),
        run_of(0.3, energy_j=3, emissions_kg=1, time_s=2),
    ]
    runs = [
        replace(run, metrics={**run.metrics, "latency_ms": size, "model_size_bytes": 10 - size})
        for run, size in zip(runs, (1.0, 2.0, 3.0), strict=True)
    ]
    objectives = ("energy", "emissions", "time", "latency", "model_size")
    assert {objective: order(choice_of(runs, objective)) for objective in objectives} == {
        "energy": [0.1, 0.2, 0.3],
        "emissions": [0.3, 0.1, 0.2],
        "time": [0.2, 0.3, 0.1],
        "latency": [0.1, 0.2, 0.3],
        "model_size": [0.3, 0.2, 0.1],
    }


def test_a_weighted_sum_ranks_the_highest_first_and_its_limits_lie_around_it():
    runs = [
        run_of(0.1, seed, 10, val_accuracy=accuracy) for seed, accuracy in enumerate((0.96, 0.97))
    ] + [run_of(0.2, seed, 5, val_accuracy=accuracy) for seed, accuracy in enumerate((0.90, 0.91))]
    choice = choice_of(runs, weighted(f"val_accuracy:100, {ENERGY}:-1"))
    assert order(choice) == [0.1, 0.2]
    scores = [ranked.intervals["score"] for ranked in choice.ranking]
    assert [score.mean for score in scores] == pytest.approx([86.5, 85.5])
    assert all(score.low < score.mean < score.high for score in scores)
    assert order(choice_of(runs, weighted(f"val_accuracy:1,{ENERGY}:-1"))) == [0.2, 0.1]


@pytest.mark.parametrize("outcome", MISSES)
@pytest.mark.parametrize("objective", ["energy", "emissions", "time", "epochs"])
def test_a_run_that_missed_its_target_never_ranks_however_cheap(outcome, objective):
    cheap = run_of(0.1, energy_j=1e-3, emissions_kg=1e-9, time_s=1e-3, outcome=outcome)
    # Even if somebody logged a cost to accuracy for it.
    logged = {**cheap.metrics, ENERGY: 1e-3, "time_to_accuracy_s": 1e-3, "epochs": 1.0}
    choice = choice_of([replace(cheap, metrics=logged), run_of(0.2)], objective)
    assert order(choice) == [0.2]
    assert reasons(choice)[cheap.run_id].startswith(f"missed its target ({outcome}, validation acc")


def test_one_miss_among_the_repeats_excludes_the_configuration():
    missed = run_of(0.1, seed=2, outcome="BUDGET_EXHAUSTED", val_accuracy=0.9412)
    choice = choice_of([*repeats(0.1, 1, 1), missed, *repeats(0.2, 100)])
    assert order(choice) == [0.2]
    told = reasons(choice)
    assert told[missed.run_id] == (
        "missed its target (BUDGET_EXHAUSTED, validation accuracy ended at 0.9412)"
    )
    others = [why for run_id, why in told.items() if run_id != missed.run_id]
    assert others == ["another repeat of its configuration missed the target"] * 2


def test_where_misses_are_allowed_the_cost_is_all_that_was_spent_per_success():
    missed = run_of(0.1, seed=3, energy_j=300, outcome="BUDGET_EXHAUSTED")
    runs = [*repeats(0.1, 90, 100, 110), missed, *repeats(0.2, 150, 160, 170)]
    choice = choice_of(runs, min_success=0.75)
    # By what its successes took, 0.1 would have won.
    assert order(choice) == [0.2, 0.1]
    second = choice.ranking[1]
    assert second.intervals[ENERGY].mean == pytest.approx(600 / 3)
    assert (second.repeats, second.share_reached) == (4, 0.75)
    assert len(second.runs) == 4
    # What only those that reached can tell is their mean.
    assert second.mean(ENERGY) == pytest.approx(100)


def test_the_interval_of_a_cost_with_misses_is_wider_than_the_noise_of_its_successes():
    missed = run_of(0.1, seed=4, energy_j=300, outcome="BUDGET_EXHAUSTED")
    runs = [*repeats(0.1, 99, 100, 101, 100), missed, *repeats(0.2, 99, 100, 101)]
    sure, unsure = (ranked.intervals[ENERGY] for ranked in choice_of(runs, min_success=0.8).ranking)
    assert sure.high / sure.low < 1.1
    assert unsure.high / unsure.low > 2


def test_fewer_successes_than_asked_for_exclude_a_configuration():
    missed = run_of(0.1, seed=2, outcome="DIVERGED")
    reached = repeats(0.1, 1, 1)
    runs = [*reached, missed, run_of(0.2)]
    assert order(choice_of(runs, min_success=0.66)) == [0.1, 0.2]
    choice = choice_of(runs, min_success=0.7)
    assert order(choice) == [0.2]
    why = "another repeat of its configuration missed the target too often for --min-success 0.7"
    assert [reasons(choice)[run.run_id] for run in reached] == [why] * 2


def test_shares_are_compared_as_fractions_not_as_their_rounded_sums():
    misses = [run_of(0.1, seed, outcome="DIVERGED") for seed in range(7, 10)]
    choice = choice_of([*repeats(0.1, *[100.0] * 7), *misses], min_success=0.7)
    assert order(choice) == [0.1]


def test_of_a_property_of_the_model_misses_cost_nothing_but_their_share():
    sized = [
        replace(run, metrics={**run.metrics, "model_size_bytes": 1000.0})
        for run in repeats(0.1, 1, 2, 3)
    ]
    missed = run_of(0.1, seed=3, outcome="BUDGET_EXHAUSTED")
    (ranked,) = choice_of([*sized, missed], "model_size", min_success=0.75).ranking
    assert ranked.intervals["model_size_bytes"].mean == 1000


def test_a_training_that_was_given_up_bounds_its_configuration_and_never_ranks():
    capped = run_of(0.1, seed=1, energy_j=1.0, outcome="CAPPED")
    for min_success in (1.0, 0.5):
        choice = choice_of([run_of(0.1, energy_j=1), capped, run_of(0.2)], min_success=min_success)
        assert order(choice) == [0.2]
        assert reasons(choice) == {
            capped.run_id: "given up by its search after 1 J (CAPPED): a bound, which is never "
            "ranked",
            run_of(0.1).run_id: "another repeat of its configuration was given up (CAPPED)",
        }


def test_what_was_given_up_counts_no_longer_once_the_same_seed_was_trained_to_its_end():
    capped = replace(run_of(0.1, seed=0, outcome="CAPPED"), run_id="given up")
    choice = choice_of([capped, run_of(0.1, seed=0)])
    assert order(choice) == [0.1]
    assert len(choice.ranking[0].runs) == 1
    assert reasons(choice) == {
        "given up": "given up by its search, and trained to an end by another run"
    }


@pytest.mark.parametrize("energy_j", [None, 0.0, -1.0, math.nan, math.inf, 1.7976931348623157e308])
def test_an_energy_that_is_missing_or_impossible_is_never_taken_for_a_cheap_one(energy_j):
    choice = choice_of([*repeats(0.1, 1, energy_j), *repeats(0.2, 100, 101)])
    assert order(choice) == [0.2]
    told = "no energy was recorded, or not in all its repeats"
    assert list(reasons(choice).values()) == [told] * 2
    # The time is there for all of them.
    assert len(choice_of([*repeats(0.1, 1, energy_j), run_of(0.2)], "time").ranking) == 2


def test_a_mean_is_given_only_where_each_repeat_has_the_metric():
    without = replace(run_of(seed=1), metrics={ENERGY: 100.0, "val_accuracy": math.nan})
    ranked = choice_of([run_of(seed=0), without]).ranking[0]
    assert ranked.mean("epochs") is None
    assert ranked.mean("val_accuracy") is None
    assert ranked.mean(ENERGY) == 100
    assert set(ranked.intervals) == {ENERGY}


def test_runs_of_one_seed_are_one_repeat_and_tell_nothing_of_the_noise():
    again = [run_of(0.1, 0, energy_j) for energy_j in (100.0, 100.2, 100.1)]
    choice = choice_of([*again, run_of(0.2, 0, 105.0)])
    assert choice.ranking[0].repeats == 1
    assert choice.ranking[0].intervals[ENERGY].mean == pytest.approx(100.1)
    assert choice.ranking[0].intervals[ENERGY].low is None
    assert choice.tied_with is None


def test_what_the_noise_does_not_tell_apart_is_tied_and_what_it_does_is_not():
    runs = [*repeats(0.1, 95, 100, 105), *repeats(0.2, 97, 102, 107), *repeats(0.3, 300, 310, 290)]
    choice = choice_of(runs)
    assert order(choice) == [0.1, 0.2, 0.3]
    assert [ranked.parameters["lr"] for ranked in choice.tied_with] == ["0.2"]


def test_what_a_search_tried_once_is_no_rival_to_what_it_trained_again():
    lucky = of_search(run_of(0.1, 0, 5))
    leader = [of_search(run_of(0.2, 0, 6)), of_search(run_of(0.2, 1, 9), "confirmation")]
    cheaper = of_search(run_of(0.3, 0, 4))
    choice = choice_of([lucky, cheaper, *leader])
    assert order(choice) == [0.2, 0.3, 0.1]
    assert choice.behind == 2
    assert [ranked.parameters["lr"] for ranked in choice.rivals] == ["0.2"]
    assert choice.tied_with == ()  # there is nobody that it could be tied with
    twice = replace(lucky, run_id="the same search once more", tags={**lucky.tags})
    assert order(choice_of([lucky, twice, *leader])) == [0.2, 0.1]


@pytest.mark.parametrize(
    ("lucky", "leader"),
    [
        ([of_search(run_of(0.1, 0, 5))], [of_search(run_of(0.2, 0, 6))]),
        ([of_search(run_of(0.1, 0, 5), search="q")], []),
        ([run_of(0.1, 0, 5)], []),
        ([of_search(run_of(0.1, 0, 5)), run_of(0.1, 1, 8)], []),
    ],
    ids=["no other repeated", "of another search", "of no search", "repeated by its user"],
)
def test_what_was_tried_by_no_search_that_repeats_or_more_than_once_is_a_rival(lucky, leader):
    repeated = [of_search(run_of(0.2, 0, 6)), of_search(run_of(0.2, 1, 9), "confirmation")]
    choice = choice_of([*lucky, *(leader or repeated)])
    assert order(choice) == [0.1, 0.2]
    assert choice.behind == 0


def test_a_property_of_the_model_is_no_matter_of_luck_and_needs_no_repeat():
    runs = [
        of_search(run_of(0.1, 0, 5)),
        *(of_search(run_of(0.2, seed, 6), "confirmation") for seed in range(2)),
    ]
    sizes = (1.0, 2.0, 2.0)
    runs = [
        replace(run, metrics={**run.metrics, "model_size_bytes": size})
        for run, size in zip(runs, sizes, strict=True)
    ]
    assert order(choice_of(runs, "model_size")) == [0.1, 0.2]
    assert order(choice_of(runs)) == [0.2, 0.1]


def test_repeats_without_noise_leave_nothing_tied_but_equals():
    choice = choice_of([*repeats(0.1, 100, 100), *repeats(0.2, 101, 101), *repeats(0.3, 100, 100)])
    assert [ranked.parameters["lr"] for ranked in choice.tied_with] == ["0.3"]


def test_among_many_the_first_is_named_by_the_same_rule_as_among_two():
    ahead = [*repeats(0.1, 50, 55, 60), *repeats(0.2, 90, 100, 110)]
    far = [run for n in range(1, 19) for run in repeats(n, 900 + n, 1000 + n, 1100 + n)]
    assert choice_of(ahead).tied_with == ()
    assert choice_of([*ahead, *far]).tied_with == ()


def test_where_none_is_named_the_tied_are_all_that_may_be_the_best_of_so_many():
    close = [run for n in range(1, 20) for run in repeats(n, 90, 100, 110)]
    far = [run for n in range(21, 39) for run in repeats(n, 900, 1000, 1100)]
    apart = repeats(0.5, 109, 121, 133)
    # Where two are in question, the second is told from the first by as much.
    assert choice_of([*close[:3], *apart, *far]).tied_with == ()
    assert apart[0].parameters["lr"] in {
        ranked.parameters["lr"] for ranked in choice_of([*close, *apart]).tied_with
    }


def test_without_repeats_nobody_knows_whether_it_is_a_tie():
    choice = choice_of([run_of(0.1, energy_j=1), run_of(0.2, energy_j=1000)])
    assert choice.tied_with is None
    assert choice.repeats_to_decide is None
    for ranked in choice.ranking:
        assert (ranked.intervals[ENERGY].low, ranked.intervals[ENERGY].high) == (None, None)


def test_more_repeats_are_asked_for_the_closer_the_tied_are_and_none_where_nothing_is_tied():
    def needed(*others: float) -> int | None:
        return choice_of([*repeats(0.1, 90, 100, 110), *repeats(0.2, *others)]).repeats_to_decide

    close, closer = needed(100, 110, 120), needed(95, 105, 115)
    assert 1 < close < closer < MOST_REPEATS
    assert needed(900, 1000, 1100) is None
    # A difference as small as this is none.
    assert needed(90, 100, 110.001) is None


def test_as_many_repeats_as_were_asked_for_tell_the_means_apart_four_times_in_five():
    noise = Noise(0.2, 4)
    first, other = noise.estimate([100.0] * 3), noise.estimate([120.0] * 3)

    def power(seeds: int) -> float:
        # By the noncentral t distribution, which the code does not know of.
        degrees, error = 2 * (seeds - 1), 0.2 * math.sqrt(2 / seeds)
        return stats.nct.sf(stats.t.ppf(0.975, degrees), degrees, math.log(1.2) / error)

    seeds = 3 + repeats_to_decide(first, [other])
    assert power(seeds - 2) < 0.8 < power(seeds + 1)


def test_nothing_that_reached_its_target_gives_an_empty_ranking_and_no_ties():
    choice = choice_of([run_of(outcome="DIVERGED")])
    assert (choice.ranking, choice.tied_with) == ((), None)
    assert choice_of([]) == Choice((), None, ())


def test_reasons_that_differ_in_a_number_are_told_together_the_commonest_first():
    capped = [run_of(0.1, seed=n, energy_j=n + 1.0, outcome="CAPPED") for n in range(3)]
    missed = [run_of(0.2, outcome="BUDGET_EXHAUSTED"), run_of(0.3)]
    told = by_reason(choice_of([*missed, *capped]).excluded)
    together = "given up by its search after … J (CAPPED): a bound, which is never ranked"
    assert next(iter(told)) == together
    assert [each.run for each in told[together]] == capped
    (alone,) = [why for why in told if why != together]
    assert "…" not in alone and alone.startswith("missed its target")
