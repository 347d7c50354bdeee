"""What a comparison leaves behind: its own run, ``greenest.yaml``, a model that can be served.

The answer is on the screen by then. Whatever cannot be written is told in a line, and the rest
is written all the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline import greenest_file, terminal
from pipeline.greenest_file import FILE_NAME, Winner
from pipeline.markdown import escaped
from steps.errors import one_line

T = TypeVar("T")


@dataclass(frozen=True)
class LeftBehind:
    """Where things are now; None for what could not be written.

    Attributes:
        file: ``greenest.yaml``.
        model: what ``mlflow models serve -m`` takes.
        run_id: of the comparison.
        problems: one line for each thing that could not be written.
    """

    file: Path | None
    model: str | None
    run_id: str | None
    problems: tuple[str, ...]


def leave_behind(
    experiment: str,
    winner: Winner | None,
    answer: str,
    asked: Mapping[str, str],
    files: Mapping[str, bytes],
    file: Path | None = Path(FILE_NAME),
) -> LeftBehind:
    """Write all that outlives a comparison.

    Args:
        experiment: that was compared.
        winner: None if nothing reached the target: then no file is written, no model registered
            and no run marked.
        answer: in Markdown.
        asked: the options of the comparison, as typed.
        files: its table, report and figures: artifacts by path. ``greenest.yaml`` joins them.
        file: where to write ``greenest.yaml`` besides; None for nowhere.
    """
    from pipeline import tracking

    problems: list[str] = []

    def attempt(task: str, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except Exception as error:
            if not (isinstance(error, ValueError) or terminal.is_of_the_store(error)):
                raise
            problems.append(f"{task}: {one_line(error)}")
            return None

    content = saved = model = None
    if winner is not None:
        content = attempt(f"no {FILE_NAME}", lambda: greenest_file.written(winner))
        model = attempt(
            "no model registered",
            lambda: tracking.register(experiment, winner.run.run_id, _of_version(winner)).uri,
        )
    if content is not None:
        files = {**files, FILE_NAME: content}
        if file is not None:
            saved = attempt(f"{file} not written", lambda: _saved(content, file))
    winning_run = None if winner is None else winner.run.run_id
    tags = {"greenest.run": winning_run, "greenest.model": model}
    run_id = attempt(
        "comparison not recorded in MLflow",
        lambda: tracking.record_comparison(
            experiment,
            f"compare-{asked.get('objective', 'energy')}",
            answer,
            asked,
            files,
            winning_run,
            {name: told for name, told in tags.items() if told},
        ),
    )
    return LeftBehind(saved, model, run_id, tuple(problems))


def _saved(content: bytes, file: Path) -> Path:
    greenest_file.save(content, file)
    return file


def _of_version(winner: Winner) -> str:
    run = winner.run
    return escaped(
        f"Of experiment {winner.experiment}, the configuration with {winner.goal}: {winner.cost}. "
        f"{winner.verdict} Trained by run {run.run_id} ({run.name})."
    )
