"""Mapping a meter's reading onto a wall meter's: two numbers, a scale and an offset.

Against wall meters CodeCarbon reads 20 to 37 % low, and 1.6 to 5.8 % off once such a line is
fitted (`DESIGN.md`).
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import fmean

from energy.measurement import Measurement


@dataclass(frozen=True)
class Calibration:
    """A line from the meter's power to the wall meter's.

    Attributes:
        scale: Wall watts per watt of the meter.
        offset_w: What the wall meter shows beyond, in watts: fans, disks, the power supply.
    """

    scale: float
    offset_w: float

    def __post_init__(self) -> None:
        if not self.scale > 0 or not all(map(math.isfinite, (self.scale, self.offset_w))):
            raise ValueError(
                f"calibration {self.scale},{self.offset_w}: must be finite, the scale above 0"
            )

    def wall_energy_j(self, energy_j: float, duration_s: float) -> float:
        """What a wall meter would have shown.

        Args:
            energy_j: The meter's reading in joules.
            duration_s: Over how many seconds.

        Returns:
            Joules at the wall.
        """
        return self.scale * energy_j + self.offset_w * duration_s

    def wall_energy_of(self, measurement: Measurement) -> float | None:
        """What a wall meter would have shown for a window, in joules; None if it has no energy."""
        if measurement.energy_j is None:
            return None
        return self.wall_energy_j(measurement.energy_j, measurement.duration_s)


@dataclass(frozen=True)
class PartCalibration:
    """A calibration of its own for each part; a part without one is taken as it was read.

    Attributes:
        gpu: For the GPUs.
        cpu: For the processors.
        ram: For the memory.
    """

    gpu: Calibration | None = None
    cpu: Calibration | None = None
    ram: Calibration | None = None

    def wall_energy_of(self, measurement: Measurement) -> float | None:
        """What wall meters would have shown for a window, in joules; None if it has no energy."""
        walls_j = [
            part.energy_j
            if (line := getattr(self, name)) is None
            else line.wall_energy_j(part.energy_j, measurement.duration_s)
            for name, part in measurement.parts.items()
            if part.energy_j is not None
        ]
        return float(sum(walls_j)) if walls_j else None


@dataclass(frozen=True)
class Reading:
    """One window seen by both meters.

    Attributes:
        energy_j: The meter's joules.
        duration_s: Length of the window in seconds.
        wall_j: The wall meter's joules.
    """

    energy_j: float
    duration_s: float
    wall_j: float


@dataclass(frozen=True)
class Fit:
    """A fitted calibration and how far it can be trusted.

    Attributes:
        calibration: The line.
        relative_error: Mean relative error on readings that the line was not fitted to.
        raw_relative_error: The same without any calibration.
        readings: How many readings there were.
    """

    calibration: Calibration
    relative_error: float
    raw_relative_error: float
    readings: int


def parse(text: str) -> Calibration | PartCalibration:
    """Read a calibration as a user gives it.

    Args:
        text: `SCALE,OFFSET_W`, or the path of a YAML file such as
            `{gpu: {scale: 1.1, offset_w: 12}, cpu: {scale: 1.3, offset_w: 20}}`.

    Raises:
        ValueError: It is neither, or a scale is not above 0.
    """
    if text.endswith((".yaml", ".yml")):
        return _parse_file(Path(text))
    try:
        scale, offset_w = (float(number) for number in text.split(","))
    except ValueError:
        raise ValueError(
            f"calibration {text!r}: must be SCALE,OFFSET_W, such as 1.25,38, or a YAML file"
        ) from None
    return Calibration(scale, offset_w)


def _parse_file(path: Path) -> PartCalibration:
    import yaml

    try:
        lines = yaml.safe_load(path.read_text(encoding="utf-8"))
        return PartCalibration(
            **{
                name: Calibration(float(line["scale"]), float(line["offset_w"]))
                for name, line in lines.items()
            }
        )
    except (
        *(OSError, ValueError, yaml.YAMLError, RecursionError),
        *(ArithmeticError, AttributeError, KeyError, TypeError),
    ) as error:
        # A parser repeats what it cannot read, which may be any character.
        told = " ".join(str(error).split())
        told = "".join(each if each.isprintable() else "\ufffd" for each in told)
        raise ValueError(
            f"calibration {path}: must map gpu, cpu or ram to scale and offset_w ({told})"
        ) from error


def read_readings(path: Path) -> list[Reading]:
    """Read pairs of readings from a CSV file with columns `energy_j`, `duration_s`, `wall_j`.

    Raises:
        ValueError: A column is missing, or a cell is not a number.
    """
    names = [field.name for field in fields(Reading)]
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [
                Reading(**{name: float(row[name]) for name in names})
                for row in csv.DictReader(file)
            ]
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(
                f"calibration readings {path}: must have numbers under {', '.join(names)} ({error})"
            ) from error


def fit(readings: Sequence[Reading]) -> Fit:
    """Fit a calibration and judge it by leave-one-out cross-validation.

    Relative residuals are minimized, so that a long window does not outweigh the short ones.

    Args:
        readings: Windows seen by both meters; at least three, at different powers.

    Raises:
        ValueError: There are too few readings, one is not positive, or all have the same power.
    """
    if len(readings) < 3:
        raise ValueError(f"{len(readings)} calibration readings: at least 3 are needed")
    for reading in readings:
        if not all(0 < told < math.inf for told in astuple(reading)):
            raise ValueError(f"calibration reading {reading}: all must be finite and above 0")
    missed = [
        _line([*readings[:index], *readings[index + 1 :]]).wall_energy_j(
            left_out.energy_j, left_out.duration_s
        )
        / left_out.wall_j
        - 1
        for index, left_out in enumerate(readings)
    ]
    raw = [reading.energy_j / reading.wall_j - 1 for reading in readings]
    return Fit(
        calibration=_line(readings),
        relative_error=fmean(map(abs, missed)),
        raw_relative_error=fmean(map(abs, raw)),
        readings=len(readings),
    )


def _line(readings: Sequence[Reading]) -> Calibration:
    import numpy as np

    wall = np.array([reading.wall_j for reading in readings])
    told = np.array([[reading.energy_j, reading.duration_s] for reading in readings])
    (scale, offset_w), _, rank, _ = np.linalg.lstsq(
        told / wall[:, None], np.ones(len(readings)), rcond=1e-9
    )
    if rank < 2:
        raise ValueError(
            "calibration readings: all have the same power; read the meters idle and under load"
        )
    return Calibration(float(scale), float(offset_w))
