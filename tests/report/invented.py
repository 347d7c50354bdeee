"""Runs as the pipeline leaves them, with costs that were invented."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.choice import choose, comparable
from pipeline.effects import effects_of
from pipeline.report import (
    Grid,
    GridPoint,
    Receipt,
    ReportData,
    SamplerTrace,
    Table,
)
from pipeline.search.bill import bill_of
from pipeline.tracking import RecordedRun
from steps.configuration import Configuration

ESTIMATED = {
    "energy.gpu": "absent (NVML: NVML Shared Library Not Found)",
    "energy.cpu": "estimated (CodeCarbon: load x 8 W TDP)",
    "energy.ram": "estimated (CodeCarbon: 20 W by the size of the memory)",
}
MEASURED = {"energy.gpu": "measured (NVML counter)", "energy.cpu": "measured (CodeCarbon: RAPL)"}
MADE_AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
BATCH_SIZES = (4, 32, 64, 128)
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
WIDTHS = ("16.8", "8.6", "8.4", "4.2")


def run_of(
    lr: float = 0.01,
    batch_size: int = 64,
    optimizer: str = "adam",
    seed: int = 0,
    *,
    energy_j: float | None = 100.0,
    outcome: str = "REACHED",
    epochs: int = 12,
    name: str = "",
    dataset: str = "digits",
    told: Mapping[str, str] = ESTIMATED,
) -> RecordedRun:
    """One run."""
    configuration = Configuration(
        lr=lr, batch_size=batch_size, optimizer=optimizer, seed=seed, dataset=dataset
    )
    time_s = 0.04 * (energy_j or 100.0)
    metrics = {
        "epochs": float(epochs),
        "val_accuracy": 0.951 + 0.04 * math.sin(1000 * lr + batch_size) ** 2,
        "time_spent_s": time_s,
        "compile_time_s": 0.1,
        "emissions_kg": None if energy_j is None else energy_j * 1.3e-7,
        "energy_spent_j": energy_j,
        "compile_energy_j": None if energy_j is None else 0.01 * energy_j,
        "test_accuracy": 0.94 + 0.03 * math.cos(500 * lr + batch_size + seed) ** 2,
    }
    if outcome == "REACHED":
        metrics |= {
            "time_to_accuracy_s": time_s,
            "energy_to_accuracy_j": energy_j,
            "emissions_to_accuracy_kg": metrics["emissions_kg"],
        }
    return RecordedRun(
        run_id=f"{configuration.config_id}{seed:04d}",
        name=name or configuration.run_name,
        status="FINISHED",
        started_at_ms=0,
        parameters=configuration.parameters(),
        metrics={metric: value for metric, value in metrics.items() if value is not None},
        tags={
            "config_id": configuration.config_id,
            "outcome": outcome,
            "dataset_digest": "d1",
            "hardware": "one",
            **told,
        },
    )


def runs(count: int, told: Mapping[str, str] = ESTIMATED) -> list[RecordedRun]:
    """So many, three seeds of each configuration, a part of them misses."""
    dice = random.Random(0)
    made: list[RecordedRun] = []
    step = 0
    while len(made) < count:
        batch_size = BATCH_SIZES[step % 4]
        optimizer = OPTIMIZERS[step // 4 % 4]
        lr = float(f"{10 ** (-1 - 0.5 * (step // 16 % 6)) * (1 + step // 96 * 1e-3):.4g}")
        expected = 60 * (1 + abs(math.log10(lr) + 2)) * (1 + 8 / batch_size)
        expected *= 1 + 0.3 * OPTIMIZERS.index(optimizer)
        outcome = (
            "REACHED" if step % 5 or step == 0 else "CAPPED" if step % 2 else "BUDGET_EXHAUSTED"
        )
        for seed in range(min(3, count - len(made))):
            energy_j = expected * dice.lognormvariate(0, 0.15)
            epochs = max(3, round(dice.lognormvariate(2.3, 0.3) * (1 + batch_size / 64)))
            made.append(
                run_of(
                    lr,
                    batch_size,
                    optimizer,
                    seed,
                    energy_j=energy_j,
                    outcome=outcome,
                    epochs=epochs,
                    told=told,
                )
            )
        step += 1
    return made


def history(run: RecordedRun) -> dict[str, list[tuple[int, int, float]]]:
    """Curves of a run."""
    epochs = int(run.metrics["epochs"])
    each_j, each_s = (run.metrics[name] / epochs for name in ("energy_spent_j", "time_spent_s"))
    metrics = {
        "train_loss": lambda epoch: 2.0 * math.exp(-0.25 * epoch) + 0.02,
        "val_loss": lambda epoch: 2.1 * math.exp(-0.22 * epoch) + 0.06 + 0.01 * math.sin(epoch),
        "epoch_energy_j": lambda epoch: each_j * (1 + 0.1 * math.sin(2 * epoch)),
        "epoch_time_s": lambda _: each_s,
    }
    return {
        name: [(epoch, epoch * 1000, of(epoch)) for epoch in range(1, epochs + 1)]
        for name, of in metrics.items()
    }


def report_data(made: list[RecordedRun], *, full: bool = False, **changes: object) -> ReportData:
    """What a comparison would hand over; `full` with all that a report can have."""
    kept, excluded = comparable(made)
    choice = choose(kept, "energy")
    leaders = [ranked.runs[0] for ranked in choice.ranking[:6]]
    data = ReportData(
        experiment="green",
        sought="the least energy",
        metric="energy_to_accuracy_j",
        goal="a validation accuracy above 0.95 on digits, 3 epochs in a row",
        choice=replace(choice, excluded=(*excluded, *choice.excluded)),
        runs=kept,
        certainty=("It is truly the best of these with probability 71%.",),
        provenance={
            part: sorted({run.tags.get(f"energy.{part}", "absent") for run in kept})
            for part in ("gpu", "cpu", "ram")
        },
        made_at=MADE_AT,
        version="0.1.0",
        front=[ranked.config_id for ranked in choice.ranking[:1]],
        effects=effects_of(kept),
        histories={run.run_id: history(run) for run in leaders},
        steps_per_epoch={run.run_id: 23 for run in leaders},
        again=(
            "python -m pipeline run --config greenest.yaml",
            "mlflow models serve -m models:/green@greenest --env-manager local",
        ),
    )
    return replace(data, **{**(everything(kept) if full else {}), **changes})


def everything(kept: list[RecordedRun]) -> dict[str, object]:
    """The parts that only some experiments have."""
    dice = random.Random(1)
    spent = sum(run.metrics["energy_spent_j"] for run in kept)
    grid = [
        GridPoint(data, weights, 0.97 - 0.25 * (3 * row + 4 * column > 17) - 0.01 * row, 8.0)
        for row, data in enumerate(WIDTHS)
        for column, weights in enumerate(WIDTHS)
    ]
    scores = [point.accuracy for point in grid]
    walks = [
        SamplerTrace(sampler, seed, sorted(scores, key=lambda s: dice.random() - bias * s))
        for sampler, bias in (("brute_force", 0.0), ("tpe", 4.0))
        for seed in range(8)
    ]
    return {
        "receipt": Receipt(
            bill_of(kept, 1.1 * spent, spent * 1.4e-7, 4000.0),
            ("It has paid for itself after 41 trainings of the winner, not the default.",),
        ),
        "grid": Grid("adam-lr0.01-bs64-s0", grid, "val_accuracy:1,average_bitwidth:-0.2", walks),
        "cautions": ("in some runs the window is short against the meter's period",),
        "tables": (
            Table(
                "The same energy elsewhere",
                "CO2e of the leaders, had the same energy been used there",
                ("configuration", "FRA, 44 g/kWh", "DEU, 332 g/kWh"),
                [("adam-lr0.01-bs64", "1.1 mg", "8.3 mg"), ("adam-lr0.03-bs64", "1.3 mg", "9 mg")],
            ),
        ),
    }
