"""The GPU source: any number of devices, each by its counter or by power samples."""

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from energy.clock import Clock
from energy.sources.base import HEARTBEAT_S, SHORTEST_IN_PERIODS, Part, Span, absent
from energy.sources.counter import POLL_S, CounterGauge
from energy.sources.device import Device, DeviceError
from energy.sources.gauges import Edge, Gauge, SampledGauge

PROCESS_CHECK_S = 10.0


@dataclass(frozen=True)
class Tally:
    """A running sum and the number of its terms; the difference of two gives a mean."""

    total: float = 0.0
    count: int = 0

    def plus(self, readings: Sequence[Callable[[], float]]) -> "Tally":
        """With one more round of readings, less those that fail."""
        total, count = self.total, self.count
        for read in readings:
            try:
                total += read()
                count += 1
            except DeviceError:
                continue
        return Tally(total, count)

    def mean_since(self, earlier: "Tally") -> float | None:
        """Mean of the readings since `earlier`, None without any."""
        count = self.count - earlier.count
        return (self.total - earlier.total) / count if count else None


@dataclass(frozen=True)
class GpuMark:
    """All devices at one instant.

    Attributes:
        time_s: When, by the meter's clock.
        edges: The gauges' edges; None for a device that cannot be measured.
        temperature: Running sum of the temperatures read.
        utilization: Running sum of the utilizations read.
        sightings: How often foreign processes were seen, this mark's check included.
        sighted: Whether this mark's own check saw one.
    """

    time_s: float
    edges: tuple[Edge | None, ...]
    temperature: Tally
    utilization: Tally
    sightings: int
    sighted: bool


