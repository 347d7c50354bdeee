import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from virtual_clock import VirtualClock

from energy import EnergyMeter, Measurement
from energy.sources.base import Part
from energy.sources.nvml import open_nvml, visible_devices, visible_gpu_names

MakeMeter = Callable[..., EnergyMeter]

POWERS: list[dict[str, Any]] = [
    {"kind": "constant", "watts": 250},
    {"kind": "step", "before": 50, "after": 300, "at_s": 3.13},
    {"kind": "ramp", "before": 50, "after": 300, "over_s": 10},
    {"kind": "noise", "mean": 200, "swing": 80},
]


def measure(meter: EnergyMeter, clock: VirtualClock, seconds: float) -> Measurement:
    with meter.window("work") as window:
        clock.run(seconds)
    return window.measurement


def energy_and_error_j(part: Part) -> tuple[float, float]:
    assert part.energy_j is not None and part.error_j is not None
    return part.energy_j, part.error_j


@pytest.mark.parametrize("power", POWERS, ids=lambda power: power["kind"])
@pytest.mark.parametrize("period_s", [0, 0.02, 0.1])
def test_counter_energy_is_the_analytic_integral_within_the_error_bar_and_one_percent(
    power: dict[str, Any],
    period_s: float,
    gpu_meter: MakeMeter,
    nvml: ModuleType,
    clock: VirtualClock,
) -> None:
    meter = gpu_meter({"power": power, "counter_period_s": period_s})
    for length_s in (2.0, 2.71, 3.33, 5.07):
        clock.run(0.137)
        start_s = clock.now()
        measured = measure(meter, clock, length_s)
        truth_j = nvml.true_energy_j(0, start_s, start_s + length_s)
        energy_j, error_j = energy_and_error_j(measured.gpu)
        assert abs(energy_j - truth_j) <= 0.01 * truth_j
        assert abs(energy_j - truth_j) <= error_j
        assert measured.gpu.provenance == "measured (NVML energy counter)"
        assert measured.gpu_power_w == pytest.approx(truth_j / length_s, rel=0.01)


