"""Runs on their way into a store, and what a choice says of those that come out of it."""

import uuid
from dataclasses import replace

import mlflow
from recorded_runs import ENERGY

from pipeline.choice import choose, comparable
from pipeline.tracking import RecordedRun

LEARNING_RATES = (0.1, 0.2, 0.3, 0.4)


def id_of(name: str) -> str:
    return mlflow.get_experiment_by_name(name).experiment_id


def placed(runs: list[RecordedRun]) -> list[RecordedRun]:
    """With ids of their own, each begun a second after the one before."""
    return [
        replace(run, run_id=uuid.uuid4().hex, started_at_ms=1000 * place)
        for place, run in enumerate(runs)
    ]


def best_cost(runs: list[RecordedRun]) -> float | None:
    ranking = choose(comparable(runs)[0], "energy").ranking
    return ranking[0].intervals[ENERGY].mean if ranking else None


def winner(runs: list[RecordedRun]) -> tuple[object, ...] | None:
    """What `compare --top 1` says of runs."""
    ranking = choose(comparable(runs)[0], "energy").ranking
    if not ranking:
        return None
    best = ranking[0]
    run_ids = [run.run_id for run in best.runs]
    return best.config_id, best.intervals[ENERGY].mean, best.repeats, best.parameters, run_ids
