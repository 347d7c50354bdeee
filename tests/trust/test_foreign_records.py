"""Runs of anybody in an experiment: compared, or left out with a reason, and nothing breaks."""

import json
import math
import uuid

import pytest
from extent import LONG, TALLY, tried
from hypothesis import given, settings
from hypothesis import strategies as st
from records import good, records

ASKED = (
    (),
    ("--top", "1"),
    ("--min-success", "0.5", "--country", "FRA"),
    ("--objective", "time"),
    ("--objective", "energy_per_inference"),
    ("--weights", "val_accuracy:1,average_bitwidth:-0.2"),
    ("--pareto", "energy,val_accuracy,latency"),
    ("--inferences", "1000000"),
    ("--profiles", "yes"),
)
SURE = (
    *("--dataset", "d1", "--target-accuracy", "0.95", "--patience", "3"),
    *("--hardware", "one machine"),
)


@pytest.fixture
def compared(store, greenest):
    """Writes records into a new experiment and compares them; their ids, and what came of it."""

    def compare(written, *words):
        TALLY["inputs tried"] += 1
        name = uuid.uuid4().hex
        experiment_id = store.create_experiment(name)
        ids = [record.write(store, experiment_id) for record in written]
        code, out, err = greenest("compare", "--experiment", name, *words)
        assert code in (0, 2, 3), err
        assert "Traceback" not in err
        if code == 2:
            assert out == ""
            assert err.startswith("Error: --") and err.count("\n") == 1, err
        return ids, code, out, err

    return compare


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


@settings(tried, max_examples=400 if LONG else 12)
@given(st.lists(records(), min_size=1, max_size=4), st.sampled_from(ASKED))
def test_each_run_is_ranked_or_left_out_with_a_reason(compared, foreign, asked):
    ours = [good(0.5, seed, 100.0 + seed) for seed in range(2)]
    ids, code, out, _ = compared([*foreign, *ours], "--json", *SURE, *asked)
    if code == 2:
        return
    told = json.loads(out, parse_constant=no_constant)
    ranked = [run_id for each in told["ranking"] for run_id in each["runs"]]
    left_out = {each["run_id"]: each["why"] for each in told["excluded"]}
    assert sorted(ids) == sorted([*ranked, *left_out])
    assert all(why and why.isprintable() for why in left_out.values())
    means = [each["ranked_by"]["mean"] for each in told["ranking"]]
    assert means == sorted(means, reverse="--weights" in asked)
    assert all(map(math.isfinite, means))
    if not asked:
        # Whatever others left there, ours are compared.
        assert set(ids[-2:]) <= set(ranked)


@settings(tried, max_examples=200 if LONG else 4)
@given(st.lists(records(), min_size=1, max_size=5), st.sampled_from(ASKED))
def test_whatever_runs_say_the_answer_and_the_report_are_made(compared, foreign, asked):
    ours = [good(lr, seed, 100.0 * lr + seed) for lr in (0.5, 0.6) for seed in range(2)]
    _, code, out, err = compared([*foreign, *ours], *SURE, *asked, "--record", "yes")
    assert "\x1b" not in out + err
    if code == 0:
        assert "report.html is in run " in out
        assert "comparison not recorded" not in err


@settings(tried, max_examples=200 if LONG else 4)
@given(st.lists(records(), min_size=1, max_size=5))
def test_without_a_choice_of_ours_it_is_an_answer_or_a_line_too(compared, foreign):
    compared(foreign)
