"""``python -m pipeline doctor``: what this machine measures, what it estimates, what is missing.

It only looks: nothing is written, set or kept.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlparse

import click
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from pipeline import terminal
from pipeline.cache import IDLE_FILE, JOURNALS
from pipeline.metering import LIVE_TOKEN, idle_power
from pipeline.software import software
from pipeline.units import flags_in_words, three_digits
from steps.errors import InputError, one_line

if TYPE_CHECKING:
    from energy import Measurement

LOOK_S = 3.0
"""Long enough for a GPU's counter to move thirty times."""

LEAST_FREE_BYTES = 1 << 30
LONGEST_ERROR = 200

MEASURED, ESTIMATED, ABSENT = "measured", "estimated", "absent"
OK, MISSING, NOT_THERE, NOT_TRIED, CAUTION = "ok", "missing", "not there", "not tried", "caution"
STYLES = {
    **dict.fromkeys((MEASURED, OK), "green"),
    **dict.fromkeys((ESTIMATED, CAUTION), "yellow"),
    **dict.fromkeys((ABSENT, MISSING), "red"),
}

READ_RAPL = (
    "on a machine of your own, `sudo chmod -R a+r /sys/class/powercap/*` has it measured until "
    "the next restart"
)
"""As CodeCarbon advises. Linux keeps the counters from users, since they tell something of what
other users compute (CVE-2020-8694)."""

