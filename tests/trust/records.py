"""Runs that somebody else, or something else, has written into an experiment of ours."""

import contextlib
from dataclasses import dataclass, field
from typing import Any

import mlflow
from hypothesis import strategies as st
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from steps.configuration import Configuration

HTML = "<script>alert(1)</script>"

TEXTS = st.sampled_from(
    (
        *("", " ", "0", "-1", "nan", "inf", "1e400", "1e-400", "9" * 400, "9" * 5000, "٣", "²"),
        *("None", "[]", "{}", "null", "=1+1", "a" * 3000, HTML, "{{ 7 * 7 }}", "%s%n", "'; --"),
        *("\x1b[2J", "a\nb", "\u202e", "\ud7ff", "\U0001f600", "`", "|", '"', "\\", "measured"),
        *("measured (NVML)", "estimated", "absent", "REACHED", "CAPPED", "DIVERGED", "FINAL"),
    )
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)

NUMBERS = st.floats() | st.sampled_from((0.0, -0.0, -1.0, 1e-320, 1e-101, 1e99, 1e101, 1e308))

STRANGE_NAMES = ("a b", "é/x", "seed ", "lr\n", "ENERGY_TO_ACCURACY_J", "val_accuracy\n", "0")
PARAMETERS = (
    *Configuration().parameters(),
    *("data_width", "data_fraction", "weight_width", "weight_fraction", *STRANGE_NAMES),
)
TAGS = (
    *("config_id", "outcome", "dataset_digest", "hardware", "energy.gpu", "energy.cpu"),
    *("energy.ram", "energy.flags", "failure", "final", "carbon.place", "carbon.pue"),
    *("dataset.parts", "search.key", "search.number", "search.role", "search.point"),
    *("grid.run_id", "mlflow.parentRunId", "training.caution", "quantized.modes"),
    *("quantized.mode", "quantized.simulated", "inference.energy.cpu", "fine_tuned"),
    *("mlflow.note.content", "mlflow.runName", *STRANGE_NAMES),
)
METRICS = (
    *("energy_to_accuracy_j", "energy_spent_j", "emissions_to_accuracy_kg", "emissions_kg"),
    *("time_to_accuracy_s", "time_spent_s", "epochs", "val_accuracy", "test_accuracy", "flops"),
    *("compile_time_s", "compile_energy_j", "found_lr", "energy_per_inference_j", "latency_ms"),
    *("int8/energy_per_inference_j", "int8/val_accuracy", "search_time_s", "search_energy_j"),
    *("average_bitwidth", "gpu_energy_j", "parameters", "model_size_bytes", *STRANGE_NAMES),
)


@dataclass
class Record:
    """A run as it is to be in MLflow."""

    name: str
    status: str = "FINISHED"
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def write(self, client: mlflow.MlflowClient, experiment_id: str) -> str:
        """Its id. What MLflow itself refuses is not in the store."""
        run_id = client.create_run(experiment_id, run_name=self.name or None).info.run_id
        for logged in (
            {"params": [Param(*each) for each in self.parameters.items()]},
            {"tags": [RunTag(*each) for each in self.tags.items()]},
            {"metrics": [Metric(name, value, 0, 0) for name, value in self.metrics.items()]},
        ):
            with contextlib.suppress(MlflowException):
                client.log_batch(run_id, **logged)
        if self.status != "RUNNING":
            client.set_terminated(run_id, self.status)
        return str(run_id)


def good(lr: float, seed: int, energy_j: float, outcome: str = "REACHED", **changes: Any) -> Record:
    """As the pipeline leaves one."""
    configuration = Configuration(lr=lr, seed=seed, **changes)
    metrics = {
        "epochs": 12.0,
        "val_accuracy": 0.96,
        "test_accuracy": 0.95,
        "time_spent_s": 10.0,
        "energy_spent_j": energy_j,
        "emissions_kg": energy_j * 1e-7,
    }
    if outcome == "REACHED":
        metrics["energy_to_accuracy_j"] = energy_j
        metrics["time_to_accuracy_s"] = 10.0
        metrics["emissions_to_accuracy_kg"] = energy_j * 1e-7
    tags = {
        "config_id": configuration.config_id,
        "outcome": outcome,
        "dataset_digest": "d1",
        "hardware": "one machine",
        "dataset.parts": "1437 train, 180 validation, 180 test",
    }
    return Record(configuration.run_name, "FINISHED", configuration.parameters(), metrics, tags)


def _changed(names: tuple[str, ...], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What to put there; None takes it away."""
    return st.dictionaries(st.sampled_from(names), st.none() | values, max_size=4)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Of anybody: most of them like one of ours, but for some fields."""
    record = good(
        draw(st.sampled_from((0.1, 0.2))),
        draw(st.integers(0, 3)),
        draw(st.floats(1, 1000)),
        draw(st.sampled_from(("REACHED", "REACHED", "BUDGET_EXHAUSTED", "CAPPED"))),
    )
    record.name = draw(st.just(record.name) | TEXTS)
    record.status = draw(st.sampled_from(("FINISHED", "FINISHED", "RUNNING", "FAILED", "KILLED")))
    if draw(st.integers(0, 9)) == 0:
        record = Record(record.name, record.status)
    for fields, changes in (
        (record.parameters, draw(_changed(PARAMETERS, TEXTS))),
        (record.tags, draw(_changed(TAGS, TEXTS))),
        (record.metrics, draw(_changed(METRICS, NUMBERS))),
    ):
        fields.update(changes)
        for name in [name for name, value in fields.items() if value is None]:
            del fields[name]
    return record
