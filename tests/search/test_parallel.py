"""Several trainings at a time: each counts once, whatever becomes of its worker."""

import dataclasses
import math
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_engine import Bench, PaperEngine, cost_j

from pipeline.search.engines import require_own_energy
from pipeline.search.job import envelope_of
from pipeline.search.objective import OBJECTIVES
from pipeline.search.parallel import RESTARTS, UnderWay
from pipeline.search.plan import Limits
from pipeline.search.pruning import Cap, Unpruned
from pipeline.search.worker import Judge, SharedBest
from pipeline.tracking.elsewhere import Exchange
from pipeline.tracking.search_log import SearchLog
from steps.errors import InputError

WIDE = """purpose: of a test
parameters:
  lr: {low: 0.0001, high: 0.1, log: true}
"""


@pytest.fixture
def bench(store, tmp_path):
    return lambda **choices: Bench(tmp_path, **choices)


def test_all_workers_are_busy_and_every_configuration_is_trained_once(bench):
    on, engine = bench(), PaperEngine(workers=4)
    assert on.run(engine) == "the space has no other configuration"
    assert engine.most_at_once == 4
    assert on.numbers("FINISHED") == [0, 1, 2, 3, 4, 5]
    assert len({job.parameters["lr"] for job in engine.begun}) == 6
    assert engine.closed


def test_limit_of_trials_counts_those_under_way(bench):
    on, engine = bench(limits=Limits(3, None, None, None)), PaperEngine(workers=8)
    assert on.run(engine) == "--trials 3"
    assert len(engine.begun) == 3


def test_budget_ends_the_search_when_all_that_is_under_way_has_ended(bench):
    on, engine = bench(limits=Limits(None, 5.0, None, None)), PaperEngine(workers=2)
    train = engine.train
    engine.train = lambda job: (train(job), setattr(on.own, "energy_j", 5.0))
    assert on.run(engine) == "--budget-kj"
    assert on.numbers("FINISHED") == [0, 1]


def test_leaders_are_trained_again_unpruned_with_other_seeds(bench):
    on, engine = bench(repeats=3, confirm_top=2), PaperEngine(workers=3)
    on.run(engine)
    again = [job for job in engine.begun if job.role == "confirmation"]
    assert sorted((job.parameters["lr"], job.parameters["seed"]) for job in again) == [
        ("0.005", "1"),
        ("0.005", "2"),
        ("0.006", "1"),
        ("0.006", "2"),
    ]
    assert {job.pruning for job in again} == {"none"}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_leader_that_misses_in_a_repeat_makes_room_for_the_next(bench, workers):
    on = bench(repeats=3, confirm_top=2)
    engine = PaperEngine(workers=workers, lucky=("0.006", "0.004"))
    on.run(engine)
    again = [(job.parameters["lr"], job.parameters["seed"]) for job in engine.begun[6:]]
    assert len(set(again)) == len(again)
    repeated = {lr: [seed for each, seed in again if each == lr] for lr, _ in again}
    assert sorted(repeated) == ["0.003", "0.004", "0.005", "0.006"]
    assert sorted(repeated["0.005"]) == sorted(repeated["0.003"]) == ["1", "2"]
    if workers == 1:
        # No energy is spent on a second miss.
        assert repeated["0.006"] == repeated["0.004"] == ["1"]


def test_where_every_leader_misses_the_search_ends(bench):
    on = bench(repeats=3, confirm_top=1)
    engine = PaperEngine(workers=2, lucky=("0.006", "0.005", "0.004", "0.003"))
    on.run(engine)
    assert {job.parameters["lr"] for job in engine.begun[6:]} == {"0.006", "0.005"}


def test_worker_learns_the_best_cost_at_its_start_and_finds_later_ones_in_the_parent_run(bench):
    on, engine = bench(), PaperEngine(workers=1)
    on.run(engine)
    assert engine.begun[0].best is None
    assert engine.begun[3].best == min(cost_j(job) for job in engine.begun[:3])
    exchange = Exchange(on.search_id)
    assert exchange.best_so_far() == min(cost_j(job) for job in engine.begun)
    with SharedBest(exchange, dataclasses.replace(engine.begun[0], poll_s=0.01)) as shared:
        while math.isinf(shared.cost):
            time.sleep(0.01)
    assert shared.cost == exchange.best_so_far()


def test_training_is_given_up_when_another_machine_finds_a_better_one_meanwhile():
    shared = SimpleNamespace(cost=math.inf)
    judge = Judge(Cap(1.2), OBJECTIVES["time"], SimpleNamespace(), 3, shared)
    progress = SimpleNamespace(epoch=1, spent_s=10.0, before_s=1.0, val_accuracy=0.5, streak=0)
    assert not judge(progress)
    shared.cost = 8.0
    assert judge(progress)
    assert judge.reason == "cap"