EXTRAS = {
    "zeus": ("GPUs by other makers than NVIDIA", "pip install '.[zeus]'"),
    "ray": ("searches on a cluster", "pip install '.[ray]'"),
    "torch": ("search --sampler gp", "pip install torch"),
}


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        what: it is.
        verdict: of energy `MEASURED`, `ESTIMATED` or `ABSENT`; of other things `OK`, `MISSING`,
            `NOT_THERE` where one can do without, `NOT_TRIED`, or `CAUTION`.
        words: how, why, or what to do about it.
    """

    what: str
    verdict: str
    words: str


@click.command(short_help="Say what this machine can measure and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def doctor(as_json: bool) -> None:
    """Say what this machine measures, what it estimates, and what is missing.

    It takes some seconds, and changes nothing.
    """
    with terminal.progress_console.status("looking at energy, TensorFlow and MLflow"):
        found = list(findings())
    if as_json:
        print(json.dumps({each.what: each._asdict() for each in found}, indent=2))
    else:
        _show(found)


def _show(found: Iterable[Finding]) -> None:
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for what, verdict, words in found:
        table.add_row(what, Text(verdict, STYLES.get(verdict, "")), Text(words))
    terminal.console.print(table)


def findings() -> Iterator[Finding]:
    """All of them, from the energy down to what is merely handy."""
    from energy import EnergyMeter

    with (
        EnergyMeter.for_this_machine(carbon_intensity_g_per_kwh=0.0) as meter,
        meter.window("doctor") as window,
    ):
        time.sleep(LOOK_S)
    yield from energy_findings(window.measurement)
    yield from training_findings(window.measurement)
    yield idle_finding()
    yield carbon_finding()
    yield from power_limit_findings()
    yield from tracking_findings()
    yield from folder_findings(Path.cwd())
    yield _environments()
    yield from map(_extra, EXTRAS)


def energy_findings(look: "Measurement") -> Iterator[Finding]:
    """What a window of a few seconds over the idle machine says of each of its parts."""
    from energy import hardware

    yield Finding("machine", OK, hardware.describe().name)
    for name, part in look.parts.items():
        verdict, _, how = part.provenance.partition(" ")
        words = [how.removeprefix("(").removesuffix(")") or "nothing here can tell"]
        if part.energy_j is not None:
            words.append(f"{three_digits(part.energy_j / look.duration_s)} W just now")
        words += _advice(name, verdict)
        yield Finding(f"{name.upper()} energy", verdict, "; ".join(words))
    if look.flags:
        yield Finding("meter", CAUTION, flags_in_words(", ".join(sorted(look.flags))))


def _advice(part: str, verdict: str) -> Iterator[str]:
    from energy.sources.codecarbon import RAPL_FOLDER

    if part == "gpu" and verdict == ABSENT:
        yield "a GPU that `nvidia-smi` does not show in order cannot be measured"
    if part == "cpu" and verdict == ESTIMATED:
        counters = list(RAPL_FOLDER.glob("intel-rapl:*/energy_uj"))
        if not all(os.access(counter, os.R_OK) for counter in counters):
            yield READ_RAPL
        elif not counters and sys.platform == "linux":
            yield "no RAPL counters here, as in most virtual machines"
        yield "if the watts are not this processor's, set CODECARBON_FORCE_CPU_POWER"


def ranking_finding(look: "Measurement", gpus: int) -> Finding:
    """What a ranking by energy is worth where trainings run on so many GPUs, else on the CPU."""
    part = "gpu" if gpus else "cpu"
    where = f"trainings run on the {part.upper()}, whose joules are"
    if look.provenance[part].startswith(MEASURED):
        return Finding("ranking", MEASURED, f"{where} measured")
    words = f"{where} not measured: the greenest will be nearly the fastest"
    return Finding("ranking", ESTIMATED, words)


def idle_finding() -> Finding:
    """The power of the idle machine, without which there is no net energy."""
    take = "`python -m pipeline idle` takes it, for net_energy_j"
    try:
        kept = idle_power()
    except InputError as error:
        return Finding("idle power", MISSING, f"{error}: {take}")
    if kept is None:
        why = "that of another machine; " if IDLE_FILE.exists() else ""
        return Finding("idle power", NOT_THERE, why + take)
    watts = "unknown" if kept.power_w is None else f"{three_digits(kept.power_w)} W"
    return Finding("idle power", OK, f"{watts}, taken on {kept.measured_on}")


def carbon_finding() -> Finding:
    """What grams of CO2e follow from, where nothing is given on the command line."""
    from energy.carbon import resolve

    try:
        carbon = resolve(electricity_maps_token=os.environ.get(LIVE_TOKEN))
    except ValueError as error:
        return Finding("carbon intensity", MISSING, one_line(error))
    words = f"{carbon.intensity_g_per_kwh:g} g/kWh: {carbon.source}"
    if carbon.place == "world":
        words += "; say where you are, such as --country FRA"
    return Finding("carbon intensity", ESTIMATED, words)


def training_findings(look: "Measurement") -> Iterator[Finding]:
    """What TensorFlow trains on, which need not be what is measured."""
    from energy import hardware

    there = hardware.describe().gpus
    try:
        terminal.quiet_libraries()
        import tensorflow as tf

        gpus = len(tf.config.list_physical_devices("GPU"))
    except Exception as error:
        yield Finding("training", MISSING, f"TensorFlow does not start: {one_line(error)}")
        return
    if gpus:
        yield Finding("training", OK, f"on {gpus} GPU(s); {software()}")
    elif there:
        words = (
            f"on the CPU: TensorFlow finds none of {', '.join(there)}; "
            "`pip install 'tensorflow[and-cuda]'` brings what it needs"
        )
        yield Finding("training", MISSING, words)
    else:
        yield Finding("training", OK, f"on the CPU, {os.cpu_count()} threads; {software()}")
    yield ranking_finding(look, gpus)


def power_limit_findings() -> Iterator[Finding]:
    """What --power-limit-w may be; nothing without a GPU."""
    from energy.sources.device import DeviceError
    from energy.sources.nvml import visible_devices

    try:
        devices, _ = visible_devices()
        ranges = [device.power_limit_range_w() for device in devices]
    except DeviceError:
        return
    least, most = max(low for low, _ in ranges), min(high for _, high in ranges)
    words = f"--power-limit-w {least:g} to {most:g}, which only root may set"
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    yield Finding("power limit", OK if is_root else NOT_THERE, words)


def tracking_findings() -> Iterator[Finding]:
    """Where runs are recorded, and what has not arrived there."""
    from pipeline import tracking

    uri = tracking.tracking_uri()
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.exists():
        yield Finding("MLflow", OK, f"{uri}, which the first run will make")
    else:
        try:
            experiments = tracking.ready_client().search_experiments(max_results=1)
        except Exception as error:
            told = shorten(one_line(error), LONGEST_ERROR)
            yield Finding("MLflow", MISSING, f"{uri} does not answer: {told}")
        else:
            yield Finding("MLflow", OK, uri)
            if uri.startswith("http") and experiments:
                yield artifacts_finding(experiments[0].artifact_location)
    waiting = len(list(JOURNALS.glob("*.jsonl")))
    if waiting:
        words = f"of {waiting} run(s) at work, or not delivered yet: `python -m pipeline sync`"
        yield Finding("measurements", OK, words)


def artifacts_finding(location: str) -> Finding:
    """How models and pictures get to where a tracking server wants them."""
    scheme = urlparse(location).scheme
    if scheme == "mlflow-artifacts":
        return Finding("artifacts", OK, "through the tracking server")
    if scheme in ("", "file"):
        words = f"{location}: has to be one folder for this machine and the server"
    else:
        words = f"straight from here to {location}, which wants its own password"
    return Finding("artifacts", NOT_TRIED, words)


def folder_findings(here: Path) -> Iterator[Finding]:
    """Whether measurements, models and pictures find room where the user is."""
    try:
        with tempfile.TemporaryFile(dir=here):
            free = shutil.disk_usage(here).free
    except OSError as error:
        words = f"{here} cannot be written: {error.strerror}; go to one that can"
        yield Finding("folder", MISSING, words)
        return
    words = f"{free / 2**30:.1f} GiB free in {here}"
    if free < LEAST_FREE_BYTES:
        yield Finding("folder", MISSING, f"{words}: models and pictures may not fit")
    else:
        yield Finding("folder", OK, words)


def _environments() -> Finding:
    ways = {"conda": "mlflow run .", "uv": "mlflow run . --env-manager uv"}
    there = [f"`{command}`" for name, command in ways.items() if shutil.which(name)]
    return Finding("mlflow run", OK, " or ".join([*there, "`mlflow run . --env-manager local`"]))


def _extra(package: str) -> Finding:
    purpose, how = EXTRAS[package]
    try:
        return Finding(package, OK, f"{version(package)}, for {purpose}")
    except PackageNotFoundError:
        return Finding(package, NOT_THERE, f"for {purpose}: `{how}`")
