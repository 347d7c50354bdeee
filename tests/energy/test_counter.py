import random
from collections.abc import Callable
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_clock import VirtualClock

from energy import EnergyMeter
from energy.sources.counter import bend
from energy.sources.nvml import open_nvml

MakeMeter = Callable[..., EnergyMeter]

IDLE_W, BUSY_W = 60.0, 300.0

shares = st.floats(0, 1)
powers_w = st.floats(0, 1000)


def schedule(*steps: tuple[float, float]) -> dict[str, Any]:
    return {"kind": "schedule", "steps": [list(step) for step in steps]}


def wrong_j_and_error_j_of_window(
    meter: EnergyMeter, nvml: ModuleType, clock: VirtualClock, begin_s: float, length_s: float
) -> tuple[float, float, float]:
    """Open a window at `begin_s`; return its error, its error bar and the truth, in joules."""
    clock.run(begin_s - nvml.elapsed_s())
    start_s = clock.now()
    with meter.window("work") as window:
        clock.run(length_s)
    truth_j = nvml.true_energy_j(0, start_s, start_s + length_s)
    part = window.measurement.gpu
    assert part.energy_j is not None and part.error_j is not None
    return abs(part.energy_j - truth_j), part.error_j, truth_j


@pytest.mark.parametrize("period_s", [0.02, 0.1])
@pytest.mark.parametrize("length_s", [2.0, 3.37])
@pytest.mark.parametrize("idle_s", [0.0, 0.03, 0.6])
def test_a_load_that_starts_and_stops_with_its_window_is_read_within_one_percent(
    period_s: float,
    length_s: float,
    idle_s: float,
    gpu_meter: MakeMeter,
    nvml: ModuleType,
    clock: VirtualClock,
) -> None:
    # The GPU is idle at first where work has to be launched, or a model to be compiled.
    for part in range(12):
        begin_s = 1.0 + 0.1 * part / 12
        load = schedule((0, IDLE_W), (begin_s + idle_s, BUSY_W), (begin_s + length_s, IDLE_W))
        meter = gpu_meter({"power": load, "counter_period_s": period_s})
        wrong_j, error_j, truth_j = wrong_j_and_error_j_of_window(
            meter, nvml, clock, begin_s, length_s
        )
        assert wrong_j <= 0.01 * truth_j
        assert wrong_j <= error_j <= 0.05 * truth_j


@pytest.mark.parametrize("before_end_s", [0.04, 0.12, 0.17])
def test_a_lap_shortly_before_the_end_does_not_mislead_it(
    before_end_s: float, gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    for part in range(12):
        begin_s = 1.0 + 0.1 * part / 12
        load = schedule((0, IDLE_W), (begin_s, BUSY_W), (begin_s + 2.0, IDLE_W))
        meter = gpu_meter({"power": load})
        clock.run(begin_s - nvml.elapsed_s())
        with meter.window("work") as window:
            clock.run(2.0 - before_end_s)
            window.lap()
            clock.run(before_end_s)
        assert window.measurement.gpu_energy_j == pytest.approx(2.0 * BUSY_W, rel=0.005)


def test_the_error_bar_holds_whenever_the_load_jumps(
    gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    draw = random.Random(3)
    for _ in range(100):
        steps = [(0.0, IDLE_W)]
        while steps[-1][0] < 8.0:
            jump_s = steps[-1][0] + draw.uniform(0.15, 1.2)
            steps.append((jump_s, draw.choice([IDLE_W, 150.0, BUSY_W])))
        meter = gpu_meter({"power": schedule(*steps)})
        wrong_j, error_j, _ = wrong_j_and_error_j_of_window(
            meter, nvml, clock, draw.uniform(1, 3), draw.uniform(0.1, 4)
        )
        assert wrong_j <= error_j + 2e-3


@given(share=shares, jump=shares, before_w=powers_w, after_w=powers_w)
def test_one_jump_within_a_step_is_reconstructed_exactly(
    share: float, jump: float, before_w: float, after_w: float
) -> None:
    within_j = before_w * jump + after_w * (1 - jump)
    truth_j = before_w * min(share, jump) + after_w * max(share - jump, 0)
    correction_j, slack_j = bend(share, before_w, within_j, after_w)
    assert share * within_j + correction_j == pytest.approx(truth_j, abs=1e-6)
    assert slack_j >= 0


@given(share=shares, others=st.tuples(shares, powers_w, powers_w, powers_w))
def test_edges_of_one_step_stay_within_it_and_in_their_order(
    share: float, others: tuple[float, float, float, float]
) -> None:
    later, before_j, within_j, after_j = others
    earlier, later = sorted((share, later))
    placed_j = [
        moment * within_j + bend(moment, before_j, within_j, after_j)[0]
        for moment in (0.0, earlier, later, 1.0)
    ]
    assert placed_j[0] == 0 and placed_j[-1] == pytest.approx(within_j)
    assert all(b >= a - 1e-6 for a, b in pairwise(placed_j))


def test_one_window_begins_where_the_other_ends(nvml: ModuleType, clock: VirtualClock) -> None:
    nvml.configure({"gpus": [{"power": schedule((0, IDLE_W), (1.234, BUSY_W))}]}, clock.now)
    source = open_nvml(clock)
    clock.sleep(1.234 - nvml.elapsed_s())
    end, begin = source.mark(edge=True), source.mark(edge=True)
    source.settle()
    between = source.span(end, begin).parts["gpu"]
    assert between.energy_j == 0.0


def test_a_step_that_was_seen_too_late_leaves_an_edge_with_a_whole_step_of_error(
    gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock
) -> None:
    meter = gpu_meter({"power": {"kind": "constant", "watts": 200}})
    clock.run(0.033)
    start_s = clock.now()
    with meter.window("work") as window:
        # Nobody looks, as when the interpreter is held up.
        clock.sleep(1.0)
        clock.run(2.0)
    part = window.measurement.gpu
    assert part.energy_j is not None and part.error_j is not None
    assert abs(part.energy_j - nvml.true_energy_j(0, start_s, start_s + 3.0)) <= part.error_j
    assert 20.0 <= part.error_j <= 30.0


def test_between_edges_the_counter_is_read_once_a_second(
    gpu_meter: MakeMeter, nvml: ModuleType, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = gpu_meter({})
    read, reads = nvml.nvmlDeviceGetTotalEnergyConsumption, []

    def count(handle: int) -> int:
        reads.append(handle)
        energy_mj: int = read(handle)
        return energy_mj

    monkeypatch.setattr(nvml, "nvmlDeviceGetTotalEnergyConsumption", count)
    with meter.window("work"):
        clock.run(1.0)
        assert len(reads) < 100
        after_opening = len(reads)
        clock.run(60.0)
        assert len(reads) - after_opening in (59, 60, 61)
