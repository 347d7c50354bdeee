"""What is measured once per machine: its idle power, and its meter against one at the wall."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import terminal
from pipeline.cache import IDLE_FILE
from steps.errors import InputError

if TYPE_CHECKING:
    from energy import EnergyMeter, IdlePower

SECONDS_OF_IDLE = 5.0
"""Before a search: a short look, for which the user waits."""


def measure_idle_power(meter: "EnergyMeter") -> "IdlePower | None":
    """Measure and keep the idle power of the machine; None, said aloud, while it is busy."""
    from energy.idle import save

    try:
        power = meter.idle(SECONDS_OF_IDLE)
    except ValueError as error:
        terminal.progress_console.print(f"no net energy: {error}", markup=False)
        return None
    save(power, IDLE_FILE)
    return power


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=30.0,
    show_default=True,
    help="Seconds to watch it.",
)
def idle(seconds: float) -> None:
    """Measure the idle machine, for the net energy of later runs."""
    from energy import EnergyMeter
    from energy.idle import save

    with EnergyMeter.for_this_machine(carbon_intensity_g_per_kwh=0.0) as meter:
        try:
            power = meter.idle(seconds)
        except ValueError as error:
            raise InputError("idle power", "", str(error).removeprefix("idle power: ")) from None
    save(power, IDLE_FILE)
    rows = {
        name: "absent" if part is None else f"{part.power_w:.3g} W, {part.provenance}"
        for name, part in (("GPU", power.gpu), ("CPU", power.cpu), ("RAM", power.ram))
    }
    terminal.print_rows(
        "idle power", {**rows, "machine": power.hardware, "kept in": str(IDLE_FILE)}
    )


@click.command()
@click.option(
    "--readings",
    default="",
    help="CSV with a row per window: energy_j and duration_s as metered, wall_j at the wall.",
)
def calibrate(readings: str) -> None:
    """Fit --calibration from windows that a wall meter saw too."""
    if not readings:
        raise InputError("--readings", "", "is needed: a CSV file with a row per window")
    from energy.calibration import fit, read_readings

    try:
        fitted = fit(read_readings(Path(readings)))
    except (ValueError, OSError) as error:
        raise InputError("--readings", readings, str(error)) from None
    line = fitted.calibration
    terminal.print_rows(
        "calibration",
        {
            "option": f"--calibration {line.scale:.6g},{line.offset_w:.6g}",
            "error without it": f"{fitted.raw_relative_error:.1%}",
            "error with it": f"{fitted.relative_error:.1%} (cross-validated)",
            "windows": str(fitted.readings),
        },
    )
