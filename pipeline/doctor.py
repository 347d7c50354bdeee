"""``python -m pipeline doctor``: what this machine measures, what it estimates, what is missing."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from pipeline import terminal
from pipeline.cache import CACHE, JOURNALS
from pipeline.metering import Metering, idle_power, machine_meter
from pipeline.units import three_digits
from steps.errors import one_line

if TYPE_CHECKING:
    from energy import EnergyMeter

LOOK_S = 3.0
"""Long enough for a GPU's counter to move thirty times."""

LEAST_FREE_BYTES = 1 << 30

EXTRAS = {
    "zeus": "GPUs by other makers than NVIDIA",
    "ray": "searches on a cluster",
    "torch": "--sampler gp",
}


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        what: it is.
        verdict: ``measured``, ``estimated`` or ``absent`` of energy; of other things ``ok``,
            ``missing`` or, where one can do without, ``not there``.
        words: how, why, or what to do about it.
    """

    what: str
    verdict: str
    words: str


@click.command()
def doctor() -> None:
    """Say what this machine measures, what it estimates, and what is missing."""
    table = Table(title="This machine", title_justify="left", box=SIMPLE, show_header=False)
    for finding in findings():
        table.add_row(*map(Text, finding))
    terminal.console.print(table)


def findings() -> Iterator[Finding]:
    """All of them, from the energy down to what is merely handy."""
    meter = machine_meter(Metering())
    yield from energy_findings(meter)
    yield _idle()
    yield _carbon(meter)
    yield _training()
    yield from _tracking()
    yield from _folder()
    yield _environments()
    for package, purpose in EXTRAS.items():
        there = find_spec(package) is not None
        yield Finding(f"package {package}", "ok" if there else "not there", f"for {purpose}")


def energy_findings(meter: "EnergyMeter") -> Iterator[Finding]:
    """What a window of a few seconds has to say of each part of the machine."""
    from energy import hardware

    yield Finding("machine", "", hardware.describe().name)
    with meter.window("doctor") as window:
        time.sleep(LOOK_S)
    measurement = window.measurement
    for name, part in measurement.parts.items():
        verdict, _, how = part.provenance.partition(" ")
        words = how.removeprefix("(").removesuffix(")") or "nothing here can tell"
        if part.energy_j is not None:
            watts = three_digits(part.energy_j / measurement.duration_s)
            words = f"{words}; {watts} W in the last {LOOK_S:g} s"
        yield Finding(f"{name.upper()} energy", verdict, words)


def _idle() -> Finding:
    kept = idle_power()
    if kept is None:
        return Finding("idle power", "missing", "net energy needs it: `python -m pipeline idle`")
    watts = "unknown" if kept.power_w is None else f"{three_digits(kept.power_w)} W"
    return Finding("idle power", "ok", f"{watts}, taken on {kept.measured_on}")


def _carbon(meter: "EnergyMeter") -> Finding:
    carbon = meter.carbon
    if carbon.intensity_g_per_kwh is None:
        words = f"{carbon.source}; give --country or --carbon-intensity"
        return Finding("carbon intensity", "missing", words)
    words = f"{carbon.intensity_g_per_kwh:g} g/kWh, {carbon.place} ({carbon.source})"
    return Finding("carbon intensity", "estimated", words)


def _training() -> Finding:
    import keras
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    trains_on = f"{gpus} GPU(s)" if gpus else f"the CPU, {os.cpu_count()} threads"
    words = f"TensorFlow {tf.__version__}, Keras {keras.__version__}, Python {_python()}"
    return Finding("training", "ok", f"on {trains_on}; {words}")


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _tracking() -> Iterator[Finding]:
    from pipeline import tracking

    uri = tracking.tracking_uri()
    try:
        tracking.ready_client()
    except Exception as error:
        yield Finding("MLflow", "missing", f"{uri} does not answer: {one_line(error)}")
    else:
        yield Finding("MLflow", "ok", uri)
    waiting = len(list(JOURNALS.glob("*.jsonl")))
    if waiting:
        words = f"{waiting} run(s) at work, or not delivered yet: `python -m pipeline sync`"
        yield Finding("measurements", "ok", words)


def _folder() -> Iterator[Finding]:
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    words = f"{free / 2**30:.1f} GiB free in {here}"
    if not os.access(here, os.W_OK):
        yield Finding("folder", "missing", f"{here} cannot be written to; {CACHE} has to be there")
    elif free < LEAST_FREE_BYTES:
        yield Finding("folder", "missing", f"{words}: models and pictures will not fit")
    else:
        yield Finding("folder", "ok", words)


def _environments() -> Finding:
    ways = {"conda": "mlflow run .", "uv": "mlflow run . --env-manager uv"}
    there = [f"`{command}`" for name, command in ways.items() if shutil.which(name)]
    return Finding("mlflow run", "ok", " and ".join([*there, "`mlflow run . --env-manager local`"]))
