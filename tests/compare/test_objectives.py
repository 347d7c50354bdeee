"""What can be asked for, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_runs import run_of

from pipeline.choice import (
    OBJECTIVES,
    objective_named,
    refuse_test_metrics,
    require_recorded,
    weighted,
)
from steps.errors import InputError

TEST_METRICS = ("test_accuracy", "quantized_test_loss", "float32_test_accuracy", "Test-F1", "test")


@pytest.mark.parametrize("metric", TEST_METRICS)
def test_a_test_metric_decides_nothing_and_the_reason_is_told(metric):
    for option, refused in (
        ("--objective", lambda: objective_named(metric)),
        ("--weights", lambda: weighted(f"val_accuracy:1,{metric}:1")),
        ("--where", lambda: refuse_test_metrics(f"metrics.`{metric}` > 0.9")),
        ("--where", lambda: refuse_test_metrics(f'params.lr = "1" AND metric."{metric}" > 0.9')),
    ):
        with pytest.raises(InputError, match=rf"^{option} .*report and never decide") as caught:
            refused()
        assert caught.value.option == option


@pytest.mark.parametrize(
    "where",
    [
        "",
        "params.model = 'test'",
        "metrics.latest_accuracy > 0.9 and metrics.contested < 1",
        "tags.note LIKE '%test_accuracy%'",
    ],
)
def test_a_filter_without_test_metrics_passes(where):
    refuse_test_metrics(where)


def test_an_objective_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(
        InputError, match=r"^--objective joy: choose one of energy, emissions, time"
    ):
        objective_named("joy")


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_each_objective_can_be_told_to_people(name):
    objective = objective_named(name)
    assert objective.words
    assert "1" in objective.told(1.0)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}[:/_][a-z]{1,6}", fullmatch=True).filter(
            lambda name: "test" not in name
        ),
        st.floats(-1e9, 1e9).filter(bool),
        min_size=1,
        max_size=4,
    )
)
def test_weights_are_read_as_they_are_written(weights):
    text = ", ".join(f"{metric}:{weight!r}" for metric, weight in weights.items())
    assert weighted(text).weights == weights


@pytest.mark.parametrize(
    "text",
    ["val_accuracy", "val_accuracy:", ":1", "a:1,a:2", "a:0", "a:nan", "a:inf", "a:1,", "a:x", ","],
)
def test_what_are_no_weights_is_one_line_that_says_how_they_are_written(text):
    with pytest.raises(InputError, match=r"^--weights .*must be METRIC:WEIGHT") as caught:
        weighted(text)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_of_what_was_never_recorded_are_refused_with_what_was():
    run = run_of()
    run.metrics["test_accuracy"] = 0.9
    with pytest.raises(InputError, match=r"no run has val_acuracy; choose of .*val_accuracy"):
        require_recorded(weighted("val_acuracy:1"), [run])
    with pytest.raises(InputError) as caught:
        require_recorded(weighted("joy:1"), [run])
    assert "test_accuracy" not in str(caught.value)
    require_recorded(weighted("val_accuracy:1"), [run])
    require_recorded(weighted("joy:1"), [])
