from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_runs import ranked

from pipeline.choice import Ranked
from pipeline.lifetime import Variant, lifetime, search_shares, stages_of

PER_INFERENCE = "energy_per_inference_j"


def variant(before_use_j: float, per_inference_j: float) -> Variant:
    return Variant(ranked(), "float32", before_use_j, 0.0, per_inference_j, None)


def total(each: Variant, inferences: int) -> Fraction:
    return Fraction(each.before_use_j) + inferences * Fraction(each.per_inference_j)


def quantized(configuration: Ranked, mode: str) -> Ranked:
    return replace(configuration, parameters={**configuration.parameters, "quantization": mode})


lines = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 50).map(float), st.floats(0, 1e9)),
        st.one_of(st.integers(1, 20).map(float), st.floats(1e-9, 1e3)),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(lines, st.integers(0, 10**12))
def test_a_stage_holds_what_takes_the_least_of_all(given_lines, somewhere):
    """Against brute force, in exact arithmetic, at and on both sides of each change."""
    variants = [variant(*line) for line in given_lines]
    stages = stages_of(variants)
    starts = [stage.from_inferences for stage in stages]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    looked_at = {0, somewhere, *starts, *(start - 1 for start in starts[1:])}
    for inferences in looked_at:
        best = [each for each in stages if each.from_inferences <= inferences][-1].variant
        assert total(best, inferences) == min(total(each, inferences) for each in variants)


@settings(max_examples=100, deadline=None)
@given(lines)
def test_the_answer_changes_where_the_next_one_first_takes_less(given_lines):
    stages = stages_of([variant(*line) for line in given_lines])
    for before, after in pairwise(stages):
        start = after.from_inferences
        assert total(after.variant, start) < total(before.variant, start)
        assert total(after.variant, start - 1) >= total(before.variant, start - 1)


def test_known_crossing():
    """100 + 3 n against 160 + n: equal at 30."""
    dear, thrifty = variant(100.0, 3.0), variant(160.0, 1.0)
    assert [(each.from_inferences, each.variant) for each in stages_of([thrifty, dear])] == [
        (0, dear),
        (31, thrifty),
    ]
    assert stages_of([]) == ()


def test_life_is_training_and_searching_and_answering():
    configuration = ranked(energy_j=100.0, energy_per_inference_j=0.5)
    [only] = lifetime([configuration], {configuration.config_id: 40.0}, 10).variants
    assert (only.training_j, only.search_j, only.per_inference_j) == (100.0, 40.0, 0.5)
    assert only.total_j(10) == 145.0


def test_the_float_model_and_each_mode_are_variants_by_their_own_metrics():
    configuration = quantized(
        ranked(
            **{
                PER_INFERENCE: 4.0,
                f"quantized_{PER_INFERENCE}": 2.0,
                f"int8/{PER_INFERENCE}": 2.0,
                f"dynamic/{PER_INFERENCE}": 3.0,
                "int8/val_accuracy": 0.97,
            }
        ),
        "int8",
    )
    answer = lifetime([configuration], {configuration.config_id: 0.0}, 1000)
    assert [(each.mode, each.per_inference_j, each.val_accuracy) for each in answer.variants] == [
        ("int8", 2.0, 0.97),
        ("dynamic", 3.0, None),
        ("float32", 4.0, 0.96),
    ]
    assert answer.left_out == ()


def test_the_chosen_mode_has_the_metrics_of_older_runs_too():
    configuration = quantized(
        ranked(**{PER_INFERENCE: 4.0, f"quantized_{PER_INFERENCE}": 2.0}), "dynamic"
    )
    answer = lifetime([configuration], {configuration.config_id: 0.0}, 1)
    assert [each.mode for each in answer.variants] == ["dynamic", "float32"]


@pytest.mark.parametrize(
    ("metrics", "energy_j", "search_j", "why"),
    [
        ({}, 100.0, 0.0, "the energy of an inference was not measured"),
        ({PER_INFERENCE: 0.0}, 100.0, 0.0, "the energy of an inference was not measured"),
        ({PER_INFERENCE: 1.7e308}, 100.0, 0.0, "the energy of an inference was not measured"),
        ({PER_INFERENCE: 1.0}, None, 0.0, "the energy of its training was not measured"),
        ({PER_INFERENCE: 1.0}, 100.0, None, "the energy of its search was not measured"),
    ],
)
def test_what_was_not_measured_is_left_out_and_never_free(metrics, energy_j, search_j, why):
    configuration = ranked(energy_j=energy_j, **metrics)
    answer = lifetime([configuration], {configuration.config_id: search_j}, 10**6)
    assert answer.variants == answer.stages == ()
    assert [(each.mode, each.why) for each in answer.left_out] == [("float32", why)]


def test_emulated_arithmetic_and_a_lost_target_rank_nothing():
    fixed = "fixed:8.4/4.2"
    configuration = ranked(
        **{
            PER_INFERENCE: 4.0,
            f"{fixed}/{PER_INFERENCE}": 0.1,
            f"int4/{PER_INFERENCE}": 0.1,
            "int4/val_accuracy": 0.5,
        }
    )
    answer = lifetime([configuration], {configuration.config_id: 0.0}, 10**9)
    assert [each.mode for each in answer.variants] == ["float32"]
    assert {each.mode: each.why for each in answer.left_out} == {
        fixed: "its arithmetic is emulated: its energy is that of the emulation",
        "int4": "quantized, its validation accuracy is 0.5000, not above 0.95",
    }


def test_a_search_is_paid_by_what_it_found_less_its_own_training():
    parent = replace(ranked().runs[0], run_id="parent", metrics={"search_energy_j": 1000.0})
    unmeasured = replace(parent, run_id="unmeasured", metrics={})

    def child_of(number: int, *searches: str) -> Ranked:
        configuration = ranked(number, energy_j=100.0)
        runs = [
            replace(
                configuration.runs[0],
                tags={
                    **configuration.runs[0].tags,
                    "mlflow.parentRunId": search,
                    "search.role": "trial",
                },
            )
            for search in searches
        ]
        return replace(configuration, runs=tuple(runs))

    alone = ranked(0, energy_j=100.0)
    ranking = [
        alone,
        child_of(1, "parent", "parent"),
        child_of(2, "unmeasured"),
        child_of(3, "deleted"),
    ]
    shares = search_shares(ranking, [parent, unmeasured, *alone.runs])
    assert [shares[each.config_id] for each in ranking] == [0.0, 900.0, None, None]
