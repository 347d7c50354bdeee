"""How a command measures: the options for place, carbon and calibration, and their meter."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import click

from pipeline import terminal
from pipeline.cache import IDLE_FILE, POWER_LIMIT_FILE
from steps.errors import InputError

if TYPE_CHECKING:
    from energy import EnergyMeter, IdlePower
    from energy.calibration import Calibration, PartCalibration

LIVE_TOKEN = "CODECARBON_ELECTRICITYMAPS_API_TOKEN"
"""The environment variable that CodeCarbon reads too: a secret does not belong on a command line,
where MLflow would record it."""


@dataclass(frozen=True)
class Metering:
    """Where the energy comes from, and how a reading becomes what a wall meter would show.

    Attributes:
        country: ISO 3166 alpha-3 code; None to look it up.
        carbon_intensity_g_per_kwh: the user's own figure instead of the country's.
        pue: power usage effectiveness of the data centre.
        calibration: as typed; empty for none.
    """

    country: str | None = None
    carbon_intensity_g_per_kwh: float | None = None
    pue: float = 1.0
    calibration: str = ""

    @classmethod
    def parse(cls, country: str, carbon_intensity: str, pue: str, calibration: str) -> Self:
        """From texts as typed; empty ones are not given.

        Raises:
            InputError: a value is not allowed.
        """
        metering = cls(
            country=check_country("--country", country) if country else None,
            carbon_intensity_g_per_kwh=_number("--carbon-intensity", carbon_intensity, least=0.0),
            pue=_number("--pue", pue or "1", least=1.0) or 1.0,
            calibration=calibration,
        )
        metering.line()
        return metering

    def line(self) -> "Calibration | PartCalibration | None":
        """The calibration, None where none was given.

        Raises:
            InputError: it cannot be read.
        """
        if not self.calibration:
            return None
        from energy.calibration import parse

        try:
            return parse(self.calibration)
        except ValueError as error:
            raise InputError("--calibration", self.calibration, str(error)) from None


_OPTIONS = (
    click.option(
        "--country",
        default="",
        help="Where the energy comes from, ISO 3166 alpha-3 such as FRA; default: look it up.",
    ),
    click.option(
        "--carbon-intensity",
        default="",
        help="Grams of CO2e per kWh, instead of the country's yearly mean.",
    ),
    click.option(
        "--pue",
        default="1.0",
        show_default=True,
        help="Power usage effectiveness of the data centre: multiplies the emissions.",
    ),
    click.option(
        "--calibration",
        default="",
        help="SCALE,OFFSET_W that map a reading onto a wall meter's, or a YAML file per part.",
    ),
)


def metering_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `Metering.parse` takes, by the same names."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_country(option: str, code: str) -> str:
    """The code in capitals.

    Raises:
        InputError: nobody knows the carbon intensity of such a country.
    """
    from energy.carbon import validate_country

    try:
        return validate_country(code)
    except ValueError:
        problem = "no ISO 3166 alpha-3 code of CodeCarbon's data, such as FRA, DEU, IND or USA"
        raise InputError(option, code, problem) from None


def _number(option: str, text: str, least: float) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number < float("inf"):
        raise InputError(option, text, f"must be a number from {least:g}")
    return number


@cache
def machine_meter(metering: Metering) -> "EnergyMeter":
    """The meter of this process. It takes seconds to make, so all runs share it.

    Raises:
        InputError: there is no live carbon intensity to be had.
    """
    terminal.quiet_libraries()
    import tensorflow as tf

    from energy import EnergyMeter

    try:
        return EnergyMeter.for_this_machine(
            metering.country,
            metering.carbon_intensity_g_per_kwh,
            sync=tf.test.experimental.sync_devices,
            electricity_maps_token=os.environ.get(LIVE_TOKEN),
            pue=metering.pue,
        )
    except ValueError as error:
        raise InputError("--country", metering.country or "", str(error)) from None


def idle_power() -> "IdlePower | None":
    """What `python -m pipeline idle` measured on this machine; None if it did not.

    Raises:
        InputError: the file that keeps it was damaged.
    """
    from energy.idle import load

    try:
        return load(IDLE_FILE)
    except ValueError as error:
        raise InputError("idle power", "", f"{error}; measure it anew") from None


@contextlib.contextmanager
def power_limited(watts: float | None) -> Iterator[None]:
    """Run a block with that power limit on the GPUs; None leaves them as they are.

    Raises:
        InputError: there is no GPU, it does not allow the limit, or this user may not set it.
    """
    if watts is None:
        yield
        return
    from energy.power_limit import power_limit

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(power_limit(watts, POWER_LIMIT_FILE))
        except (ValueError, PermissionError) as error:
            raise InputError("--power-limit-w", f"{watts:g}", str(error)) from None
        yield
