"""How long a call takes: several files in turns, so that what slows the machine slows them all."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Call = Callable[[], object]
Now = Callable[[], float]

TURNS = 11
TURN_S = 0.02
"""In each turn a file is called for about so long, at least once ..."""

MOST_CALLS = 50
"""... and at most so often."""


@dataclass(frozen=True)
class Latency:
    """Of one call, in milliseconds.

    Attributes:
        median_ms: of all calls.
        low_ms: 5 % of the calls took less.
        high_ms: 5 % of the calls took more.
        turns_ms: median of each turn; those of files that were timed together make pairs.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    turns_ms: tuple[float, ...]


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast as another: 2 is twice as fast, 0.5 half as fast.

    Attributes:
        median: of all turns.
        low: 5 % of the turns had less.
        high: 5 % of the turns had more.
    """

    median: float
    low: float
    high: float


def latencies(calls: Mapping[str, Call], now: Now = time.perf_counter) -> dict[str, Latency]:
    """Time some calls, in turns: A B C A B C ...

    Args:
        calls: what to time, by name.
        now: the clock, seconds.
    """
    often = {name: _how_often(call, now) for name, call in calls.items()}
    took_ms: dict[str, list[list[float]]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            took_ms[name].append([1000 * _seconds(call, now) for _ in range(often[name])])
    return {name: _latency(turns) for name, turns in took_ms.items()}


def speed_up(baseline: Latency, variant: Latency) -> SpeedUp:
    """By how much one call is faster than another that was timed in the same turns."""
    pairs = zip(baseline.turns_ms, variant.turns_ms, strict=True)
    ratios = [slow / fast for slow, fast in pairs]
    low, high = _edges(ratios)
    return SpeedUp(statistics.median(ratios), low, high)


def _how_often(call: Call, now: Now) -> int:
    quickest_s = min(_seconds(call, now) for _ in range(3))
    return max(1, round(TURN_S / max(quickest_s, TURN_S / MOST_CALLS)))


def _seconds(call: Call, now: Now) -> float:
    began_s = now()
    call()
    return now() - began_s


def _latency(turns: Sequence[Sequence[float]]) -> Latency:
    every = [ms for turn in turns for ms in turn]
    low, high = _edges(every)
    medians = tuple(statistics.median(turn) for turn in turns)
    return Latency(statistics.median(every), low, high, medians)


def _edges(samples: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(samples, [5, 95])
    return float(low), float(high)
