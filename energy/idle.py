"""Idle power: what the machine draws when it does nothing, to tell net energy from gross."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from energy.hardware import describe
from energy.measurement import Measurement
from energy.sources.base import PARTS, Part

BUSY_CPU_UTILIZATION = 0.2
BUSY_GPU_UTILIZATION = 0.05


@dataclass(frozen=True)
class PartPower:
    """The idle power of one part.

    Attributes:
        power_w: Power in watts.
        error_w: Half-width of its error in watts.
        provenance: How it was had, as in `Part`.
    """

    power_w: float
    error_w: float
    provenance: str


@dataclass(frozen=True)
class IdlePower:
    """Power of the idle machine, by part; None where the part was not measured.

    `measurement - idle` gives the net measurement.

    Attributes:
        gpu: All visible GPUs.
        cpu: The processors.
        ram: The memory.
        measured_on: Date and time in UTC, ISO 8601.
        hardware: The machine in one line.
    """

    gpu: PartPower | None
    cpu: PartPower | None
    ram: PartPower | None
    measured_on: str
    hardware: str

    @property
    def power_w(self) -> float | None:
        """Sum of the parts that were measured, in watts; None if none was."""
        present = [part.power_w for part in (self.gpu, self.cpu, self.ram) if part is not None]
        return sum(present) if present else None

    def __rsub__(self, gross: Measurement) -> Measurement:
        """The net measurement: less what the idle machine would have used in the same time.

        Raises:
            ValueError: A part of the measurement has no idle reading.
        """
        if not isinstance(gross, Measurement):
            return NotImplemented
        net = replace(
            gross,
            gpu=self._net_part("gpu", gross),
            cpu=self._net_part("cpu", gross),
            ram=self._net_part("ram", gross),
            flags=gross.flags | {"net"},
        )
        share = net.energy_j / gross.energy_j if net.energy_j and gross.energy_j else None
        kg = gross.emissions_kg
        return replace(net, emissions_kg=None if kg is None or share is None else kg * share)

    def _net_part(self, name: str, gross: Measurement) -> Part:
        part, idle = gross.parts[name], getattr(self, name)
        if part.energy_j is None or part.error_j is None:
            return part
        if idle is None:
            raise ValueError(
                f"idle power of {self.measured_on}: has no reading of the {name}, but window "
                f"{gross.name!r} has one; measure the idle power anew"
            )
        return Part(
            part.energy_j - idle.power_w * gross.duration_s,
            part.error_j + idle.error_w * gross.duration_s,
            part.provenance,
        )


def idle_power(idle_window: Measurement) -> IdlePower:
    """The idle power that a window over the idle machine shows.

    Args:
        idle_window: A window in which nothing was done.

    Raises:
        ValueError: The machine was visibly busy in the window.
    """
    for what, busy, allowed in (
        ("CPU", idle_window.cpu_utilization, BUSY_CPU_UTILIZATION),
        ("GPU", idle_window.gpu_utilization, BUSY_GPU_UTILIZATION),
    ):
        if busy is not None and busy > allowed:
            raise ValueError(
                f"idle power: the {what} is {busy:.0%} busy, allowed is {allowed:.0%}; "
                "stop the other work on this machine and try again"
            )
    parts = {
        name: PartPower(
            part.energy_j / idle_window.duration_s,
            part.error_j / idle_window.duration_s,
            part.provenance,
        )
        if part.energy_j is not None and part.error_j is not None
        else None
        for name, part in idle_window.parts.items()
    }
    return IdlePower(
        **parts,
        measured_on=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=describe().name,
    )


def save(idle: IdlePower, path: Path) -> None:
    """Write an idle reading to a JSON file, making its folder.

    Args:
        idle: The reading.
        path: Where to; replaced if it is there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(idle), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> IdlePower | None:
    """Read the idle reading of this machine.

    Args:
        path: Where `save` put it.

    Returns:
        The reading; None if there is no file, or if it is of other hardware than this.

    Raises:
        ValueError: The file is not an idle reading.
    """
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: PartPower(**kept[name]) if kept[name] else None for name in PARTS}
        idle = IdlePower(**parts, measured_on=kept["measured_on"], hardware=kept["hardware"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"idle reading {path}: not one that `save` wrote ({error})") from error
    return idle if idle.hardware == describe().name else None
