"""What a run has cost and tells after the quantize step, however often the step is done."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from energy import Calibration, Carbon, IdlePower, Measurement, Part
from energy.hardware import describe
from energy.idle import PartPower
from pipeline import tracking
from pipeline.tracking import points
from steps.configuration import parse
from steps.evaluate import Scores
from steps.partition import partition
from steps.preprocess import preprocess
from steps.quantize import InferenceEnergy, Joules, Latency, Quantization, Variant

FIXED = "fixed:8.4/4.2"
FINE_TUNED = {"quantization": FIXED, "qat_epochs": "1"}
IRIS = preprocess(parse({"dataset": "iris"}))
PARTS = partition(IRIS, "80-10-10", "standardization", 0)

INFINITE = sys.float_info.max
"""What a database of MLflow makes of it."""

CALIBRATION = Calibration(scale=1.5, offset_w=10.0)
CARBON = Carbon(56.0, "FRA", "a test")


def window(name: str, seconds: float, cpu_j: float, ram_j: float) -> Measurement:
    return Measurement(
        name,
        seconds,
        cpu=Part(cpu_j, 0.4 * cpu_j, "estimated (load)"),
        ram=Part(ram_j, 0.4 * ram_j, "estimated (size)"),
        emissions_kg=1e-7 * (cpu_j + ram_j),
        codecarbon_energy_kwh=(cpu_j + ram_j) / 3.6e6,
    )


TRAINING = window("training", 4.0, 40.0, 80.0)
TUNING = window("fine_tuning", 1.0, 10.0, 20.0)
IDLE = IdlePower(
    None, PartPower(2.0, 0.1, "a test"), PartPower(20.0, 0.1, "a test"), "2026-01-01", "a test"
)


def variant(mode: str, fine_tuning: Measurement | None = None) -> Variant:
    scores = Scores(0.9, 0.1, np.zeros((2, 2), np.int64))
    simulated = mode.startswith("fixed:")
    return Variant(
        mode=mode,
        content=None if simulated else b"a file",
        validation=scores,
        test=scores,
        size_bytes=None if simulated else 10,
        average_bitwidth=8.0,
        bit_operations=64,
        simulated=simulated,
        uncovered=(),
        fine_tuning=fine_tuning,
        latency={} if simulated else {1: Latency(1.0, 1.0, 1.0, (1.0,))},
    )


def tuned(cost: Measurement = TUNING) -> Quantization:
    return Quantization(variant("float32"), (variant(FIXED, cost),), {})


def opened(**hyperparameters: str) -> tracking.RunLog:
    """A run that was trained."""
    with tracking.RunLog.start(tracking.open_experiment("green"), parse(hyperparameters)) as log:
        train(log)
    return tracking.RunLog(log.run_id)


def train(log: tracking.RunLog) -> None:
    log.training_begins(CARBON, describe(), None)
    log.tag({"outcome": "REACHED"})
    log.figures(
        {
            **points.spent(5, TRAINING),
            "energy_to_accuracy_j": TRAINING.energy_j,
            "time_to_accuracy_s": TRAINING.duration_s,
            "net_energy_j": (TRAINING - IDLE).energy_j,
            "calibrated_energy_j": CALIBRATION.wall_energy_of(TRAINING),
        }
    )


def quantize(
    log: tracking.RunLog, found: Quantization, idle: IdlePower | None = IDLE
) -> tracking.RunLog:
    with log:
        log.quantized(found, PARTS, IRIS, idle, CALIBRATION)
    return log


def cost_of(log: tracking.RunLog) -> dict[str, float]:
    """Only what tells what the run has cost."""
    names = {*points.spent(5, TRAINING), "energy_to_accuracy_j", "time_to_accuracy_s"}
    names |= {"net_energy_j", "calibrated_energy_j"}
    metrics = log.recorded().metrics
    return {name: metrics[name] for name in names & set(metrics)}


def expected(whole: Measurement) -> dict[str, float]:
    """As if it had been one window."""
    return points.present(
        {
            **points.spent(5, whole),
            "energy_to_accuracy_j": whole.energy_j,
            "time_to_accuracy_s": whole.duration_s,
            "net_energy_j": (whole - IDLE).energy_j,
            "calibrated_energy_j": CALIBRATION.wall_energy_of(whole),
        }
    )


def test_fine_tuning_is_in_every_figure_of_what_the_run_has_cost(store):
    log = quantize(opened(**FINE_TUNED), tuned())
    assert cost_of(log) == pytest.approx(expected(TRAINING + TUNING))
    assert log.recorded().metrics["qat_energy_j"] == TUNING.energy_j
    assert log.recorded().tags["fine_tuned"] == FIXED


def test_a_second_call_of_the_step_replaces_what_the_first_one_took(store):
    log = quantize(quantize(opened(**FINE_TUNED), tuned()), tuned(window("again", 2.0, 7.0, 9.0)))
    assert cost_of(log) == pytest.approx(expected(TRAINING + window("again", 2.0, 7.0, 9.0)))


def test_modes_that_are_tried_on_a_finished_run_change_nothing_of_what_it_has_cost(store):
    log = quantize(opened(quantization="int8"), tuned())
    assert cost_of(log) == pytest.approx(expected(TRAINING))
    run = log.recorded()
    assert run.metrics["fixed:8.4_4.2/qat_energy_j"] == TUNING.energy_j
    assert "qat_energy_j" not in run.metrics
    assert "fine_tuned" not in run.tags


def test_after_another_training_fine_tuning_is_added_to_that_one(store):
    log = quantize(opened(**FINE_TUNED), tuned())
    with log:
        train(log)
    assert cost_of(log) == pytest.approx(expected(TRAINING))
    assert not any(tag.startswith("quantized.") for tag in log.recorded().tags)
    assert cost_of(quantize(log, tuned())) == pytest.approx(expected(TRAINING + TUNING))


def test_what_is_not_known_of_fine_tuning_makes_the_sum_win_nothing(store):
    log = quantize(opened(**FINE_TUNED), tuned(), idle=None)
    assert log.recorded().metrics["net_energy_j"] == INFINITE
    assert cost_of(log)["energy_spent_j"] == TRAINING.energy_j + TUNING.energy_j


def test_what_the_meter_warned_of_in_fine_tuning_is_told_of_the_run(store):
    cost = replace(TUNING, flags=frozenset({"shared_gpu"}))
    log = opened(**FINE_TUNED)
    log.tag({"energy.flags": "too_short"})
    assert quantize(log, tuned(cost)).recorded().tags["energy.flags"] == "shared_gpu, too_short"


def test_the_tags_are_those_of_the_last_call(store):
    refused = Quantization(None, (), {"float32": "too odd", "int8": "too odd", "int4": "no bits"})
    log = quantize(opened(), refused)
    tags = log.recorded().tags
    assert tags["quantized.refused"] == "float32, int8: too odd; int4: no bits"
    assert "quantized.mode" not in tags
    done = Quantization(variant("float32"), (variant("int8"),), {})
    tags = quantize(log, done).recorded().tags
    assert "quantized.refused" not in tags
    assert tags["quantized.modes"] == "float32, int8"
    assert tags["quantized.chosen"].startswith("int8: the least latency")


def test_an_emulation_takes_back_the_latency_of_the_variant_that_counted_before(store):
    done = Quantization(variant("float32"), (variant("int8"),), {})
    log = quantize(opened(), done)
    assert log.recorded().metrics["quantized_latency_ms"] == 1.0
    metrics = quantize(log, tuned()).recorded().metrics
    assert metrics["quantized_latency_ms"] == metrics["quantized_model_size_bytes"] == INFINITE
    assert metrics["quantized_test_accuracy"] == 0.9
    assert metrics["latency_ms"] == 1.0


@pytest.mark.parametrize(
    ("window_s", "told"),
    [
        (2.0004, "5 of 2 s each, short of the 10 s of figures to publish"),
        (10.0004, "5 of 10 s each"),
    ],
)
def test_the_run_says_how_long_the_windows_of_inference_were(store, window_s, told):
    joules = InferenceEnergy(
        gross=Joules(1.0, 1.0, 1.0),
        net=None,
        spread=0.0,
        rejected=None,
        inferences=5,
        window_s=window_s,
        provenance={"cpu": "measured (a test)"},
        cpu_utilization=None,
        gpu_utilization=None,
    )
    metered = replace(variant("int8"), inference=joules)
    log = quantize(opened(), Quantization(variant("float32"), (metered,), {}))
    assert log.recorded().tags["inference.windows"] == told
