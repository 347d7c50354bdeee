"""``python -m pipeline search``: find the greenest configuration of a space."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import options, terminal
from pipeline.machine import measure_idle_power
from pipeline.metering import (
    Metering,
    idle_power,
    machine_meter,
    metering_options,
    power_limited,
)
from pipeline.search import plan as plans
from pipeline.search.goal import goal as goal_of
from pipeline.search.measurable import require_measured, require_recorded
from pipeline.search.placement import Placement
from pipeline.search.plan import Limits, Plan
from pipeline.search.sampling import SAMPLERS
from pipeline.search.space import Space
from pipeline.search.view import SearchView
from steps import configuration as configurations
from steps.configuration import Configuration
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.tracking import RunLog
    from steps.train import GiveUp

EXHAUSTIVE = ("grid", "brute_force")
"""Samplers whose users want to see all of the space: nothing is given up, all is repeated."""


@click.command()
@click.option("--space", default="", help="YAML file of the space, such as spaces/greenest.yaml.")
@click.option("--sampler", default="tpe", show_default=True, help=f"{', '.join(SAMPLERS)}.")
@click.option(
    "--pruning",
    default="",
    help="When a training is given up: cap, halving, none; default: cap, for grids none.",
)
@click.option(
    "--slack",
    default="1.2",
    show_default=True,
    help="Factor over the best cost at which the cap gives up.",
)
@click.option(
    "--objective",
    default="energy",
    show_default=True,
    help="energy, emissions, time; a front: energy,val_accuracy; a sum: val_accuracy:9,energy:-1.",
)
@click.option("--trials", default="", help="Configurations to try; default: 40, or the grid.")
@click.option("--budget-kj", default="", help="Kilojoules that the search may spend in all.")
@click.option("--budget-g", default="", help="Grams of CO2e that the search may emit in all.")
@click.option("--timeout", default="", help="Seconds that the search may take.")
@click.option("--repeats", default="3", show_default=True, help="Trainings of each leader.")
@click.option(
    "--confirm-top", default="", help="Leaders to train again; default: 5, for grids all."
)
@click.option(
    "--prove",
    default="",
    help="Further seeds that the first must stand; default: 5, none for grids and fronts.",
)
@click.option(
    "--resume",
    default="no",
    show_default=True,
    is_flag=False,
    flag_value="yes",
    help="yes: go on with the same search, from its record.",
)
@click.option(
    "--workers", default="", help="Trainings at a time; default: 1, with ray all there is room for."
)
@click.option(
    "--engine", default="local", show_default=True, help="local: processes here; ray: a cluster."
)
@click.option("--address", default="", help="Of the Ray cluster, such as auto; default: Ray here.")
@click.option(
    "--shared-energy",
    default="no",
    show_default=True,
    help="yes: train together even where energies cannot be told apart.",
)
@options.configuration_options
@options.experiment_option
@metering_options
def search(
    space: str,
    sampler: str,
    pruning: str,
    slack: str,
    objective: str,
    trials: str,
    budget_kj: str,
    budget_g: str,
    timeout: str,
    repeats: str,
    confirm_top: str,
    prove: str,
    resume: str,
    workers: str,
    engine: str,
    address: str,
    shared_energy: str,
    experiment: str,
    country: str,
    carbon_intensity: str,
    pue: str,
    calibration: str,
    **hyperparameters: str,
) -> None:
    """Find the greenest configuration of a space.

    That is the one that reaches the target on the least energy. Options of a configuration fix
    what the space leaves open, such as --dataset.
    """
    if not space:
        raise InputError("--space", "", "is needed: a YAML file such as spaces/greenest.yaml")
    if resume not in ("no", "yes"):
        raise InputError("--resume", resume, "choose yes or no")
    loaded = Space.load(Path(space))
    exhaustive = sampler in EXHAUSTIVE
    limits = Limits.parse(trials, budget_kj, budget_g, timeout)
    if limits == Limits(None, None, None, None) and not exhaustive:
        limits = Limits.parse(DEFAULT_TRIALS, "", "", "")
    typed_top = confirm_top or (plans.ALL if exhaustive else DEFAULT_TOP)
    goal = goal_of(objective)
    seeds = plans.whole("--repeats", repeats, 1)
    plan = Plan(
        space=loaded,
        fixed=_fixed(loaded, hyperparameters),
        sampler=sampler,
        pruning=plans.pruning_name(pruning, goal, exhaustive=exhaustive),
        slack=plans.slack(slack),
        goal=goal,
        limits=limits,
        repeats=seeds,
        confirm_top=None if typed_top == plans.ALL else plans.whole("--confirm-top", typed_top, 0),
        prove=plans.prove(prove, goal, seeds, exhaustive=exhaustive),
        seed=configurations.parse_one("seed", hyperparameters["seed"]),
    )
    placement = Placement.parse(workers, engine, address, shared_energy)
    placement.require_fit(plan)
    metering = Metering.parse(country, carbon_intensity, pue, calibration)
    run_search(plan, experiment, metering, placement, resume=resume == "yes")


DEFAULT_TRIALS, DEFAULT_TOP = "40", "5"


def _fixed(space: Space, hyperparameters: dict[str, str]) -> dict[str, str]:
    """What the user typed beside the defaults; the seed is the search's own."""
    typed = {
        name: text
        for name, text in hyperparameters.items()
        if name != "seed" and text != configurations.as_text(configurations.FIELDS[name].default)
    }
    space.check_fixed(typed)
    return typed


