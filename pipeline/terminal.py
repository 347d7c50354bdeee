"""What a person sees while a command runs: a progress bar, a summary, one-line errors."""

import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from pipeline.cache import JOURNALS, POWER_LIMIT_FILE
from pipeline.journal import Journal
from pipeline.units import energy_parts, flags_in_words, grams, joules, worth
from steps.configuration import Configuration
from steps.errors import InputError, printable
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun
    from steps.train import Epoch

SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_TIDY_UP = 5.0
WIDTH_WITHOUT_TTY = 120

console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TTY)
progress_console = Console(stderr=True, highlight=False)


def main(command: click.Command, name: str | None = None) -> NoReturn:
    """Run a command line and exit: 0 done, 1 failed, 2 bad input, 130 interrupted.

    Bad input is answered by one line on the error stream, never by a traceback.
    """
    interruption.listen()
    try:
        _tidy_up_after_the_killed()
        with _project_run_aside():
            command.main(prog_name=name, standalone_mode=False)
        if kept := _what_is_kept():
            _stop(f"MLflow did not take everything{kept}", 1)
        sys.exit(0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _stop(error.format_message(), error.exit_code)
    except InputError as error:
        _stop(str(error), 2)
    except (KeyboardInterrupt, click.Abort) as error:
        _stop("; ".join(filter(None, ("interrupted", str(error)))), 130)
    except Exception as error:
        if not is_of_the_store(error):
            raise
        _stop(f"MLflow: {error}{_what_is_kept()}", 1)


def is_of_the_store(error: Exception) -> bool:
    """By the name of its module, so that commands which never touch MLflow do not import it."""
    module = type(error).__module__.partition(".")[0]
    return module in ("mlflow", "sqlalchemy", "requests") or isinstance(error, OSError)


def _tidy_up_after_the_killed() -> None:
    """Deliver what killed processes had measured here, and put back their power limit."""
    if POWER_LIMIT_FILE.exists():
        from energy.power_limit import restore_left_over

        try:
            restore_left_over(POWER_LIMIT_FILE)
        except (ValueError, OSError) as error:
            progress_console.print(str(error), markup=False, soft_wrap=True)
    if not any(JOURNALS.glob("*.jsonl")) or sys.argv[1:2] == ["sync"]:
        return
    from pipeline import tracking

    for delivery in tracking.close_abandoned_runs():
        line = f"run {delivery.run_id} {delivery.told}"
        progress_console.print(line, markup=False, soft_wrap=True)


def _what_is_kept() -> str:
    """Said of runs that this process could not deliver; empty if there are none."""
    runs = ", ".join(journal.run_id for journal in Journal.left_by_this_process())
    if not runs:
        return ""
    return f"; {JOURNALS} keeps run {runs} until the next command, or `sync`, delivers it"


def _project_run_aside() -> contextlib.AbstractContextManager[None]:
    if "MLFLOW_RUN_ID" not in os.environ:
        return contextlib.nullcontext()
    from pipeline import tracking

    return tracking.project_run_aside()


def _stop(message: str, code: int) -> NoReturn:
    print(f"Error: {printable(message)}", file=sys.stderr)
    sys.exit(code)


class Interruption:
    """Ctrl-C and SIGTERM, as one KeyboardInterrupt that cannot get lost."""

    def __init__(self) -> None:
        self._came_at: float | None = None

    def listen(self) -> None:
        """Have both signals raise KeyboardInterrupt from now on."""
        self._came_at = None
        signal.signal(signal.SIGTERM, self._come)
        signal.signal(signal.SIGINT, self._come)

    def raise_if_lost(self) -> None:
        """Raise again what was swallowed: Python ignores what is raised in a destructor, say."""
        if self._came_at is not None:
            raise KeyboardInterrupt

    def _come(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        # `mlflow run` answers Ctrl-C with a second signal, which must not break the tidying up.
        if self._came_at is None or now - self._came_at > SECONDS_TO_TIDY_UP:
            self._came_at = now
            raise KeyboardInterrupt


interruption = Interruption()


def quiet_libraries() -> None:
    """Keep start-up chatter of TensorFlow and its friends off the screen. Call before importing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"tensorflow|keras")
    with muted_native_output():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        # Looking for GPUs is what TensorFlow's native code complains about where there are none.
        tf.config.list_physical_devices()


@contextlib.contextmanager
def muted_native_output() -> Iterator[None]:
    """Send what is written to the error stream nowhere, native code's lines too."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


class TrainingProgress:
    """A bar with epoch, validation accuracy, target and joules so far; without a TTY, lines."""

    def __init__(self, configuration: Configuration, final_epochs: int | None = None) -> None:
        """Args: whose target and budget of epochs to show; the epochs of a final training."""
        self._target = configuration.target_accuracy
        self._budget = final_epochs or configuration.max_epochs
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn("train"),
            BarColumn(bar_width=24),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}  {task.description}"),
            TimeElapsedColumn(),
            console=progress_console,
            transient=True,
        )

    @contextlib.contextmanager
    def shown(self) -> Iterator["TrainingProgress"]:
        """Show the bar while the block runs."""
        if not progress_console.is_terminal:
            yield self
            return
        with self._progress:
            self._task = self._progress.add_task("starting", total=self._budget)
            yield self

    def update(self, epochs: Sequence["Epoch"]) -> None:
        """Tell of the latest of `epochs`."""
        last = epochs[-1]
        energy_j = last.reading.energy_j
        if last.val_accuracy is None:
            text = f"train_accuracy {last.train_accuracy:.4f}"
        else:
            text = f"val_accuracy {last.val_accuracy:.4f} (target {self._target:g})"
        text += "" if energy_j is None else f"  {energy_j:.1f} J"
        if progress_console.is_terminal:
            self._progress.update(self._task, completed=last.number, description=text)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            progress_console.print(f"epoch {last.number}/{self._budget}  {text}")


