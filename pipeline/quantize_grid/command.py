"""``python -m pipeline quantize-grid``: the fixed-point formats that a trained model can bear."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from pipeline.quantize_grid import objective as objectives
from pipeline.quantize_grid.objective import Objective
from pipeline.quantize_grid.sampling import (
    BRUTE_FORCE,
    SAMPLERS,
    parse_samplers,
    require_walkable,
    walk,
)
from pipeline.quantize_grid.space_file import load
from steps.configuration import parse_one
from steps.errors import InputError, one_line
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.quantize_grid.objective import Result
    from pipeline.tracking import EarlierSteps
    from steps.quantize.fixed_point import FixedPointModel

DEFAULT_POINTS = 40
"""Of samplers that learn or draw; brute force takes them all."""


@click.command("quantize-grid")
@options.run_id_option
@click.option(
    "--space",
    default="spaces/fixed_point.yaml",
    show_default=True,
    help="YAML file of formats for data and weights.",
)
@click.option(
    "--sampler",
    default=BRUTE_FORCE,
    show_default=True,
    help=f"{', '.join(SAMPLERS)}, or several of them to compare.",
)
@click.option(
    "--objective",
    default=objectives.DEFAULT,
    show_default=True,
    help="METRIC:SCALE,... to add up, or pareto:METRIC,METRIC,...",
)
@click.option("--trials", default="", help="Points to try; default: 40, by brute force all.")
@click.option("--repeats", default="1", show_default=True, help="Seeds to compare samplers over.")
@click.option("--seed", default="0", show_default=True, help="Of the sampler's choices, the first.")
def quantize_grid(
    run_id: str, space: str, sampler: str, objective: str, trials: str, repeats: str, seed: str
) -> None:
    """Try fixed-point formats on the trained model of a run."""
    formats = load(Path(space))
    samplers = parse_samplers(sampler)
    wanted = Objective.parse(objective)
    typed = options.whole_number("--trials", trials) if trials else None
    points = {
        name: typed or (formats.size if name == BRUTE_FORCE else DEFAULT_POINTS)
        for name in samplers
    }
    require_walkable(formats, points)
    seeds = options.whole_number("--repeats", repeats)
    first_seed = parse_one("seed", seed)

    from pipeline import tracking
    from pipeline.quantize_grid import report
    from pipeline.quantize_grid.emulation import Emulation, Known
    from pipeline.shared_steps import preprocessed
    from pipeline.tracking.grid_log import GridLog

    earlier = tracking.EarlierSteps(run_id)
    dataset = preprocessed(earlier.configuration())
    earlier.require_same_data(dataset)
    model, parts = _in_fixed_point(earlier), earlier.partition(len(dataset.labels))
    if not len(parts.validation):
        problem = "was trained on all rows but the test part: no validation rows are left to decide"
        raise InputError("--run-id", run_id, problem)
    emulation = Emulation(model, formats, dataset, parts)

    recorded = earlier.recorded()
    settings = {
        "space": f"{space}, {formats.size} points",
        "sampler": sampler,
        "objective": objective,
        "trials": trials or "default",
        "seeds": f"{seeds} from {first_seed}",
    }
    name = f"grid-{formats.path.stem}-{recorded.name}"
    with GridLog.start(run_id, name, settings, formats.path) as log:

        def keep(result: "Result") -> None:
            metrics = {**result.metrics, **wanted.as_metric(result.metrics)}
            named = formats.described(result.point)
            log.point(named, formats.parameters(result.point), metrics)

        known = Known(emulation, keep)
        walks = [
            walk(formats, name, first_seed + repeat, wanted, known, points[name])
            for name in samplers
            for repeat in range(seeds)
        ]
        findings = report.Findings(
            space=formats,
            objective=wanted,
            results=known.results,
            walks=walks,
            float_accuracy=recorded.metrics.get("val_accuracy"),
            uncovered=model.uncovered,
        )
        report.keep(findings, log)
    for each in report.for_terminal(findings):
        terminal.console.print(each, markup=False)
    terminal.console.print(f"Grid: run {log.run_id}")


def _in_fixed_point(earlier: "EarlierSteps") -> "FixedPointModel":
    """The model of a run, in any format: all are set before it is used.

    Raises:
        InputError: there is none, or none that can be emulated.
    """
    if earlier.recorded().tags.get("outcome") == Outcome.DIVERGED:
        raise InputError("--run-id", earlier.run_id, "its training diverged; there is no model")
    terminal.quiet_libraries()
    from steps.quantization_modes import FixedPoint
    from steps.quantize.fixed_point import fixed_point_model
    from steps.train.model import CLASSIFIER

    whole = earlier.model()
    try:
        model = fixed_point_model(whole.get_layer(CLASSIFIER), FixedPoint(2, 1, 2, 1))
    except ValueError as error:
        raise InputError("--run-id", earlier.run_id, one_line(error)) from None
    if not model.layers:
        problem = "its model has no dense or convolution layer that can be in fixed point"
        raise InputError("--run-id", earlier.run_id, problem)
    return model
