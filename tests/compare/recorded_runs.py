"""Runs as the pipeline leaves them, and what is asked of a choice among them."""

from dataclasses import replace

from pipeline.choice import Choice, Objective, choose, comparable
from pipeline.tracking import RecordedRun
from steps.configuration import Configuration

ENERGY = "energy_to_accuracy_j"


def run_of(
    lr: float = 0.1,
    seed: int = 0,
    energy_j: float | None = 100.0,
    *,
    outcome: str = "REACHED",
    digest: str = "d1",
    emissions_kg: float | None = 1e-6,
    time_s: float | None = 10.0,
    val_accuracy: float = 0.96,
    hardware: str = "one machine",
    **changes: object,
) -> RecordedRun:
    """A run as the pipeline leaves it."""
    configuration = Configuration(lr=lr, seed=seed, **changes)
    metrics = {
        "epochs": 12.0,
        "val_accuracy": val_accuracy,
        "time_spent_s": time_s,
        "energy_spent_j": energy_j,
        "emissions_kg": emissions_kg,
    }
    if outcome == "REACHED":
        metrics |= {
            "time_to_accuracy_s": time_s,
            "emissions_to_accuracy_kg": emissions_kg,
            ENERGY: energy_j,
        }
    return RecordedRun(
        run_id=f"{configuration.config_id}-{seed}",
        name=configuration.run_name,
        status="FINISHED",
        started_at_ms=0,
        parameters=configuration.parameters(),
        metrics={name: value for name, value in metrics.items() if value is not None},
        tags={
            "config_id": configuration.config_id,
            "outcome": outcome,
            "dataset_digest": digest,
            "hardware": hardware,
        },
    )


def of_search(run: RecordedRun, role: str = "trial", search: str = "p") -> RecordedRun:
    """The same as a training of a search."""
    tags = {**run.tags, "mlflow.parentRunId": search, "search.role": role}
    return replace(run, tags=tags)


def repeats(lr: float, *energies_j: float | None) -> list[RecordedRun]:
    return [run_of(lr, seed, energy_j) for seed, energy_j in enumerate(energies_j)]


def choice_of(
    runs: list[RecordedRun],
    objective: str | Objective = "energy",
    min_success: float = 1.0,
    **picked: object,
) -> Choice:
    kept, excluded = comparable(runs, **picked)
    choice = choose(kept, objective, min_success=min_success)
    return replace(choice, excluded=(*excluded, *choice.excluded))


def order(choice: Choice) -> list[float]:
    """The learning rates by which these tests tell configurations apart, cheapest first."""
    return [float(ranked.parameters["lr"]) for ranked in choice.ranking]


def reasons(choice: Choice) -> dict[str, str]:
    return {each.run.run_id: each.why for each in choice.excluded}