def print_step(step: str, run_id: str) -> None:
    """Say that a step is done, and on which run the next one can go on."""
    console.print(f"{step}: done  (run {run_id})")


def print_run(run: "RecordedRun") -> None:
    """What a run cost and gave, in a few lines."""
    print_rows(run.name, _summary(run))


def print_rows(title: str, rows: Mapping[str, str]) -> None:
    """A small table of names and values."""
    table = Table(title=Text(title), title_justify="left", show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print(table)


def _summary(run: "RecordedRun") -> dict[str, str]:
    metrics, target = run.metrics, run.parameters["target_accuracy"]
    outcome = run.tags.get("outcome", "not trained")
    aim = "no target, no validation rows" if outcome == Outcome.FINAL else f"target {target}"
    rows = {"outcome": f"{outcome} ({aim})"}
    if "dataset.parts" in run.tags:
        rows["rows"] = run.tags["dataset.parts"]
    if "time_spent_s" in metrics:
        rows["epochs"] = f"{metrics['epochs']:.0f}"
        rows["time"] = f"{metrics['time_spent_s']:.2f} s"
    if "energy_spent_j" in metrics:
        rows["energy"] = f"{joules(metrics['energy_spent_j'])} {worth(run)}"
        rows.update({f"  {part}": told for part, told in energy_parts(run).items()})
    for name, metric in (("net energy", "net_energy_j"), ("at the wall", "calibrated_energy_j")):
        if metric in metrics:
            rows[f"  {name}"] = joules(metrics[metric])
    if "energy.flags" in run.tags:
        rows["  caution"] = flags_in_words(run.tags["energy.flags"])
    if run.tags.get("training.caution"):
        rows["caution"] = run.tags["training.caution"]
    if "found_lr" in metrics:
        rows["learning rate"] = f"{metrics['found_lr']:.3g}, found by the range test"
    if "emissions_kg" in metrics:
        rows["emissions"] = f"{grams(metrics['emissions_kg'])} CO2e ({run.tags['carbon.source']})"
    if "test_accuracy" in metrics:
        rows["test accuracy"] = f"{metrics['test_accuracy']:.4f}"
    if "quantized.mode" in run.tags:
        rows[f"  {run.tags['quantized.mode']}"] = (
            f"{metrics['quantized_test_accuracy']:.4f}, {_weights(run)}"
        )
    rows["run"] = run.run_id
    return rows


def _weights(run: "RecordedRun") -> str:
    """Of the quantized model beside those of float32; an emulated one has no file."""
    if run.tags["quantized.mode"] in run.tags.get("quantized.simulated", "").split(", "):
        return "emulated"
    quantized, float32 = (
        f"{run.metrics[name]:.0f}" for name in ("quantized_model_size_bytes", "model_size_bytes")
    )
    return f"weights of {quantized} bytes (float32: {float32})"