def test_lost_worker_s_training_is_begun_again_and_counts_once(bench):
    on, engine = bench(), PaperEngine(workers=2, losses=(1, 4, 4))
    on.run(engine)
    assert on.numbers("FINISHED") == [0, 1, 2, 3, 4, 5]
    assert on.numbers("KILLED") == [1, 4, 4]
    assert on.numbers("RUNNING") == []
    assert [child.number for child in on.last.children].count(4) == 1


def test_training_that_takes_down_every_worker_fails_in_the_end(bench):
    on, engine = bench(), PaperEngine(workers=2, losses=(2,) * (RESTARTS + 1))
    on.run(engine)
    assert on.numbers("FINISHED") == [0, 1, 3, 4, 5]
    (failed,) = on.runs("FAILED")
    assert "ended by signal 9" in failed.data.tags["failure"]
    assert failed.data.tags["outcome"] == "FAILED"
    assert on.numbers("KILLED") == [2] * (RESTARTS + 1)


def test_training_whose_worker_broke_after_it_had_ended_is_not_trained_again(bench):
    class Breaking(PaperEngine):
        def ended(self, timeout_s):
            return [
                dataclasses.replace(each, failure="ended by signal 11")
                for each in super().ended(timeout_s)
            ]

    on, engine = bench(), Breaking()
    on.run(engine)
    assert len(engine.begun) == 6
    assert on.numbers("KILLED") == []


def test_interrupted_search_leaves_nothing_running_and_trains_the_rest_when_resumed(bench):
    class Interrupted(PaperEngine):
        def ended(self, timeout_s):
            if len(self.begun) == 4:
                for job in self._running:
                    self.open_run(job)
                raise KeyboardInterrupt
            return super().ended(timeout_s)

    on, first, second = bench(), Interrupted(), PaperEngine()
    with pytest.raises(KeyboardInterrupt):
        on.run(first)
    assert first.closed
    assert on.numbers("RUNNING") == []
    before = on.numbers("FINISHED")
    on.run(second)
    assert sorted(before + [job.number for job in second.begun]) == [0, 1, 2, 3, 4, 5]
    assert on.numbers("FINISHED") == [0, 1, 2, 3, 4, 5]
    assert len({run.data.params["lr"] for run in on.runs("FINISHED")}) == 6


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_hundreds_of_configurations_under_way_are_all_different(bench, sampler):
    on = bench(space=WIDE, sampler=sampler)
    search = on.search(SearchLog(on.search_id, on.experiment_id), PaperEngine())
    for number in range(250):
        asked = search._next_trial()
        assert isinstance(asked, UnderWay)
        search._under_way[number] = asked
    asked = [each.configuration.config_id for each in search._under_way.values()]
    assert len(set(asked)) == 250


@pytest.mark.parametrize(("machine", "counted"), [("another", True), ("", False)])
def test_search_adds_the_energy_of_other_machines_to_what_its_own_window_saw(
    bench, machine, counted
):
    on, engine = bench(), PaperEngine(machine=machine)
    on.run(engine)
    trained = sum(cost_j(job) for job in engine.begun)
    assert on.last.spent().energy_j == pytest.approx(1.0 + (trained if counted else 0.0))


def test_halving_is_refused_since_its_rungs_are_known_to_one_process_only(bench):
    on = bench(pruning="halving")
    with pytest.raises(InputError, match=r"--pruning halving: .* cap or none"):
        on.run(PaperEngine())


curves = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=300), min_size=1, max_size=5)


@given(curves=curves, share=st.floats(0, 1))
def test_envelope_that_travels_is_nowhere_above_the_one_it_was_made_from(curves, share):
    known = Cap()
    for accuracies in curves:
        known.learn(10.0, accuracies)
    told = Cap()
    told.learn(known.best, envelope_of(known))
    assert told.envelope.at(share) <= known.envelope.at(share)
    assert told.envelope.at(1.0) == known.envelope.at(1.0)


def test_nothing_travels_where_nothing_was_learned():
    assert envelope_of(Cap()) == envelope_of(Unpruned()) == []


@pytest.mark.parametrize(
    ("workers", "gpus", "insists"), [(1, 0, False), (2, 0, True), (2, 2, False), (1, 8, False)]
)
def test_trainings_with_an_energy_of_their_own_may_run_at_once(workers, gpus, insists):
    require_own_energy(workers, gpus, energy_shared=insists)


@pytest.mark.parametrize(
    ("workers", "gpus", "insists", "told"),
    [
        (2, 0, False, "--workers 2: without a GPU each, .* --shared-energy yes insists"),
        (3, 2, False, "--workers 3: trainings never share a GPU, and this machine has 2"),
        (3, 2, True, "--workers 3: trainings never share a GPU, and this machine has 2"),
    ],
)
def test_trainings_that_would_be_measured_together_are_refused(workers, gpus, insists, told):
    with pytest.raises(InputError, match=told):
        require_own_energy(workers, gpus, energy_shared=insists)
