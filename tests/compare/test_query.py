"""What is read of an experiment, and that it is what MLflow has, however it is read."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import mlflow
import numpy as np
import pytest
from bulk_store import write_runs
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import DatasetInput, InputTag, Metric
from recorded_runs import ENERGY, run_of
from stored_runs import LEARNING_RATES, best_cost, id_of, placed, winner

from pipeline import tracking
from pipeline.tracking import RecordedRun, pages
from steps.errors import InputError

FOREIGN = RecordedRun("0" * 32, "theirs", "FINISHED", 5, {"lr": "1"}, {"loss": 0.5}, {"a": 'b"c'})

pytestmark = pytest.mark.usefixtures("reads_from")


def many_runs() -> list[RecordedRun]:
    """Of all kinds: repeats, misses, failures, other datasets, other programs."""
    runs = [
        run_of(lr, seed, 100 * lr + seed, digest=digest)
        for lr in LEARNING_RATES
        for seed in range(20)
        for digest in ("d1", "d2")
    ]
    missed = [run_of(lr, 20, outcome="DIVERGED") for lr in LEARNING_RATES]
    failed = [replace(run_of(lr, 21), status="FAILED") for lr in LEARNING_RATES]
    strange = run_of(0.5)
    strange = replace(
        strange,
        metrics={**strange.metrics, "loss": math.nan, "worst": math.inf, "none": 0.0},
        tags={**strange.tags, "empty": "", "mlflow.note.content": "A page of text."},
    )
    return placed([*runs, *missed, *failed, FOREIGN, strange])


@pytest.fixture(scope="module")
def mixed(experiment) -> str:
    runs = many_runs()
    return experiment(*runs, deleted=(runs[3].run_id, runs[-3].run_id))


def told(runs: list[RecordedRun]) -> list[str]:
    """Comparable with ==, also where a value is NaN, in whatever order names come."""
    return [
        repr(
            (
                *(run.run_id, run.name, run.status, run.started_at_ms),
                *(sorted(part.items()) for part in (run.parameters, run.metrics, run.tags)),
            )
        )
        for run in runs
    ]


def by_mlflow(name: str, where: str = "") -> list[str]:
    found = mlflow.search_runs(experiment_names=[name], filter_string=where, output_format="list")
    return told(
        [
            RecordedRun(
                run.info.run_id,
                run.info.run_name,
                run.info.status,
                run.info.start_time,
                run.data.params,
                run.data.metrics,
                {k: v for k, v in run.data.tags.items() if k != "mlflow.note.content"},
            )
            for run in found
        ]
    )


FILTERS = [
    "",
    "params.lr = '0.1'",
    "params.lr != '0.1' and metrics.energy_to_accuracy_j <= 25.5 and metrics.epochs > 1",
    "tags.outcome LIKE 'REACH%' and tags.dataset_digest = \"d2\"",
    "tags.`dataset_digest` ILIKE 'D1'",
    "attributes.status = 'FAILED'",
    "attributes.start_time > 100000",
    "run_name = 'theirs'",
    "metrics.loss != 0.25",
    "tags.config_id IS NULL",
    "params.lr = 'never'",
]


@pytest.mark.parametrize("where", FILTERS)
def test_the_runs_are_those_that_mlflow_finds_in_its_order(mixed, where):
    expected = by_mlflow(mixed, where)
    assert bool(expected) == ("never" not in where)
    assert told(tracking.runs_of(mixed, where)) == expected
    # As from a store that is neither a database nor a server.
    assert told(list(pages.found(id_of(mixed), where, page=50))) == expected


def test_filters_by_run_and_by_dataset_find_what_mlflow_finds(experiment, database):
    runs = placed([run_of(0.1), run_of(0.2), run_of(0.3)])
    name = experiment(*runs)
    source = CodeDatasetSource({"dataset": "iris"})
    data = mlflow.data.from_numpy(np.zeros((1, 1)), source=source, name="iris", digest="d1")
    dataset = DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", "training")])
    client = mlflow.MlflowClient(database)
    for run in runs[:2]:
        client.log_inputs(run.run_id, [dataset])
    for where, count in (
        ("dataset.name = 'iris'", 2),
        ("dataset.context = 'training' and params.lr = '0.2'", 1),
        (f"attributes.run_id IN ('{runs[2].run_id}')", 1),
    ):
        assert len(by_mlflow(name, where)) == count
        assert told(tracking.runs_of(name, where)) == by_mlflow(name, where)


def test_deleted_runs_are_not_read(mixed):
    assert len(tracking.runs_of(mixed)) == len(many_runs()) - 2


def test_what_mlflow_keeps_about_special_numbers_is_read_as_it_is(mixed):
    (run,) = tracking.runs_of(mixed, "params.lr = '0.5'")
    assert math.isnan(run.metrics["loss"])
    assert run.metrics["none"] == 0
    assert run.metrics["worst"] == sys.float_info.max


def test_a_run_without_a_name_goes_by_its_id(experiment, database):
    (run,) = placed([replace(run_of(), name="")])
    assert tracking.runs_of(experiment(run))[0].name == run.run_id


def test_a_run_that_begins_while_pages_are_read_moves_no_other_into_the_answer_twice(
    experiment, database
):
    runs = placed([run_of(seed=seed) for seed in range(6)])
    name = experiment(*runs)
    reading = pages.found(id_of(name), "", page=2)
    read = [next(reading), next(reading)]
    (new,) = placed([run_of(seed=6)])
    write_runs(database, id_of(name), [replace(new, started_at_ms=10**6)])
    read += list(reading)
    assert [run.run_id for run in read] == [run.run_id for run in reversed(runs)]


@pytest.mark.parametrize(
    "where",
    [
        "nonsense",
        "   ",
        "params.lr",
        "params.lr = 0.1",
        "metrics.energy = 'low'",
        "params.lr = '0.1' or params.lr = '0.2'",
        "params.model = 'mlp",
        "params.lr > '0.1'",
        "attributes.color = 'green'",
        "metrics.energy > 1;",
        "metrics.energy > 1\nnonsense",
    ],
)
def test_what_is_no_filter_is_refused_in_one_line_that_names_it(mixed, where):
    with pytest.raises(InputError) as caught:
        tracking.runs_of(mixed, where)
    assert caught.value.option == "--where"
    assert str(caught.value).startswith(f"--where {' '.join(where.split())}".strip())
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="--where"):
        tracking.leaders_of(mixed, ENERGY, best_cost, where)


def test_an_experiment_that_is_not_there_is_refused_with_those_that_are(mixed):
    with pytest.raises(InputError, match=f"^--experiment missing: there is none.*{mixed}"):
        tracking.runs_of("missing")


def test_from_a_database_the_leaders_are_all_runs_since_that_takes_no_longer(mixed):
    read = tracking.leaders_of(mixed, ENERGY, best_cost)
    assert read.are_all
    assert told(read.runs) == told(tracking.runs_of(mixed))


@pytest.fixture(scope="module")
def curves(database, experiment) -> list[str]:
    """Two runs: one with a loss at 1,000 steps and an accuracy at two, one with a loss of NaN."""
    client = mlflow.MlflowClient(database)
    long, short = placed([replace(run_of(seed=seed), metrics={}) for seed in range(2)])
    experiment(long, short)
    losses = [Metric("loss", 1 / step, 5000 + step, step) for step in range(1, 1001)]
    client.log_batch(long.run_id, losses)
    client.log_batch(long.run_id, [Metric("accuracy", s / 10, s, s) for s in (0, 1)])
    client.log_batch(short.run_id, [Metric("loss", math.nan, 1, 7)])
    return [long.run_id, short.run_id]


def test_curves_keep_their_ends_and_no_more_points_than_asked(curves):
    long, short = curves
    read = tracking.histories(curves, ["loss", "accuracy", "never"], points=50)
    assert set(read[long]) == {"loss", "accuracy"} and set(read[short]) == {"loss"}
    assert read[long]["accuracy"] == [(0, 0, 0.0), (1, 1, 0.1)]
    loss = read[long]["loss"]
    assert len(loss) == 50
    assert (loss[0], loss[-1]) == ((1, 5001, 1.0), (1000, 6000, 0.001))
    assert all(point == (step, 5000 + step, 1 / step) for point in loss for step in point[:1])
    ((step, _, value),) = read[short]["loss"]
    assert step == 7 and math.isnan(value)


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    """A tracking server over the same database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ("server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *command, "--backend-store-uri", database],
        cwd=tmp_path_factory.mktemp("server"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def test_a_server_gives_the_same_runs_leaders_curves_and_refusals(
    server, mixed, experiment, curves
):
    alike = experiment(*placed([run_of(lr, seed, lr) for lr in (0.1, 0.2) for seed in range(3)]))
    filters = FILTERS[:3]
    runs = {where: told(tracking.runs_of(mixed, where)) for where in filters}
    all_alike = tracking.runs_of(alike)
    histories = repr(tracking.histories(curves, ["loss", "accuracy"], points=50))

    mlflow.set_tracking_uri(server)

    assert {where: told(tracking.runs_of(mixed, where)) for where in filters} == runs
    assert told(list(pages.found(id_of(mixed), "", page=50))) == runs[""]
    assert repr(tracking.histories(curves, ["loss", "accuracy"], points=50)) == histories
    few = tracking.leaders_of(alike, ENERGY, best_cost)
    assert not few.are_all and len(few.runs) == 3
    assert winner(few.runs) == winner(all_alike)
    whole = tracking.leaders_of(mixed, ENERGY, lambda runs: None)
    assert whole.are_all and told(whole.runs) == runs[""]
    with pytest.raises(InputError, match=r"^--where params\.lr > '0\.1': [^:]*$"):
        tracking.runs_of(mixed, "params.lr > '0.1'")