def run_search(
    plan: Plan, experiment: str, metering: Metering, placement: Placement, *, resume: bool
) -> None:
    """Search, and say what came of it.

    Raises:
        InputError: something that was given cannot be used; told before a run is opened.
    """
    from pipeline import tracking
    from pipeline.run import all_steps
    from pipeline.search.loop import Search
    from pipeline.search.report import report
    from pipeline.shared_steps import partitioned, preprocessed
    from pipeline.tracking.search_log import IDLE_POWER, SearchLog

    plan.sampling()
    require_recorded(plan)
    experiment_id = tracking.open_experiment(experiment)
    parent = SearchLog.resume(experiment_id, plan.key) if resume else None
    if resume and parent is None:
        problem = "there is no such search in this experiment: leave the option out to begin it"
        raise InputError("--resume", "yes", problem)
    preprocessed(configurations.parse(dict(plan.fixed)))
    if placement.is_parallel:
        from pipeline.search.engines import leave_gpus_to_workers

        terminal.quiet_libraries()
        leave_gpus_to_workers()
    meter = machine_meter(metering)
    require_measured(plan, meter, workers_elsewhere=placement.ray)
    idle = idle_power() or measure_idle_power(meter)
    engine = placement.engine(tracking.tracking_uri()) if placement.is_parallel else None
    if parent is None:
        name = f"search-{plan.space.path.stem}-{plan.sampler}"
        parent = SearchLog.start(experiment_id, name, plan.key, plan.parameters, plan.space.path)

    def train(log: "RunLog", configuration: Configuration, give_up: "GiveUp | None") -> None:
        with power_limited(configuration.power_limit_w):
            dataset = preprocessed(configuration)
            parts = partitioned(configuration, dataset)
            all_steps(log, configuration, dataset, parts, meter, metering, idle, give_up=give_up)

    view = SearchView(plan)
    with (
        contextlib.closing(engine) if engine is not None else contextlib.nullcontext(),
        parent,
        meter.window("search") as window,
        view.shown(),
    ):
        if idle is not None:
            parent.figures({IDLE_POWER: idle.power_w})
        if engine is None:
            running = Search(plan, parent, window, train, meter.carbon, view.update)
        else:
            from pipeline.search.parallel import ParallelSearch

            running = ParallelSearch(
                plan, parent, window, engine, metering, meter.carbon, view.update
            )
        try:
            ended_by = running.run()
        except BaseException:
            # The record says where the search stands, if that can be; why it ended matters more.
            with contextlib.suppress(Exception):
                report(running, parent)
            click.echo(f"--resume goes on with search {parent.run_id}", err=True)
            raise
        answer = report(running, parent)
    click.echo(f"Ended by {ended_by}.\n{answer}")