@pytest.mark.parametrize("power", POWERS, ids=lambda power: power["kind"])
def test_an_old_card_without_counter_is_sampled_and_says_so(
    power: dict[str, Any], gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    meter = gpu_meter({"power": power, "has_counter": False, "power_period_s": 0.02})
    start_s = clock.now()
    measured = measure(meter, clock, 6.0)
    energy_j, error_j = energy_and_error_j(measured.gpu)
    truth_j = nvml.true_energy_j(0, start_s, start_s + 6.0)
    assert abs(energy_j - truth_j) <= min(error_j + 1e-6 * truth_j, 0.02 * truth_j)
    assert measured.gpu.provenance == "measured (NVML power samples, integrated)"


def test_no_power_is_integrated_over_the_time_between_two_windows(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter({"has_counter": False})
    first = measure(meter, clock, 3.0)
    clock.run(100.0)
    second = measure(meter, clock, 3.0)
    assert first.gpu_energy_j == pytest.approx(300, rel=0.001)
    assert second.gpu_energy_j == pytest.approx(300, rel=0.001)
    assert "too_short" not in second.flags


def test_a_counter_reset_in_the_window_is_bridged_and_told(
    gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    meter = gpu_meter({"power": {"kind": "constant", "watts": 200}, "reset_at_s": 4.0})
    start_s = clock.now()
    with meter.window("work") as window:
        for _ in range(6):
            clock.run(1.0)
            window.read()
    energy_j, error_j = energy_and_error_j(window.measurement.gpu)
    assert abs(energy_j - nvml.true_energy_j(0, start_s, start_s + 6.0)) <= error_j
    assert "1 counter reset(s) bridged" in window.measurement.gpu.provenance
    assert "reset" not in measure(meter, clock, 3.0).gpu.provenance


def test_a_gpu_lost_in_the_window_keeps_what_was_measured_and_is_absent_afterwards(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter({"lost_at_s": 3.0})
    with meter.window("work") as window:
        for _ in range(5):
            clock.run(1.0)
            window.read()
    lost = window.measurement
    assert 0 < (lost.gpu_energy_j or 0) <= 300
    assert "GPU 0 lost in the window" in lost.gpu.provenance
    assert "gpu_lost" in lost.flags
    after = measure(meter, clock, 2.0)
    assert after.gpu.provenance == "absent (all GPUs lost)"
    assert after.gpu_energies_j == (None,)


def test_failed_readings_cost_nothing_where_the_counter_recovers(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter({"failing_s": [2.0, 4.0]})
    with meter.window("work") as window:
        for _ in range(6):
            clock.run(1.0)
            window.read()
    assert window.measurement.gpu_energy_j == pytest.approx(600, rel=0.01)
    assert "failed reading(s)" in window.measurement.gpu.provenance


def test_several_gpus_are_measured_each_and_in_sum(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter(
        {"power": {"kind": "constant", "watts": 100}},
        {"power": {"kind": "constant", "watts": 200}, "has_counter": False},
        {"has_counter": False, "has_power": False},
    )
    measured = measure(meter, clock, 5.0)
    assert measured.gpu_energies_j[:2] == pytest.approx((500, 1000), rel=0.01)
    assert measured.gpu_energies_j[2] is None
    assert measured.gpu_energy_j == pytest.approx(1500, rel=0.01)
    assert "on 2 of 3 GPUs" in measured.gpu.provenance
    assert "energy counter and power samples" in measured.gpu.provenance


def test_counters_that_step_at_different_times_are_all_watched_at_the_edges(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter(
        {"name": "A", "counter_period_s": 0.1}, {"name": "B", "counter_period_s": 0.07}
    )
    for _ in range(5):
        clock.run(0.033)
        energies_j = measure(meter, clock, 2.0).gpu_energies_j
        assert energies_j == pytest.approx((200, 200), rel=0.005)


def test_a_counter_that_stands_still_holds_no_window_up(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter({"power": {"kind": "constant", "watts": 0}})
    with meter.window("work") as window:
        clock.run(2.0)
        before_closing_s = clock.now()
    assert clock.now() - before_closing_s < 0.5
    assert window.measurement.gpu_energy_j == 0.0


def test_a_gpu_that_tells_nothing_is_absent(gpu_meter: MakeMeter, clock: VirtualClock) -> None:
    meter = gpu_meter({"has_counter": False, "has_power": False})
    measured = measure(meter, clock, 2.0)
    assert measured.gpu_energy_j is None
    assert measured.gpu.provenance == "absent (Fake GPU: NOT_SUPPORTED)"


def test_another_process_on_the_gpu_raises_the_flag_only_in_its_windows(
    gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    meter = gpu_meter({"foreign_s": [20.0, 62.0]})
    assert "shared_gpu" not in measure(meter, clock, 5.0).flags
    clock.run(10.0 - nvml.elapsed_s())
    # It comes in the middle, stays for a whole window, and leaves in the last one.
    assert "shared_gpu" in measure(meter, clock, 30.0).flags
    assert "shared_gpu" in measure(meter, clock, 5.0).flags
    clock.run(61.0 - nvml.elapsed_s())
    assert "shared_gpu" in measure(meter, clock, 5.0).flags
    assert "shared_gpu" not in measure(meter, clock, 5.0).flags


def test_temperature_and_utilization_are_means_over_the_window(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    ramp = {"kind": "ramp", "before": 0, "after": 200, "over_s": 20}
    meter = gpu_meter({"power": ramp, "utilization": 75})
    measured = measure(meter, clock, 19.0)
    assert measured.gpu_temperature_c == pytest.approx(50, abs=1.0)
    assert measured.gpu_utilization == pytest.approx(0.75)


def test_a_window_short_against_the_counter_is_flagged(
    gpu_meter: MakeMeter, clock: VirtualClock
) -> None:
    meter = gpu_meter({"counter_period_s": 0.1})
    assert "too_short" in measure(meter, clock, 1.0).flags
    assert "too_short" not in measure(meter, clock, 2.5).flags


@pytest.mark.parametrize(
    "error", ["DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH", "LIBRARY_NOT_FOUND", "NO_PERMISSION"]
)
def test_without_a_working_driver_the_gpu_is_absent_and_says_why(
    error: str, nvml: ModuleType, clock: VirtualClock
) -> None:
    nvml.configure({"gpus": [{}], "init_error": error}, clock.now)
    with EnergyMeter([open_nvml(clock)], clock=clock) as meter:
        measured = measure(meter, clock, 1.0)
    assert measured.gpu_energy_j is None
    assert measured.gpu.provenance == f"absent (NVML: {error})"
    assert visible_gpu_names() == ()


GPUS = [
    {"name": "A", "uuid": "GPU-aaaa-1111", "mig": ["MIG-5555"]},
    {"name": "A", "uuid": "GPU-aabb-2222"},
    {"name": "A", "uuid": "GPU-cccc-3333"},
]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-aaaa-1111", "GPU-aabb-2222", "GPU-cccc-3333"]),
        ("2", ["GPU-cccc-3333"]),
        ("2,0", ["GPU-cccc-3333", "GPU-aaaa-1111"]),
        ("1,7,0", ["GPU-aabb-2222"]),
        ("1,-1,0", ["GPU-aabb-2222"]),
        ("GPU-cc", ["GPU-cccc-3333"]),
        ("GPU-aa", []),
        ("", []),
        ("MIG-5555", ["GPU-aaaa-1111"]),
        ("MIG-GPU-cccc-3333/1/0", ["GPU-cccc-3333"]),
        ("MIG-nowhere", []),
    ],
)
def test_cuda_visible_devices_is_read_as_cuda_reads_it(
    visible: str | None, expected: list[str], nvml: ModuleType, clock: VirtualClock
) -> None:
    nvml.configure({"gpus": GPUS}, clock.now)
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert visible_gpu_names(environment) == ("A",) * len(expected)
    if expected:
        devices, remark = visible_devices(environment)
        assert [device.uuid for device in devices] == expected
        assert remark == ""


def test_a_mig_slice_is_told_to_be_the_whole_gpu(nvml: ModuleType, clock: VirtualClock) -> None:
    nvml.configure({"gpus": GPUS}, clock.now)
    source = open_nvml(clock, {"CUDA_VISIBLE_DEVICES": "MIG-5555"})
    with EnergyMeter([source], clock=clock, background=False) as meter:
        measured = measure(meter, clock, 3.0)
    assert "of the whole GPU" in measured.gpu.provenance
    assert "shared_gpu" in measured.flags


def test_an_index_among_unlike_gpus_is_remarked_unless_cuda_counts_as_nvml_does(
    nvml: ModuleType, clock: VirtualClock
) -> None:
    nvml.configure({"gpus": [{"name": "A"}, {"name": "B"}]}, clock.now)
    unsure = {"CUDA_VISIBLE_DEVICES": "1"}
    assert "CUDA_DEVICE_ORDER" in visible_devices(unsure)[1]
    assert visible_devices({**unsure, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})[1] == ""


def test_the_fakes_own_truth_is_the_integral_of_its_power(
    nvml: ModuleType, clock: VirtualClock
) -> None:
    schedule = {"kind": "schedule", "steps": [[0, 60], [1.5, 300], [4, 60]]}
    for power in [*POWERS, schedule]:
        nvml.configure({"gpus": [{"power": power}]}, clock.now)
        start_s, step_s = clock.now(), 0.001
        summed_j = math.fsum(
            nvml._power_w(power, (index + 0.5) * step_s) * step_s for index in range(12_000)
        )
        assert nvml.true_energy_j(0, start_s, start_s + 12.0) == pytest.approx(summed_j, rel=1e-4)
