"""Trainings on a cluster: one per GPU or per machine, and begun again when one is lost."""

import sys
import threading
import time
from types import SimpleNamespace

import pytest
from paper_engine import SPACE, Bench, PaperEngine

from pipeline.search.plan import Limits
from pipeline.search.ray_engine import RayCluster
from pipeline.tracking.search_log import SearchLog
from steps.errors import InputError

SERVER = "http://tracking:5000"


class PaperTask:
    """A remote function that notes where it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict] = []

    def options(self, **where) -> SimpleNamespace:
        def remote(*arguments: str) -> str:
            self.sent.append({**where, "job": arguments[0]})
            return f"task {len(self.sent)}"

        return SimpleNamespace(remote=remote)


def machine(name: str, alive: bool = True, **resources: float) -> dict:
    return {"NodeID": name, "Alive": alive, "Resources": resources}


@pytest.fixture
def cluster(monkeypatch):
    """Ray on paper: a cluster of some machines."""

    def of(*machines: dict, workers=None, insists=False, uri=SERVER, address="auto") -> RayCluster:
        task = PaperTask()
        ray = SimpleNamespace(
            init=lambda **options: None,
            shutdown=lambda: None,
            nodes=lambda: list(machines),
            remote=lambda **options: lambda function: task,
        )
        strategies = SimpleNamespace(
            NodeAffinitySchedulingStrategy=lambda name, soft: (name, soft),
        )
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace())
        monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", strategies)
        engine = RayCluster(workers, address, energy_shared=insists, tracking_uri=uri)
        engine.task = task
        return engine

    return of


@pytest.fixture
def jobs(store, tmp_path):
    """Jobs as a search gives them away."""
    on, engine = Bench(tmp_path), PaperEngine(workers=6)
    on.run(engine)
    return engine.begun


def test_machine_without_gpu_takes_one_training_with_all_of_its_cpus(cluster, jobs):
    engine = cluster(machine("a", CPU=8.0), machine("b", CPU=8.0))
    assert engine.free() == 2
    engine.start(jobs[0])
    engine.start(jobs[1])
    assert engine.free() == 0
    sent = engine.task.sent
    assert {each["scheduling_strategy"] for each in sent} == {("a", False), ("b", False)}
    assert [(each["num_cpus"], each["num_gpus"]) for each in sent] == [(8, 0), (8, 0)]
    assert '"energy_shared": ""' in sent[0]["job"]


def test_each_gpu_takes_one_training_and_machines_without_one_take_none(cluster, jobs):
    engine = cluster(machine("head", CPU=4.0), machine("gpus", CPU=8.0, GPU=4.0))
    assert engine.workers == 4
    engine.start(jobs[0])
    (sent,) = engine.task.sent
    assert (sent["num_cpus"], sent["num_gpus"]) == (2, 1)
    assert sent["scheduling_strategy"] == ("gpus", False)
    assert "CPU and RAM: up to 4 trainings at once on this machine" in sent["job"]


def test_machine_that_is_lost_is_not_counted_on(cluster):
    assert cluster(machine("a", CPU=8.0), machine("b", alive=False, CPU=8.0)).workers == 1


def test_user_who_insists_has_a_training_per_cpu(cluster):
    engine = cluster(machine("a", CPU=2.0), machine("b", CPU=2.0), insists=True)
    assert engine.workers == 4


@pytest.mark.parametrize(
    ("machines", "choices", "told"),
    [
        ([machine("a", CPU=4.0)], {"workers": 2}, "--workers 2: without a GPU each"),
        (
            [machine("a", CPU=4.0), machine("b", CPU=4.0)],
            {"workers": 3},
            "--workers 3: the cluster has room for 2",
        ),
        (
            [machine("a", CPU=4.0, GPU=1.0)],
            {"workers": 2, "insists": True},
            "--workers 2: trainings never share a GPU",
        ),
        (
            [machine("a", CPU=4.0), machine("b", CPU=4.0)],
            {"uri": "sqlite:////home/somebody/mlflow.db"},
            "--engine ray: needs a tracking server that all machines reach",
        ),
        ([machine("head", CPU=0.0)], {}, "--address auto: no machine of the cluster has CPUs"),
    ],
)
def test_cluster_that_cannot_do_what_is_asked_is_refused(cluster, machines, choices, told):
    with pytest.raises(InputError, match=told):
        cluster(*machines, **choices)


def test_missing_ray_is_told_in_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="--engine ray: needs Ray, which is not installed"):
        RayCluster(None, "", energy_shared=False, tracking_uri=SERVER)


def test_wrong_address_is_told_in_a_line():
    pytest.importorskip("ray")
    with pytest.raises(InputError, match="--address nowhere"):
        RayCluster(None, "nowhere", energy_shared=False, tracking_uri=SERVER)


def test_ray_begins_the_training_of_a_killed_worker_again(store, tmp_path):
    pytest.importorskip("ray")
    import psutil

    fixed = {"dataset": "iris", "target_accuracy": "0.999", "max_epochs": "500"}
    on = Bench(tmp_path, SPACE, fixed=fixed, limits=Limits(2, None, None, None), pruning="none")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    engine = RayCluster(2, "", energy_shared=True, tracking_uri=uri)
    killed = []

    def kill_one() -> None:
        while not any("hardware" in run.data.tags for run in on.runs("RUNNING")):
            time.sleep(0.05)
        ours = psutil.Process().children(recursive=True)
        one = next(each for each in ours if "ray::train" in each.cmdline())
        one.kill()
        killed.append(one.pid)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with SearchLog(on.search_id, on.experiment_id) as log:
        on.search(log, engine).run()
    assert killed
    assert on.numbers("FINISHED") == [0, 1]
    assert len(on.runs("KILLED")) == 1
    assert on.numbers("RUNNING") == on.numbers("FAILED") == []
