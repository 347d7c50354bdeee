"""CPU and memory by CodeCarbon, driven by hand.

CodeCarbon's own threads can count an interval twice when a tracker stops, and mixing `start()`
with `start_task()` loses energy. So one tracker is started, both of its threads are stopped at
once, and its totals are read by `flush()` only: at each mark, and every `FLUSH_PERIOD_S` while a
window is open. The totals come through an output handler, CodeCarbon's own way to hand them out,
so nothing is written, printed or sent.

Checked against the sources of codecarbon 3.3.2.
"""

import operator
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from energy.carbon import JOULES_PER_KWH
from energy.clock import MonotonicClock
from energy.silence import codecarbon_silent
from energy.sources.base import SHORTEST_IN_PERIODS, Part, Source, Span
from energy.sources.null import NullSource

FRESH_S = 0.05
"""`flush()` measures nothing if the last measurement is younger than this, in seconds."""

FLUSH_PERIOD_S = 2.0
"""Seconds between flushes that nobody asked for.

RAPL's counters would bear a minute. The load estimate would not: it cubes the load of each
interval, so that long ones miss bursts. A flush takes near to a millisecond of processor time.
"""

ESTIMATE_UNCERTAINTY = 0.4
"""Relative error of CodeCarbon's estimates.

R. Fischer, "Ground-Truthing AI Energy Consumption: Validating CodeCarbon Against External
Measurements" (arXiv:2509.22092, 2025), found errors of up to 40 % against wall meters.
"""

SELF_CHECK_TOLERANCE = 0.05
RAPL_FOLDER = Path("/sys/class/powercap/intel-rapl/subsystem")

_COUNTERS = {
    "intel_rapl": "RAPL counters",
    "windows_emi": "Windows Energy Meter Interface",
    "intel_power_gadget": "Intel Power Gadget",
}


class Joules(NamedTuple):
    """Energy of the three parts that CodeCarbon knows, in joules; or their powers in watts."""

    cpu: float = 0.0
    ram: float = 0.0
    gpu: float = 0.0


NOTHING = Joules()


@dataclass(frozen=True)
class Totals:
    """CodeCarbon's running totals at one instant.

    Attributes:
        time_s: When, by the meter's clock.
        energy: Joules so far.
        power: Watts over CodeCarbon's last interval.
        failures: How often CodeCarbon failed to measure so far.
    """

    time_s: float
    energy: Joules = NOTHING
    power: Joules = NOTHING
    failures: int = 0


class _Receiver:
    """Takes the totals that a flush hands out."""

    def __init__(self) -> None:
        self.latest: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.latest = total

    def live_out(self, total: Any, delta: Any) -> None:
        """Never called: `api_call_interval` is -1."""

    def task_out(self, data: Any, experiment_name: str) -> None:
        """Never called: there are no tasks."""

    def exit(self) -> None:
        """Nothing is held."""


def open_codecarbon() -> Source:
    """CodeCarbon's meter for CPU and memory, or a source that says why there is none."""
    receiver = _Receiver()
    try:
        return CodeCarbonSource(_started_tracker(receiver), receiver)
    except Exception as error:
        # CodeCarbon probes the machine in many ways; none of them may end a training.
        return NullSource(["cpu", "ram"], f"CodeCarbon: {error}")


def _started_tracker(receiver: _Receiver) -> Any:
    # Building a tracker logs before it looks at its `log_level`.
    with codecarbon_silent():
        tracker = _tracker(receiver)
        tracker.start()
    for scheduler in (tracker._scheduler, tracker._scheduler_monitor_power):
        scheduler.stop()
    tracker.flush()
    return tracker


def _tracker(receiver: _Receiver) -> Any:
    """A tracker that writes, sends and logs nothing.

    What is given here beats CodeCarbon's configuration files and environment variables. Only
    `force_cpu_power` and `force_ram_power` are left to them: they make its estimates better. The
    country and the intensity keep it from asking the network; `energy.carbon` has the real ones.
    """
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        country_iso_code="FRA",
        region=None,
        cloud_provider=None,
        cloud_region=None,
        country_2letter_iso_code=None,
        force_carbon_intensity_g_co2e_kwh=0.0,
        electricitymaps_api_token=None,
        measure_power_secs=3600,
        api_call_interval=-1,
        output_methods=[],
        output_handlers=[receiver],
        output_dir=os.curdir,
        emissions_endpoint=None,
        log_level="critical",
        logger_preamble="",
        allow_multiple_runs=True,
        tracking_mode="machine",
        pue=1.0,
        wue=0.0,
    )


