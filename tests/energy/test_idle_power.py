from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_clock import VirtualClock

from energy import EnergyMeter, IdlePower, Measurement, Part
from energy.idle import PartPower, idle_power, load, save

WATTS = st.floats(0, 1e4)


def window(cpu_utilization: float = 0.0, gpu_utilization: float | None = None) -> Measurement:
    return Measurement(
        "idle",
        10.0,
        cpu=Part(50.0, 5.0, "estimated (load)"),
        ram=Part(200.0, 20.0, "estimated (size)"),
        cpu_utilization=cpu_utilization,
        gpu_utilization=gpu_utilization,
    )


def test_idle_power_is_energy_over_time_for_each_part_that_was_measured() -> None:
    idle = idle_power(window())
    assert (idle.gpu, idle.power_w) == (None, 25.0)
    assert idle.cpu == PartPower(5.0, 0.5, "estimated (load)")


@pytest.mark.parametrize(
    ("busy", "told"),
    [
        (window(cpu_utilization=0.83), "the CPU is 83% busy, allowed is 20%"),
        (window(gpu_utilization=0.4), "the GPU is 40% busy"),
    ],
)
def test_a_busy_machine_is_refused_and_told_how_busy_it_is(busy: Measurement, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        idle_power(busy)


def test_idle_power_is_not_measured_inside_of_a_window(
    gpu_meter: Callable[..., EnergyMeter],
) -> None:
    meter = gpu_meter({})
    with meter.window("work"), pytest.raises(ValueError, match="window 'work' is open"):
        meter.idle(1.0)


def test_a_meter_measures_the_idle_power_of_its_gpu(
    gpu_meter: Callable[..., EnergyMeter], clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The machine that runs the tests may be busy itself.
    idle_cpu = namedtuple("idle_cpu", "user idle")
    monkeypatch.setattr(psutil, "cpu_times", lambda: idle_cpu(0.0, clock.now()))
    meter = gpu_meter({"utilization": 0, "power": {"kind": "constant", "watts": 60}})
    idle = meter.idle(5.0)
    assert idle.gpu is not None
    assert idle.gpu.power_w == pytest.approx(60, rel=0.01)
    assert (idle.cpu, idle.ram) == (None, None)
    assert idle.power_w == idle.gpu.power_w
    busy = gpu_meter({"utilization": 55})
    with pytest.raises(ValueError, match="the GPU is 55% busy, allowed is 5%"):
        busy.idle(5.0)


@settings(deadline=None)
@given(WATTS, WATTS, st.floats(0.1, 1e5))
def test_net_is_gross_less_idle_power_times_time_with_both_errors(
    cpu_w: float, idle_w: float, duration_s: float
) -> None:
    gross = Measurement(
        "work", duration_s, cpu=Part(cpu_w * duration_s, 1.0, "measured (RAPL)"), emissions_kg=2.0
    )
    idle = replace(idle_power(window()), cpu=PartPower(idle_w, 0.5, "measured (RAPL)"))
    net = gross - idle
    assert net.cpu_energy_j == pytest.approx((cpu_w - idle_w) * duration_s, abs=1e-6)
    assert net.energy_error_j == pytest.approx(1.0 + 0.5 * duration_s)
    assert net.provenance == gross.provenance
    assert net.flags == {"net"}
    assert net.gpu_energy_j is None
    if net.energy_j and gross.energy_j:
        assert net.emissions_kg == pytest.approx(2.0 * net.energy_j / gross.energy_j)


def test_no_net_energy_is_made_up_where_the_idle_reading_lacks_a_part() -> None:
    gross = Measurement("work", 1.0, gpu=Part(5.0, 1.0, "measured (NVML)"))
    with pytest.raises(ValueError, match="no reading of the gpu, but window 'work' has one"):
        gross - idle_power(window())


def test_an_idle_reading_is_kept_and_found_again(tmp_path: Path) -> None:
    idle = idle_power(window())
    file = tmp_path / "cache" / "idle.json"
    assert load(file) is None
    save(idle, file)
    assert load(file) == idle
    assert idle.measured_on.startswith("20") and idle.hardware


def test_an_idle_reading_of_other_hardware_is_not_used(tmp_path: Path) -> None:
    other: IdlePower = replace(idle_power(window()), hardware="another machine")
    save(other, tmp_path / "idle.json")
    assert load(tmp_path / "idle.json") is None


def test_a_broken_idle_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "idle.json"
    file.write_text('{"gpu": 3}')
    with pytest.raises(ValueError, match=r"idle\.json: not one that `save` wrote"):
        load(file)
