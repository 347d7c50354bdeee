"""The arithmetic of the bill."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.search.bill import bill_of, retrainings_to_pay_off
from pipeline.tracking import RecordedRun
from steps.outcome import Outcome


def run(outcome: str, energy_j: float | None, epochs: int = 10) -> RecordedRun:
    metrics = {"epochs": float(epochs)}
    if energy_j is not None:
        metrics["energy_spent_j"] = energy_j
    return RecordedRun(
        "id", "name", "FINISHED", 0, {"max_epochs": "40"}, metrics, {"outcome": outcome}
    )


@given(
    st.lists(st.tuples(st.sampled_from(list(Outcome)), st.none() | st.floats(0.0, 1e6)), max_size=9)
)
def test_outcomes_add_up_to_all_trainings_and_their_joules(trainings):
    bill = bill_of([run(*each) for each in trainings], 1.0, 2.0, 3.0)
    assert sum(bill.trainings.values()) == len(trainings)
    spent = [energy_j for _, energy_j in trainings if energy_j is not None]
    assert sum(bill.training_energy_j.values()) == pytest.approx(sum(spent))
    assert set(bill.training_energy_j) <= set(bill.trainings)


def test_what_was_not_measured_is_counted_and_costs_nothing_that_is_known():
    bill = bill_of([run(Outcome.FAILED, None)], None, None, 3.0)
    assert bill.trainings == {Outcome.FAILED: 1}
    assert bill.training_energy_j == {}
    assert bill.energy_j is None


def test_saved_is_what_the_epochs_that_were_left_would_have_cost_at_the_same_pace():
    runs = [run(Outcome.CAPPED, 100.0, epochs=10), run(Outcome.BUDGET_EXHAUSTED, 400.0, epochs=40)]
    assert bill_of(runs, 1.0, 1.0, 1.0).saved_at_most_j == 30 * 10.0


def test_a_search_is_paid_for_when_the_savings_reach_what_it_spent():
    assert retrainings_to_pay_off(search_j=95.0, default_j=30.0, winner_j=20.0) == 10
    assert retrainings_to_pay_off(search_j=100.0, default_j=30.0, winner_j=20.0) == 10


def test_a_winner_that_saves_nothing_never_pays_off():
    assert retrainings_to_pay_off(1.0, 20.0, 20.0) == math.inf
    assert retrainings_to_pay_off(1.0, 10.0, 20.0) == math.inf


@pytest.mark.parametrize("unknown", range(3))
def test_nothing_is_said_of_what_is_not_known(unknown):
    figures = [100.0, 30.0, 20.0]
    figures[unknown] = None
    assert math.isnan(retrainings_to_pay_off(*figures))
