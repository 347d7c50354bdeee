"""The options of the command line. Those of a configuration follow `steps.configuration`."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError
from steps.parsing import count

DEFAULT_EXPERIMENT = "green"

Command = Callable[..., Any]


def configuration_options(command: Command) -> Command:
    """One option per hyperparameter, named and explained as there; values arrive as text."""
    for name, field in reversed(configurations.FIELDS.items()):
        option = click.option(
            configurations.option_name(name),
            name,
            default=(default := default_of(name)),
            show_default=bool(default),
            help=field.metadata["help"],
        )
        command = option(command)
    return command


def typed(hyperparameters: Mapping[str, str]) -> dict[str, str]:
    """Those that the user gave on the command line that is being run.

    ``mlflow run`` gives them all, and does not tell which of them the user gave: there, those that
    are their defaults count as not given.
    """
    from pipeline import tracking

    context = click.get_current_context()
    return {
        name: text
        for name, text in hyperparameters.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        and not (tracking.is_run_by_mlflow() and text == default_of(name))
    }


def default_of(hyperparameter: str) -> str:
    """As it would be typed."""
    return configurations.as_text(configurations.FIELDS[hyperparameter].default)


experiment_option = click.option(
    "--experiment", default=DEFAULT_EXPERIMENT, show_default=True, help="MLflow experiment."
)
inference_window_option = click.option(
    "--inference-window",
    default="2",
    show_default=True,
    help="Seconds of each window that measures inference, 0 for none; published figures want 10.",
)

run_id_option = click.option(
    "--run-id",
    default="",
    callback=lambda context, parameter, value: _require_run_id(value),
    help="The run to work on, as the step before printed it.",
)


def _require_run_id(run_id: str) -> str:
    if not run_id:
        raise InputError("--run-id", "", "is needed: the run that the step before wrote to")
    return run_id


def refuse_other_than(configuration: Configuration, typed: dict[str, str]) -> None:
    """A run has its configuration already: options on top of it may only repeat it.

    Raises:
        InputError: an option is neither its default nor what the run was opened with.
    """
    recorded = configuration.parameters()
    for name, text in typed.items():
        if text not in (default_of(name), recorded[name]):
            problem = f"the run was opened with {recorded[name]}; leave the option out"
            raise InputError(configurations.option_name(name), text, problem)


def whole_number(option: str, text: str) -> int:
    """A count from 1.

    Raises:
        InputError: it is none.
    """
    number = count(text)
    if not number:
        raise InputError(option, text, "must be a whole number from 1")
    return number


def seconds(inference_window: str) -> float:
    """Of ``--inference-window``.

    Raises:
        InputError: it is no number from 0.
    """
    try:
        number = float(inference_window)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InputError("--inference-window", inference_window, "must be a number from 0")
    return number