class GpuSource:
    """Energy, temperature and utilization of the given GPUs.

    Temperature and utilization are read once a second in the step that the source takes anyway.
    MLflow's system metrics would read the same values from a thread of their own, at a higher
    price and with no link to the windows.

    Args:
        devices: The GPUs, in the order in which they are reported.
        clock: The meter's clock.
        library: What reads them, for the provenance, such as `NVML`.
        remark: A remark for the provenance, or nothing.
    """

    def __init__(
        self, devices: Sequence[Device], clock: Clock, *, library: str, remark: str = ""
    ) -> None:
        self._devices = tuple(devices)
        self._clock = clock
        self._library = library
        self._remark = remark
        self._lock = threading.RLock()
        self._refusals: list[str] = []
        self._gauges: list[Gauge | None] = []
        for device in self._devices:
            self._gauges.append(self._gauge_for(device))
        self._temperature = self._utilization = Tally()
        self._sightings = 0
        self._health_due_s = self._processes_due_s = -math.inf

    def start(self) -> None:
        """Forget the time in which no window was open."""
        with self._lock:
            for gauge in self._live_gauges:
                gauge.start()

    def stop(self) -> None:
        """Nothing runs between windows."""

    def mark(self, *, edge: bool) -> GpuMark:
        """All gauges at this instant, one right after the other."""
        with self._lock:
            time_s = self._clock.now()
            edges = tuple(
                gauge.mark(edge=edge) if gauge is not None else None for gauge in self._gauges
            )
            self._look_at_health(at_once=edge)
            sighted = self._look_at_processes(at_once=edge)
            return GpuMark(
                time_s, edges, self._temperature, self._utilization, self._sightings, sighted
            )

    def settle(self) -> None:
        """Wait for the next two steps of all counters, three of their periods at most."""
        longest_s = max((gauge.period_s for gauge in self._live_gauges), default=0.0)
        deadline = self._clock.now() + 3 * longest_s + 10 * POLL_S
        while True:
            with self._lock:
                waiting = [gauge for gauge in self._live_gauges if not gauge.is_settled]
                for gauge in waiting:
                    gauge.step()
                if self._clock.now() >= deadline:
                    for gauge in waiting:
                        gauge.give_up()
            if not waiting:
                return
            self._clock.sleep(POLL_S)

    def step(self) -> float:
        """Serve the gauges; once a second read temperature and utilization."""
        with self._lock:
            self._look_at_health(at_once=False)
            self._look_at_processes(at_once=False)
            return min([HEARTBEAT_S, *(gauge.step() for gauge in self._live_gauges)])

    def span(self, start: GpuMark, end: GpuMark) -> Span:
        """Energy and health between two marks."""
        with self._lock:
            pairs = [
                (gauge, *gauge.energy_between(first, last))
                if gauge and first and last and not first.log.lost
                else None
                for gauge, first, last in zip(self._gauges, start.edges, end.edges, strict=True)
            ]
        measured = [pair for pair in pairs if pair is not None]
        gauges = [gauge for gauge, _, _ in measured]
        return Span(
            parts={
                "gpu": Part(
                    energy_j=sum(energy_j for _, energy_j, _ in measured),
                    error_j=sum(error_j for _, _, error_j in measured),
                    provenance=self._provenance(gauges, start, end),
                )
                if measured
                else absent("; ".join(dict.fromkeys(self._refusals)) or "all GPUs lost")
            },
            gpu_energies_j=tuple(pair[1] if pair is not None else None for pair in pairs),
            gpu_temperature_c=end.temperature.mean_since(start.temperature),
            gpu_utilization=end.utilization.mean_since(start.utilization),
            flags=self._flags(gauges, start, end),
        )

    def close(self) -> None:
        """The devices hold nothing."""

    @property
    def _live_gauges(self) -> list[Gauge]:
        return [gauge for gauge in self._gauges if gauge is not None]

    def _gauge_for(self, device: Device) -> Gauge | None:
        known_period_s = next(
            (
                gauge.period_s
                for twin, gauge in zip(self._devices, self._gauges, strict=False)
                if isinstance(gauge, CounterGauge) and twin.name == device.name
            ),
            None,
        )
        try:
            return CounterGauge(device, self._clock, known_period_s)
        except DeviceError:
            pass
        try:
            return SampledGauge(device, self._clock)
        except DeviceError as error:
            self._refusals.append(f"{device.name}: {error}")
            return None

    def _look_at_health(self, *, at_once: bool) -> None:
        now = self._clock.now()
        if at_once or now >= self._health_due_s:
            self._health_due_s = now + HEARTBEAT_S
            self._temperature = self._temperature.plus([d.temperature_c for d in self._devices])
            self._utilization = self._utilization.plus([d.utilization for d in self._devices])

    def _look_at_processes(self, *, at_once: bool) -> bool:
        now = self._clock.now()
        if not at_once and now < self._processes_due_s:
            return False
        self._processes_due_s = now + PROCESS_CHECK_S
        sighted = Tally().plus([d.has_foreign_process for d in self._devices]).total > 0
        self._sightings += sighted
        return sighted

    def _provenance(self, gauges: list[Gauge], start: GpuMark, end: GpuMark) -> str:
        words = [f"{self._library} " + " and ".join(sorted({gauge.how for gauge in gauges}))]
        if len(gauges) < len(self._devices):
            words.append(f"on {len(gauges)} of {len(self._devices)} GPUs")
        lost = self._lost_between(start, end)
        if lost:
            words.append(f"GPU {', '.join(map(str, lost))} lost in the window")
        resets = self._count_between("resets", start, end)
        if resets:
            words.append(f"{resets} counter reset(s) bridged by the last known power")
        failures = self._count_between("failures", start, end)
        if failures:
            words.append(f"{failures} failed reading(s)")
        if any(device.is_slice for device in self._devices):
            words.append("of the whole GPU, of which this process sees a slice")
        if self._remark:
            words.append(self._remark)
        return f"measured ({'; '.join(words)})"

    def _flags(self, gauges: list[Gauge], start: GpuMark, end: GpuMark) -> frozenset[str]:
        raised = {
            "shared_gpu": start.sighted
            or end.sightings > start.sightings
            or any(device.is_slice for device in self._devices),
            "gpu_lost": bool(self._lost_between(start, end)),
            "too_short": any(
                end.time_s - start.time_s < SHORTEST_IN_PERIODS * gauge.period_s for gauge in gauges
            ),
        }
        return frozenset(flag for flag, is_raised in raised.items() if is_raised)

    @staticmethod
    def _lost_between(start: GpuMark, end: GpuMark) -> list[int]:
        return [
            index
            for index, (first, last) in enumerate(zip(start.edges, end.edges, strict=True))
            if first and last and last.log.lost and not first.log.lost
        ]

    @staticmethod
    def _count_between(event: str, start: GpuMark, end: GpuMark) -> int:
        return sum(
            getattr(last.log, event) - getattr(first.log, event)
            for first, last in zip(start.edges, end.edges, strict=True)
            if first and last
        )
