"""What every energy source has to keep: the same tests for all of them."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from virtual_clock import VirtualClock

from energy import EnergyMeter, Measurement
from energy.clock import MonotonicClock
from energy.sources.base import PARTS, Source
from energy.sources.codecarbon import open_codecarbon
from energy.sources.null import NullSource
from energy.sources.nvml import open_nvml
from energy.sources.replay import ReplaySource, Trace
from energy.sources.zeus import open_zeus


@dataclass
class Bench:
    """A meter with one source, and a way to let time pass in units that suit it.

    `steady` are the parts whose power does not depend on what else this machine does.
    """

    meter: EnergyMeter
    run: Callable[[float], None]
    measures: frozenset[str]
    steady: frozenset[str]
    open_source: Callable[[], Source]


NOISE = {"kind": "noise", "mean": 200, "swing": 80}


def open_fake_nvml(nvml: ModuleType, clock: VirtualClock, **gpu: Any) -> Source:
    nvml.configure({"gpus": [{"power": NOISE, **gpu}]}, clock.now)
    return open_nvml(clock)


def open_fake_zeus(nvml: ModuleType, clock: VirtualClock, **gpu: Any) -> Source:
    # Zeus keeps the NVML that it found first.
    for name in [name for name in sys.modules if name.split(".")[0] == "zeus"]:
        del sys.modules[name]
    pytest.importorskip("zeus.device", reason="Zeus is not installed")
    nvml.configure({"gpus": [{"power": NOISE, **gpu}]}, clock.now)
    return open_zeus(clock)


def open_replay(clock: VirtualClock) -> Source:
    times_s = range(0, 1000, 3)
    watts = {"gpu0": [100.0 + t % 7 for t in times_s], "ram": [20.0 for _ in times_s]}
    return ReplaySource(Trace(times_s, watts), clock)


@pytest.fixture(
    params=[
        "nvml counter",
        "nvml samples",
        "zeus counter",
        "zeus samples",
        "replay",
        "null",
        "codecarbon",
    ]
)
def bench(request: pytest.FixtureRequest, nvml: ModuleType, clock: VirtualClock) -> Iterator[Bench]:
    openers: dict[str, tuple[Callable[[], Source], set[str]]] = {
        "nvml counter": (lambda: open_fake_nvml(nvml, clock), {"gpu"}),
        "nvml samples": (lambda: open_fake_nvml(nvml, clock, has_counter=False), {"gpu"}),
        "zeus counter": (lambda: open_fake_zeus(nvml, clock), {"gpu"}),
        "zeus samples": (lambda: open_fake_zeus(nvml, clock, has_counter=False), {"gpu"}),
        "replay": (lambda: open_replay(clock), {"gpu", "ram"}),
        "null": (lambda: NullSource(PARTS, "nothing here"), set()),
        "codecarbon": (open_codecarbon, {"cpu", "ram"}),
    }
    open_source, measures = openers[request.param]
    if request.param == "codecarbon":
        # It runs by the machine's own clock; a unit of time is a fraction of a second.
        meter = EnergyMeter([open_source()], clock=MonotonicClock())

        def run(units: float) -> None:
            time.sleep(units / 20)
    else:
        meter = EnergyMeter([open_source()], clock=clock, background=False)
        clock.drive(meter)
        run = clock.run  # type: ignore[assignment]
    with meter:
        yield Bench(meter, run, frozenset(measures), frozenset(measures - {"cpu"}), open_source)


def joules(measurement: Measurement) -> dict[str, float]:
    return {
        name: part.energy_j for name, part in measurement.parts.items() if part.energy_j is not None
    }


def assert_equal(these: dict[str, float], those: dict[str, float], rel: float = 0.01) -> None:
    assert these.keys() == those.keys()
    for name, energy_j in these.items():
        assert energy_j == pytest.approx(those[name], rel=rel, abs=0.05)


def test_each_part_is_measured_or_absent_with_its_provenance(bench: Bench) -> None:
    with bench.meter.window("work") as window:
        bench.run(3)
    for name, part in window.measurement.parts.items():
        assert (part.energy_j is not None) == (name in bench.measures)
        assert (part.error_j is not None) == (name in bench.measures)
        assert part.provenance.startswith(
            ("measured (", "estimated (") if name in bench.measures else "absent"
        )


def test_energy_never_falls_while_a_window_is_open(bench: Bench) -> None:
    with bench.meter.window("work") as window:
        seen = []
        for _ in range(30):
            bench.run(0.13)
            seen.append(joules(window.read()))
    for earlier, later in pairwise(seen):
        assert all(later[name] >= earlier[name] for name in bench.measures)
    assert all(seen[-1][name] > seen[0][name] for name in bench.measures)


def test_adjacent_windows_add_up_to_the_one_that_covers_them(bench: Bench) -> None:
    with bench.meter.window("all") as covering:
        pieces = []
        for length in (2, 3, 4, 2):
            with bench.meter.window("piece") as piece:
                bench.run(length)
            pieces.append(piece.measurement)
    total = pieces[0] + pieces[1] + pieces[2] + pieces[3]
    # What passes while a piece settles belongs to the covering window alone.
    share = total.duration_s / covering.measurement.duration_s
    scaled = {name: energy_j * share for name, energy_j in joules(covering.measurement).items()}
    assert_equal(joules(total), scaled, rel=0.03)


def test_laps_add_up_to_the_whole_window(bench: Bench) -> None:
    with bench.meter.window("all") as window:
        laps = []
        for _ in range(5):
            bench.run(0.7)
            laps.append(joules(window.lap()))
        whole = joules(window.read())
    assert_equal({name: sum(lap[name] for lap in laps) for name in bench.measures}, whole, rel=0.05)


def test_windows_that_open_and_close_together_agree_however_they_are_ordered(bench: Bench) -> None:
    for closing_order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        windows = [bench.meter.begin(f"window {index}") for index in range(3)]
        bench.run(3)
        measured = {index: bench.meter.end(windows[index]) for index in closing_order}
        first = measured[closing_order[0]]
        for other in measured.values():
            slack_s = other.duration_s - first.duration_s
            for name, energy_j in joules(other).items():
                mean_w = joules(first)[name] / first.duration_s
                assert energy_j == pytest.approx(
                    joules(first)[name] + mean_w * slack_s, rel=0.05, abs=0.2
                )


def test_a_window_does_not_notice_the_others(bench: Bench) -> None:
    with bench.meter.window("long") as long:
        for _ in range(10):
            with bench.meter.window("short"):
                bench.run(0.05)
        bench.run(2)
    with bench.meter.window("alone") as alone:
        bench.run(2.5)
    for name in bench.steady:
        watts = [
            joules(window.measurement)[name] / window.measurement.duration_s
            for window in (long, alone)
        ]
        assert watts[0] == pytest.approx(watts[1], rel=0.3)


def test_time_between_windows_is_in_none_of_them(bench: Bench) -> None:
    with bench.meter.window("one") as one:
        bench.run(2)
    bench.run(8)
    with bench.meter.window("two") as two:
        bench.run(2)
    for name in bench.steady:
        first_j, second_j = (joules(window.measurement)[name] for window in (one, two))
        assert second_j < 2 * first_j + 0.5


def test_two_meters_measure_side_by_side(bench: Bench) -> None:
    other = EnergyMeter([bench.open_source()], background=False)
    with other, bench.meter.window("one") as one, other.window("two") as two:
        bench.run(3)
    assert joules(one.measurement).keys() == joules(two.measurement).keys() == bench.measures
