"""What metering costs and how wrong it is: our meter beside bare CodeCarbon and bare Zeus.

    python benchmarks/metering.py [--quick] [--json FILE]

The GPU is the fake one of the tests, in real time, so that the true energy is known and no card
is needed; CPU and memory are CodeCarbon's estimate of this machine. Each side is opened, closed
and judged over the same lengths, in turns.
"""

import gc
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests" / "energy"
sys.path[:0] = [str(TESTS / "fake_nvml"), str(TESTS), str(ROOT)]
os.environ["PATH"] = f"{TESTS / 'fake_nvml'}{os.pathsep}{os.environ['PATH']}"
os.environ.pop("CUDA_VISIBLE_DEVICES", None)

import pynvml  # noqa: E402
from _rows import Row, arguments, in_turns, ratios, report, row  # noqa: E402
from virtual_clock import VirtualClock  # noqa: E402

from energy import EnergyMeter, Window  # noqa: E402
from energy.sources.nvml import open_nvml  # noqa: E402

POWER = {"kind": "noise", "mean": 200, "swing": 80}
COUNTER_PERIOD_S = 0.1
SETTINGS = {"gpus": [{"power": POWER, "counter_period_s": COUNTER_PERIOD_S}]}
WINDOWS = 1000


@dataclass(frozen=True)
class Side:
    """A meter under test.

    Attributes:
        name: What it is called.
        window: Makes a window; a list is yielded that the GPU's joules are put into at its end.
        open_reader: Opens a window and returns a function that reads it, and one that closes it.
    """

    name: str
    window: Callable[[], AbstractContextManager[list[float]]]
    open_reader: Callable[[], tuple[Callable[[], object], Callable[[], object]]] | None = None


def nothing() -> Side:
    @contextmanager
    def window() -> Iterator[list[float]]:
        yield []

    return Side("unmetered", window)


def ours(meter: EnergyMeter) -> Side:
    @contextmanager
    def window() -> Iterator[list[float]]:
        joules: list[float] = []
        with meter.window("work") as opened:
            yield joules
        joules.append(opened.measurement.gpu_energy_j or 0.0)

    def open_reader() -> tuple[Callable[[], object], Callable[[], object]]:
        opened = meter.begin("reads")
        return opened.read, opened.close

    return Side("energy", window, open_reader)


def bare_codecarbon() -> Side:
    """CodeCarbon as its documentation shows it, only without files and network."""
    from codecarbon import OfflineEmissionsTracker

    def tracker() -> Any:
        return OfflineEmissionsTracker(
            country_iso_code="FRA", output_methods=[], log_level="critical"
        )

    @contextmanager
    def window() -> Iterator[list[float]]:
        joules: list[float] = []
        with tracker() as opened:
            yield joules
        joules.append(opened.final_emissions_data.gpu_energy * 3.6e6)

    def open_reader() -> tuple[Callable[[], object], Callable[[], object]]:
        opened = tracker()
        opened.start()
        return opened.flush, opened.stop

    return Side("codecarbon", window, open_reader)


def bare_zeus() -> Side | None:
    """Zeus, where it is installed."""
    try:
        from zeus.monitor import ZeusMonitor
    except ImportError:
        return None
    monitor = ZeusMonitor(gpu_indices=[0])

    @contextmanager
    def window() -> Iterator[list[float]]:
        joules: list[float] = []
        monitor.begin_window("work", sync_execution=False)
        yield joules
        with warnings.catch_warnings():
            # It warns of windows shorter than the counter's period, which is what is shown here.
            warnings.simplefilter("ignore")
            joules.append(monitor.end_window("work", sync_execution=False).total_energy)

    return Side("zeus", window)


def pair_cpu_ms(side: Side) -> float:
    """Processor time of opening and closing a window, in milliseconds."""
    started_s = time.process_time()
    with side.window():
        pass
    return 1000 * (time.process_time() - started_s)


