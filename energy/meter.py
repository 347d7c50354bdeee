"""The meter: named windows over any number of energy sources."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

import psutil

from energy.carbon import UNKNOWN_CARBON, Carbon, resolve
from energy.clock import Clock, MonotonicClock
from energy.idle import IdlePower, idle_power
from energy.measurement import Measurement
from energy.sources.base import HEARTBEAT_S, PARTS, Part, Source, Span, absent
from energy.sources.machine import open_all
from energy.window import Mark, Window


class EnergyMeter:
    """Measures the energy of blocks of work.

    A meter is made once and used for any number of windows, nested and overlapping as they come:

        with EnergyMeter.for_this_machine(country="FRA") as meter:
            with meter.window("training") as window:
                train()
            print(window.measurement.energy_j, window.measurement.provenance)

    Attributes:
        carbon: The carbon intensity that emissions are computed with.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        carbon: Carbon = UNKNOWN_CARBON,
        sync: Callable[[], None] | None = None,
        clock: Clock | None = None,
        background: bool = True,
    ) -> None:
        """Put a meter together; `for_this_machine` is the short way.

        Args:
            sources: Where the energy comes from. For each part of the machine, the first source
                that has a figure counts.
            carbon: The carbon intensity to compute emissions with.
            sync: Called just before a window opens and closes, so that work which the caller's
                framework has only queued falls on the right side of the edge
                (`tensorflow.test.experimental.sync_devices`).
            clock: The clock of all durations; the machine's monotonic clock by default.
            background: Whether a thread steps the sources while a window is open. Without it,
                somebody has to call `step`.
        """
        self.carbon = carbon
        self._sources = tuple(sources)
        self._sync = sync
        self._clock: Clock = clock if clock is not None else MonotonicClock()
        self._background = background
        self._lock = threading.RLock()
        self._open: list[Window] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def for_this_machine(
        cls,
        country: str | None = None,
        carbon_intensity_g_per_kwh: float | None = None,
        sync: Callable[[], None] | None = None,
        *,
        electricity_maps_token: str | None = None,
        pue: float = 1.0,
    ) -> Self:
        """A meter of all that this machine can tell: see `energy.sources.machine.open_all`.

        Takes a second or two, most of it CodeCarbon's look at the machine.

        Args:
            country: ISO 3166 alpha-3 code of where the machine is; None to look it up by the
                network address, for a second at most.
            carbon_intensity_g_per_kwh: Carbon intensity to use instead of the country's.
            sync: See `EnergyMeter`.
            electricity_maps_token: Token for the live intensity of Electricity Maps, or None.
            pue: Power usage effectiveness of the data centre, 1 or more.

        Raises:
            ValueError: The country is unknown, the intensity negative or the PUE below 1.
        """
        carbon = resolve(
            country,
            carbon_intensity_g_per_kwh,
            electricity_maps_token=electricity_maps_token,
            pue=pue,
        )
        clock = MonotonicClock()
        return cls(open_all(clock), carbon=carbon, sync=sync, clock=clock)

    def window(self, name: str) -> Window:
        """A window to put around a block with `with`.

        Args:
            name: What to call it; any number of windows may share a name.
        """
        return Window(self, name)

    def begin(self, name: str) -> Window:
        """Open a window that `end` will close.

        Args:
            name: What to call it.
        """
        return Window(self, name).open()

    def end(self, window: Window | str) -> Measurement:
        """Close a window.

        Args:
            window: The window, or its name: of the open windows of that name, the last opened.

        Raises:
            ValueError: No window of that name is open.
        """
        if isinstance(window, Window):
            return window.close()
        for opened in reversed(self._open):
            if opened.name == window:
                return opened.close()
        names = ", ".join(sorted({opened.name for opened in self._open})) or "none"
        raise ValueError(f"window {window!r} is not open; open windows: {names}")

    def idle(self, seconds: float = 10.0) -> IdlePower:
        """Measure what the machine draws when it does nothing.

        Args:
            seconds: How long to watch.

        Raises:
            ValueError: The machine is visibly busy, or a window is open.
        """
        if self._open:
            raise ValueError(f"window {self._open[-1].name!r} is open: idle power needs none open")
        with self.window("idle") as window:
            self._clock.sleep(seconds)
        return idle_power(window.measurement)

    @property
    def is_measuring(self) -> bool:
        """Whether a window is open."""
        return bool(self._open)

    def step(self) -> float:
        """Do the sources' background work that is due; return the seconds until the next."""
        return min((source.step() for source in self._sources), default=HEARTBEAT_S)

    def close(self) -> None:
        """Close the windows that are still open and give the sources back."""
        for window in list(self._open):
            window.close()
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def enter(self, window: Window) -> Mark:
        """For windows: synchronize, have the sources run, and mark them."""
        if self._sync is not None:
            self._sync()
        with self._lock:
            if not self._open:
                for source in self._sources:
                    source.start()
            mark = self.mark(edge=True)
            self._open.append(window)
            if self._background and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="energy", daemon=True)
                self._thread.start()
        self._wake.set()
        return mark

    def leave(self, window: Window) -> None:
        """For windows: let the sources rest if no other window is open."""
        with self._lock:
            self._open.remove(window)
            if not self._open:
                for source in self._sources:
                    source.stop()
        self._wake.set()

    def synchronize(self) -> frozenset[str]:
        """For windows: synchronize the caller's framework; return the flags to raise."""
        try:
            if self._sync is not None:
                self._sync()
        except Exception:
            # What cannot be synchronized may be why the block itself raised; that error counts.
            return frozenset({"sync_failed"})
        return frozenset()

    def mark(self, *, edge: bool) -> Mark:
        """For windows: mark all sources at this instant.

        Args:
            edge: Whether it is a window's edge or a cheap look inside.
        """
        time_s = self._clock.now()
        cpu = psutil.cpu_times()
        # Linux counts a guest's time as its user's, too.
        total_s = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
        busy_s = total_s - cpu.idle - getattr(cpu, "iowait", 0.0)
        sources = tuple(source.mark(edge=edge) for source in self._sources)
        return Mark(time_s, sources, busy_s, total_s)

    def settle(self) -> None:
        """For windows: wait until the marked edges are as good as they get."""
        for source in self._sources:
            source.settle()

    def between(self, name: str, start: Mark, end: Mark) -> Measurement:
        """For windows: the measurement between two marks."""
        spans = [
            source.span(first, last)
            for source, first, last in zip(self._sources, start.sources, end.sources, strict=True)
        ]
        parts = {part: _first_part(part, spans) for part in PARTS}
        cpu_s = end.cpu_total_s - start.cpu_total_s
        gpu_span = next((span for span in spans if span.gpu_energies_j), Span())
        codecarbon = next(
            (span for span in spans if span.codecarbon_energy_kwh is not None), Span()
        )
        measurement = Measurement(
            name=name,
            duration_s=end.time_s - start.time_s,
            gpu=parts["gpu"],
            cpu=parts["cpu"],
            ram=parts["ram"],
            codecarbon_energy_kwh=codecarbon.codecarbon_energy_kwh,
            codecarbon_gpu_energy_j=codecarbon.codecarbon_gpu_energy_j,
            gpu_energies_j=gpu_span.gpu_energies_j,
            gpu_temperature_c=gpu_span.gpu_temperature_c,
            gpu_utilization=gpu_span.gpu_utilization,
            cpu_utilization=(end.cpu_busy_s - start.cpu_busy_s) / cpu_s if cpu_s > 0 else None,
            flags=frozenset().union(*(span.flags for span in spans)),
        )
        return replace(measurement, emissions_kg=self.carbon.emissions_kg(measurement.energy_j))

    def _run(self) -> None:
        while True:
            wanted_s = self.step()
            self._wake.wait(wanted_s)
            self._wake.clear()
            with self._lock:
                if not self._open:
                    self._thread = None
                    return


def _first_part(name: str, spans: Sequence[Span]) -> Part:
    """The first source's part that has a figure, else the first that says why it has none."""
    told = [span.parts[name] for span in spans if name in span.parts]
    with_energy = [part for part in told if part.energy_j is not None]
    return (with_energy or told or [absent("no source")])[0]