class CodeCarbonSource:
    """CPU and memory energy, and CodeCarbon's own total for the cross-check.

    It runs by the machine's own clock, as CodeCarbon does.

    Args:
        tracker: A started CodeCarbon tracker without threads.
        receiver: The output handler among the tracker's.
    """

    def __init__(self, tracker: Any, receiver: _Receiver) -> None:
        self._tracker = tracker
        self._receiver = receiver
        self._clock = MonotonicClock()
        self._lock = threading.RLock()
        hardware = {type(part).__name__: part for part in tracker._hardware}
        self._cpu_how = _describe_cpu(hardware)
        self._ram_w = float(hardware["RAM"].total_power().W) if "RAM" in hardware else None
        # CodeCarbon keeps a GPU part without any GPU in it where NVML does not work.
        gpus = getattr(hardware.get("GPU"), "num_gpus", 0)
        self._has_gpu = gpus > 0 or "AppleSiliconChip" in hardware
        if receiver.latest is None:
            raise RuntimeError("its tracker hands out no totals")
        self._measured = self._shown = Totals(self._clock.now(), _joules(receiver.latest))
        # The first interval gives the powers that later flushes carry on with.
        self._clock.sleep(1.2 * FRESH_S)
        self._flush()

    def start(self) -> None:
        """End the interval since the last window, so that no load of then is taken for now's."""
        self._flush()

    def stop(self) -> None:
        """Nothing runs between windows."""

    def mark(self, *, edge: bool) -> Totals:
        """CodeCarbon's totals at this instant."""
        return self._flush()

    def settle(self) -> None:
        """A flush is final."""

    def step(self) -> float:
        """Flush, if the last flush was a while ago; return the seconds until the next."""
        due_s = self._shown.time_s + FLUSH_PERIOD_S - self._clock.now()
        if due_s > 0:
            return due_s
        self._flush()
        return FLUSH_PERIOD_S

    def span(self, start: Totals, end: Totals) -> Span:
        """Energy between two marks, checked by the memory's constant power."""
        elapsed_s = end.time_s - start.time_s
        used = Joules(*map(operator.sub, end.energy, start.energy))
        cpu_error_j = 2 * FRESH_S * end.power.cpu
        if not self._cpu_how.startswith("measured"):
            cpu_error_j += ESTIMATE_UNCERTAINTY * used.cpu
        raised = {
            "too_short": elapsed_s < SHORTEST_IN_PERIODS * FRESH_S,
            "self_check_failed": end.failures > start.failures
            or not self._is_ram_constant(used.ram, elapsed_s),
        }
        return Span(
            parts={
                "cpu": Part(used.cpu, cpu_error_j, self._cpu_how),
                "ram": Part(used.ram, ESTIMATE_UNCERTAINTY * used.ram, self._ram_how),
            },
            codecarbon_energy_kwh=sum(used) / JOULES_PER_KWH,
            codecarbon_gpu_energy_j=used.gpu if self._has_gpu else None,
            flags=frozenset(flag for flag, is_raised in raised.items() if is_raised),
        )

    def close(self) -> None:
        """Stop the tracker."""
        with self._lock:
            self._tracker.stop()

    @property
    def _ram_how(self) -> str:
        if self._ram_w is None:
            return "measured (CodeCarbon: PMIC of the Raspberry Pi)"
        return f"estimated (CodeCarbon: {self._ram_w:.3g} W by the size of the memory)"

    def _is_ram_constant(self, ram_j: float, elapsed_s: float) -> bool:
        if self._ram_w is None:
            return True
        expected_j = self._ram_w * elapsed_s
        return abs(ram_j - expected_j) <= SELF_CHECK_TOLERANCE * expected_j + FRESH_S * self._ram_w

    def _flush(self) -> Totals:
        """Have CodeCarbon measure, and carry its totals on to this very instant.

        A flush within `FRESH_S` of the last measurement brings nothing new; the time since is
        then filled with the last known powers, so that a window's edge is not off by it.
        """
        with self._lock:
            before = self._receiver.latest
            self._tracker.flush()
            now, latest = self._clock.now(), self._receiver.latest
            if latest is before:
                self._measured = replace(self._measured, failures=self._measured.failures + 1)
            else:
                self._take(latest, now)
            since_s = now - self._measured.time_s
            # A power that fell after the last interval must not turn the totals back.
            energy = Joules(
                *(
                    max(shown, joules + watts * since_s)
                    for shown, joules, watts in zip(
                        self._shown.energy, self._measured.energy, self._measured.power, strict=True
                    )
                )
            )
            self._shown = replace(self._measured, time_s=now, energy=energy)
            return self._shown

    def _take(self, latest: Any, now: float) -> None:
        """Take CodeCarbon's new totals over, if this flush measured at all."""
        known = self._measured
        energy, elapsed_s = _joules(latest), now - known.time_s
        if energy == known.energy:
            return
        used = map(operator.sub, energy, known.energy)
        power = Joules(*(joules / elapsed_s for joules in used))
        self._measured = Totals(now, energy, power, known.failures)


def _joules(totals: Any) -> Joules:
    """The totals of CodeCarbon's `EmissionsData`, which is in kilowatt-hours."""
    kwh = (totals.cpu_energy, totals.ram_energy, totals.gpu_energy)
    return Joules(*(part * JOULES_PER_KWH for part in kwh))


def _describe_cpu(hardware: dict[str, Any]) -> str:
    """Provenance of CodeCarbon's CPU energy, by the way that it chose for this machine."""
    cpu = hardware.get("CPU")
    if cpu is None:
        return f"measured (CodeCarbon: {' and '.join(sorted(hardware.keys() - {'RAM', 'GPU'}))})"
    if cpu._mode in _COUNTERS:
        return f"measured (CodeCarbon: {_COUNTERS[cpu._mode]})"
    load = "half of" if cpu._mode == "constant" else "load x"
    how = f"CodeCarbon: {load} {cpu._tdp:g} W TDP"
    counters = list(RAPL_FOLDER.glob("intel-rapl:*/energy_uj"))
    if counters and not any(os.access(counter, os.R_OK) for counter in counters):
        how += "; RAPL is there but not readable by this user"
    return f"estimated ({how})"