def pair_wall_ms(side: Side) -> float:
    """Wall time of opening and closing a window, in milliseconds."""
    started_s = time.perf_counter()
    with side.window():
        pass
    return 1000 * (time.perf_counter() - started_s)


def read_cpu_ms(side: Side, reads: int = 20) -> float:
    """Processor time of one look into an open window, in milliseconds."""
    assert side.open_reader is not None
    read, close = side.open_reader()
    spent_s = 0.0
    for _ in range(reads):
        # CodeCarbon measures nothing anew within 50 ms.
        time.sleep(0.06)
        started_s = time.thread_time()
        read()
        spent_s += time.thread_time() - started_s
    close()
    return 1000 * spent_s / reads


def work_in_window(side: Side, seconds: float) -> tuple[float, float]:
    """Work inside of a window.

    Returns:
        Share of one core, in percent, that threads other than the working one used, and rounds of
        work per second of the working thread's own processor time.
    """
    with side.window():
        wall_s, process_s, thread_s = time.perf_counter(), time.process_time(), time.thread_time()
        rounds = 0
        while time.perf_counter() - wall_s < seconds:
            sum(range(20_000))
            rounds += 1
        wall_s = time.perf_counter() - wall_s
        worked_s = time.thread_time() - thread_s
        others_s = time.process_time() - process_s - worked_s
    return 100 * others_s / wall_s, rounds / worked_s


def error_percent(side: Side, seconds: float) -> float:
    """By how much a window of this length misses the GPU's true energy, in percent."""
    time.sleep(random.uniform(0, 2 * COUNTER_PERIOD_S))
    with side.window() as joules:
        started_s = time.perf_counter()
        time.sleep(seconds)
        ended_s = time.perf_counter()
    truth_j = float(pynvml.true_energy_j(0, started_s, ended_s))
    return 100 * abs(joules[0] - truth_j) / truth_j


def random_windows() -> tuple[list[float], int]:
    """A thousand nested and overlapping windows in virtual time.

    Returns:
        Errors in percent of those of 2 s or more, and how many windows were lost or missed the
        truth by more than their own error bar, as a lost or doubled interval would make them.
    """
    clock = VirtualClock()
    pynvml.configure(SETTINGS, clock.now)
    meter = EnergyMeter([open_nvml(clock)], clock=clock, background=False)
    clock.drive(meter)
    draw = random.Random(7)
    opened: list[tuple[Window, float]] = []
    errors: list[float] = []
    closed = wrong = 0
    while closed < WINDOWS:
        clock.run(draw.choice([0.0, 0.003, 0.05, 0.4, 2.5]) * draw.random())
        if not opened or (len(opened) < 12 and draw.random() < 0.5):
            opened.append((meter.begin("work"), clock.now()))
            continue
        window, started_s = opened.pop(draw.randrange(len(opened)))
        ended_s = clock.now()
        gpu = window.close().gpu
        truth_j = pynvml.true_energy_j(0, started_s, ended_s)
        closed += 1
        if gpu.energy_j is None or gpu.error_j is None:
            wrong += 1
            continue
        wrong += abs(gpu.energy_j - truth_j) > gpu.error_j + 1e-3
        if ended_s - started_s >= 2.0:
            errors.append(100 * abs(gpu.energy_j - truth_j) / truth_j)
    return errors, wrong


def load_at_the_edges(idle_s: float) -> list[float]:
    """Errors in percent of windows of 2 s whose load starts `idle_s` into them and ends there."""
    errors = []
    truth_j = 60 * idle_s + 300 * (2.0 - idle_s)
    for offset in range(20):
        clock = VirtualClock()
        begin_s = 1.0 + COUNTER_PERIOD_S * offset / 20
        steps = [[0, 60], [begin_s + idle_s, 300], [begin_s + 2.0, 60]]
        power = {"kind": "schedule", "steps": steps}
        gpu = {"power": power, "counter_period_s": COUNTER_PERIOD_S}
        pynvml.configure({"gpus": [gpu]}, clock.now)
        meter = EnergyMeter([open_nvml(clock)], clock=clock, background=False)
        clock.drive(meter)
        clock.run(begin_s - pynvml.elapsed_s())
        with meter.window("work") as window:
            clock.run(2.0)
        measured_j = window.measurement.gpu_energy_j or 0.0
        errors.append(100 * abs(measured_j - truth_j) / truth_j)
    return errors


