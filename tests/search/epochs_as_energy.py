"""A machine on which an epoch takes a second and eight joules, whatever else it does.

What a search decides is then the same on every machine and however often it is interrupted.
Called as a program, it is the command line on such a machine.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from energy import EnergyMeter
from energy.carbon import Carbon
from energy.sources.replay import ReplaySource, Trace
from pipeline import terminal
from pipeline.__main__ import cli
from pipeline.search import command
from steps.train import epochs, giving_up
from steps.train.rule import TrainToAccuracy

EPOCH_S, EPOCH_J = 1.0, 8.0
"""Powers of two, so that no sum of them is rounded."""


class EpochClock:
    """Passes when an epoch ends, and at no other time."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def install(patch: Callable[[object, str, Any], None]) -> None:
    """Make this process such a machine; `patch` is ``setattr`` or pytest's."""
    clock = EpochClock()
    trace = Trace([0.0, 2.0**30], {"cpu": [EPOCH_J / EPOCH_S] * 2})
    meter = EnergyMeter(
        [ReplaySource(trace, clock)],
        carbon=Carbon(360.0, "given", "of a test"),
        clock=clock,
        background=False,
    )
    end = TrainToAccuracy.on_epoch_end

    def on_epoch_end(self: TrainToAccuracy, epoch: int, logs: Any = None) -> None:
        clock.sleep(EPOCH_S)
        end(self, epoch, logs)

    stopwatch = SimpleNamespace(perf_counter=clock.now, time=time.time)
    patch(TrainToAccuracy, "on_epoch_end", on_epoch_end)
    patch(epochs, "time", stopwatch)
    patch(giving_up, "time", stopwatch)
    patch(command, "machine_meter", lambda metering: meter)
    patch(command, "measure_idle_power", lambda meter: None)


if __name__ == "__main__":
    install(setattr)
    terminal.main(cli, "python -m pipeline")
