"""A recorded power trace, played against a clock: for tests, demonstrations and re-analysis."""

import csv
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Self

from energy.clock import Clock
from energy.sources.base import HEARTBEAT_S, PARTS, Part, Span

_COLUMN = re.compile(rf"({'|'.join(PARTS)})\d*")


class Trace:
    """Power of some devices over time, linear between the samples.

    Args:
        times_s: Times of the samples in seconds; rising, at least two.
        watts: For each device (`gpu0`, `gpu1`, `cpu`, `ram`, ...) its watts at those times.

    Raises:
        ValueError: The times do not rise, a device has another name or length, or a number is not
            finite.
    """

    def __init__(self, times_s: Sequence[float], watts: Mapping[str, Sequence[float]]) -> None:
        if len(times_s) < 2 or any(later <= earlier for earlier, later in pairwise(times_s)):
            raise ValueError("power trace: time_s must rise, over at least two rows")
        for device, values in watts.items():
            if not _COLUMN.fullmatch(device) or len(values) != len(times_s):
                raise ValueError(
                    f"power trace, device {device!r}: must be gpu, cpu or ram, with or without a "
                    "number, and have one value per time"
                )
        if not all(map(math.isfinite, [*times_s, *chain.from_iterable(watts.values())])):
            raise ValueError("power trace: its numbers must be finite")
        self.times_s = tuple(times_s)
        self.devices = tuple(watts)
        self._watts = {device: tuple(values) for device, values in watts.items()}
        self._joules = {
            device: self._integrate([(a + b) / 2 for a, b in pairwise(values)])
            for device, values in watts.items()
        }
        self._doubts = {
            device: self._integrate([abs(b - a) / 2 for a, b in pairwise(values)])
            for device, values in watts.items()
        }
        if not all(math.isfinite(joules[-1]) for joules in self._joules.values()):
            raise ValueError("power trace: its energy is beyond all numbers")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a CSV file with a column `time_s` and a column of watts per device.

        Raises:
            ValueError: The file has no such columns, or a cell that is not a number.
        """
        try:
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                rows = list(reader)
        except (UnicodeError, csv.Error) as error:
            raise ValueError(f"power trace {path}: is no CSV file ({error})") from error
        if not rows or "time_s" not in rows[0]:
            raise ValueError(f"power trace {path}: needs a column time_s and at least two rows")
        names = reader.fieldnames or ()
        if len(set(names)) < len(names) or any(row.keys() - set(names) for row in rows):
            raise ValueError(f"power trace {path}: needs a name of its own for each column")
        try:
            columns = {name: [float(row[name]) for row in rows] for name in names}
        except (TypeError, ValueError) as error:
            raise ValueError(f"power trace {path}: a cell is not a number ({error})") from error
        return cls(columns.pop("time_s"), columns)

    @property
    def duration_s(self) -> float:
        """Time from the first sample to the last, in seconds."""
        return self.times_s[-1] - self.times_s[0]

    def energy_j(self, device: str, elapsed_s: float) -> float:
        """Joules of a device in the trace's first `elapsed_s` seconds; none beyond its end."""
        index, share, step_s = self._locate(elapsed_s)
        before_w, after_w = self._watts[device][index : index + 2]
        reached_w = before_w + share * (after_w - before_w)
        return self._joules[device][index] + (before_w + reached_w) / 2 * share * step_s

    def doubt_j(self, device: str, elapsed_s: float) -> float:
        """By how many joules a power that jumps between the samples would make that wrong."""
        index, share, _ = self._locate(elapsed_s)
        before_j, after_j = self._doubts[device][index : index + 2]
        return before_j + share * (after_j - before_j)

    def _locate(self, elapsed_s: float) -> tuple[int, float, float]:
        """Index of the interval at `elapsed_s`, the share of it gone by, and its length."""
        time_s = self.times_s[0] + min(max(elapsed_s, 0.0), self.duration_s)
        index = min(bisect_right(self.times_s, time_s), len(self.times_s) - 1) - 1
        step_s = self.times_s[index + 1] - self.times_s[index]
        return index, (time_s - self.times_s[index]) / step_s, step_s

    def _integrate(self, watts: Sequence[float]) -> list[float]:
        steps_s = [later - earlier for earlier, later in pairwise(self.times_s)]
        return list(accumulate((w * s for w, s in zip(watts, steps_s, strict=True)), initial=0.0))


@dataclass(frozen=True)
class ReplayMark:
    """Seconds since the trace's start."""

    elapsed_s: float


class ReplaySource:
    """Plays a trace from the moment the source is made.

    Args:
        trace: What to play.
        clock: The meter's clock.
        name: The trace's name, for the provenance.
    """

    def __init__(self, trace: Trace, clock: Clock, name: str = "a trace") -> None:
        self._trace = trace
        self._clock = clock
        self._name = name
        self._started_s = clock.now()

    def start(self) -> None:
        """The trace runs by itself."""

    def stop(self) -> None:
        """The trace runs on."""

    def mark(self, *, edge: bool) -> ReplayMark:
        """Where the trace stands."""
        return ReplayMark(self._clock.now() - self._started_s)

    def settle(self) -> None:
        """A mark is exact."""

    def step(self) -> float:
        """No background work."""
        return HEARTBEAT_S

    def span(self, start: ReplayMark, end: ReplayMark) -> Span:
        """The trace's energy between two marks."""
        ended = end.elapsed_s > self._trace.duration_s
        provenance = f"measured (replayed from {self._name}{'; it has ended' if ended else ''})"
        parts = {}
        for part in PARTS:
            devices = [device for device in self._trace.devices if device.startswith(part)]
            if devices:
                energy_j, doubt_j = (
                    sum(total(d, end.elapsed_s) - total(d, start.elapsed_s) for d in devices)
                    for total in (self._trace.energy_j, self._trace.doubt_j)
                )
                parts[part] = Part(energy_j, doubt_j, provenance)
        return Span(
            parts=parts,
            gpu_energies_j=tuple(
                self._trace.energy_j(device, end.elapsed_s)
                - self._trace.energy_j(device, start.elapsed_s)
                for device in self._trace.devices
                if device.startswith("gpu")
            ),
            flags=frozenset({"trace_ended"}) if ended else frozenset(),
        )

    def close(self) -> None:
        """Nothing to give back."""
