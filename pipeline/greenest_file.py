"""A configuration as a YAML file: ``greenest.yaml``, from which it can be trained again."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from sys import maxsize
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.search.yaml_tree import (
    Entry,
    SpaceError,
    check_known,
    entries_of,
    line_of,
    read_tree,
    shown,
    text_of,
)
from pipeline.units import PARTS
from steps.configuration import FIELDS, Configuration, option_name, parse
from steps.errors import InputError
from steps.outcome import Outcome
from steps.parsing import whole_number

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun

FILE_NAME = "greenest.yaml"
FINAL_EPOCHS = "final_epochs"
SEAL = "# Written by Greenest."
"""How files of ours begin: these may be written anew, others not."""

COMMIT = "mlflow.source.git.commit"
BY_THE_CLOCK = "jit_compile auto switches by the clock, so that the last bits of the weights differ"


@dataclass(frozen=True)
class ConfigurationFile:
    """What a configuration file says.

    Attributes:
        path: of the file.
        texts: hyperparameters as typed, by name; what the file leaves out is not there.
        final_epochs: how many a final training has; None if the file does not say.
    """

    path: Path
    texts: Mapping[str, str]
    final_epochs: int | None


def read(path: Path) -> ConfigurationFile:
    """Read and check a configuration file.

    Raises:
        InputError: it cannot be read, or something is wrong in one of its lines.
    """
    try:
        return _checked(path, read_tree(path, "--config"))
    except SpaceError as problem:
        raise InputError("--config", path, f"line {problem.line}: {problem}") from None


def _checked(path: Path, tree: yaml.Node) -> ConfigurationFile:
    entries = entries_of(tree, "a configuration")
    check_known(entries, (*FIELDS, FINAL_EPOCHS), "hyperparameter")
    final_epochs = None
    if FINAL_EPOCHS in entries:
        final_epochs = _value(FINAL_EPOCHS, entries.pop(FINAL_EPOCHS), whole_number(1))
    values = {
        name: _value(name, entry, FIELDS[name].metadata["parse"]) for name, entry in entries.items()
    }
    try:
        Configuration(**values)
    except InputError as contradiction:
        lines = {option_name(name): entry.line for name, entry in entries.items()}
        raise SpaceError(
            lines.get(contradiction.option, line_of(tree)), str(contradiction)
        ) from None
    texts = {name: text_of(entry.node, name) for name, entry in entries.items()}
    return ConfigurationFile(path, texts, final_epochs)


def _value(name: str, entry: Entry, parsed: Any) -> Any:
    text = text_of(entry.node, name)
    try:
        return parsed(text)
    except ValueError as problem:
        raise SpaceError(entry.line, f"{name} {shown(text)}: {problem}") from None


@dataclass(frozen=True)
class Winner:
    """The configuration that a comparison chose, by one of its runs.

    Attributes:
        experiment: that was compared.
        run: whose seed, epochs and model stand for the configuration.
        goal: what it is the best at, such as ``the least energy to a validation accuracy above
            0.95 on digits``.
        cost: with its interval, for people, such as ``12.3 J (11 J to 14 J)``.
        verdict: how sure that is, a sentence.
    """

    experiment: str
    run: "RecordedRun"
    goal: str
    cost: str
    verdict: str


def typical(
    runs: Iterable["RecordedRun"], figure: Callable[["RecordedRun"], float | None]
) -> "RecordedRun":
    """The run that stands for its configuration: of the median figure among those that got there.

    Neither the cheapest, which was lucky, nor the best on the test part, which decides nothing.
    Of the two in the middle it is the one of the lower figure.

    Args:
        runs: all of one configuration that reached its target at least once.
        figure: what the configuration was ranked by, such as `Objective.of`.
    """
    reached = [run for run in runs if run.tags.get("outcome") == Outcome.REACHED]
    told = [(value, run.run_id, run) for run in reached if (value := figure(run)) is not None]
    in_order = [run for _, _, run in sorted(told, key=lambda each: each[:2])]
    return in_order[(len(in_order) - 1) // 2]


def written(winner: Winner) -> bytes:
    """The file: where it comes from as a comment, every hyperparameter, the number of epochs.

    A run that somebody else logged may not say how many epochs it had: then the file does not.

    Raises:
        InputError: the run was made by another version, whose hyperparameters are not allowed now.
    """
    run = winner.run
    parameters = {name: run.parameters[name] for name in FIELDS if name in run.parameters}
    configuration = parse(parameters)
    values = {name: getattr(configuration, name) for name in FIELDS}
    comment = "\n".join(f"# {_comment(line)}".rstrip() for line in _origin(winner, configuration))
    return f"{SEAL}\n#\n{comment}\n\n{_yaml(values)}\n{_final_epochs(run)}".encode()


def save(content: bytes, path: Path) -> None:
    """Write a file; one that is there already only where it is of this kind.

    Raises:
        ValueError: it is somebody else's.
        OSError: it cannot be written.
    """
    if path.exists() and not path.read_bytes().startswith(SEAL.encode()):
        raise ValueError(f"{path} is there already and was not written by Greenest")
    path.write_bytes(content)


def _final_epochs(run: "RecordedRun") -> str:
    epochs = _epochs(run)
    if epochs is None:
        return (
            "# How many epochs it needed was not recorded, so that --final cannot train as long.\n"
        )
    entry = _yaml({FINAL_EPOCHS: epochs})
    return f"# So many epochs it needed; --final trains for as long.\n{entry}"


def _epochs(run: "RecordedRun") -> int | None:
    """As recorded; None if that is not a number of epochs."""
    epochs = run.metrics.get("epochs", math.nan)
    return int(epochs) if 1 <= epochs < maxsize and epochs.is_integer() else None


def _origin(winner: Winner, configuration: Configuration) -> Iterator[str]:
    run = winner.run
    yield f"Of experiment {winner.experiment}, the configuration with {winner.goal}."
    yield winner.verdict
    yield ""
    yield f"  python -m pipeline run --config {FILE_NAME}           trains it again"
    if _epochs(run) is not None:
        command = f"python -m pipeline run --config {FILE_NAME} --final"
        yield f"  {command}   on all but test rows, for use"
    yield f"  mlflow run . -P config={FILE_NAME}                    as the first, by MLflow"
    yield ""
    yield "The same data, seed, software and machine give the same weights; GPUs up to rounding."
    if configuration.jit_compile == "auto":
        yield f"Not here: {BY_THE_CLOCK}."
    yield ""
    trained = datetime.fromtimestamp(run.started_at_ms / 1000, UTC)
    facts = {
        "cost": winner.cost,
        **{f"{part.upper()} energy": run.tags.get(f"energy.{part}", "absent") for part in PARTS},
        "run": f"{run.run_id} ({run.name}), trained {trained:%Y-%m-%d}",
        "config_id": run.tags.get("config_id", "unknown"),
        "data": f"{configuration.dataset}, digest {run.tags.get('dataset_digest', 'unknown')}",
        "machine": run.tags.get("hardware", "unknown"),
        "software": run.tags.get("software", "not recorded"),
        "Greenest": f"commit {run.tags[COMMIT]}" if COMMIT in run.tags else "commit not recorded",
        "chosen": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    for name, told in facts.items():
        yield f"{name + ':':<12} {told}"


def _comment(line: str) -> str:
    """Names are the user's, and a line break in one would end the comment."""
    return "".join(each if each.isprintable() else " " for each in line)


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.dump(
        dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=maxsize
    )


class _Dumper(yaml.SafeDumper):
    """Leaves what is not given empty, as it is typed on the command line."""


_Dumper.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)