def costs(sides: list[Side], quick: bool) -> Iterator[Row]:
    turns = 5 if quick else 20
    metered = sides[1:]
    for what, cost in (("CPU", pair_cpu_ms), ("wall", pair_wall_ms)):
        results = in_turns({side.name: partial(cost, side) for side in metered}, turns)
        for name, samples in results.items():
            yield row(f"open and close, {what} time: {name}", samples, "ms")
    readers = {side.name: partial(read_cpu_ms, side) for side in metered if side.open_reader}
    for name, samples in in_turns(readers, 2 if quick else 10).items():
        yield row(f"read of an open window, CPU time: {name}", samples, "ms")


def shares(sides: list[Side], quick: bool) -> Iterator[Row]:
    seconds, turns = (3.0, 2) if quick else (8.0, 5)
    results = in_turns({side.name: partial(work_in_window, side, seconds) for side in sides}, turns)
    speeds = {name: [speed for _, speed in pairs] for name, pairs in results.items()}
    for side in sides[1:]:
        used = [share for share, _ in results[side.name]]
        goal = 0.2 if side.name == "energy" else None
        yield row(f"share of one core, open window: {side.name}", used, "%", at_most=goal)
    for side in sides[1:]:
        slower = ratios(speeds, side.name, "unmetered")
        yield row(f"speed of the work, over unmetered: {side.name}", slower, "ratio")


def errors(sides: list[Side], quick: bool) -> Iterator[Row]:
    lengths = (
        ((0.5, 3), (2.0, 2)) if quick else ((0.2, 12), (0.5, 12), (1.0, 12), (2.0, 10), (5.0, 5))
    )
    long: list[float] = []
    for seconds, turns in lengths:
        results = in_turns(
            {side.name: partial(error_percent, side, seconds) for side in sides[1:]}, turns
        )
        for name, samples in results.items():
            yield row(f"GPU error, window of {seconds:g} s: {name}", samples, "%")
        if seconds >= 2.0:
            long += results["energy"]
    yield row("worst GPU error, real time, 2 s or more: energy", [max(long)], "%", at_most=1.0)


def main() -> None:
    options = arguments(__doc__)
    random.seed(0)
    missed, wrong = random_windows()
    rows = [
        row(f"lost or doubled of {WINDOWS} windows: energy", [wrong], "windows", at_most=0),
        row("worst GPU error, virtual time, 2 s or more: energy", [max(missed)], "%", at_most=1.0),
    ]
    for load, idle_s in (("starts and stops with 2 s", 0.0), ("starts 0.6 s into 2 s", 0.6)):
        worst = max(load_at_the_edges(idle_s))
        rows.append(row(f"worst GPU error, load {load}: energy", [worst], "%", at_most=1.0))
    pynvml.configure(SETTINGS)
    zeus = bare_zeus()
    with EnergyMeter.for_this_machine(country="FRA") as meter:
        # A collection of all that was imported takes tens of milliseconds, and would be charged
        # to the thread that happens to set it off.
        gc.collect()
        gc.freeze()
        sides = [nothing(), ours(meter), bare_codecarbon(), *([zeus] if zeus else [])]
        for part in (costs, shares, errors):
            rows += part(sides, options.quick)
    if zeus is None:
        print("Zeus is not installed: no rows of it")
    report(rows, options.json)


if __name__ == "__main__":
    main()
