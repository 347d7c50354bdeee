"""How soon brute force, TPE and chance meet the best point of a fixed-point grid.

    python benchmarks/samplers.py [--quick] [--json FILE] [--figure FILE]

The grids are the 16 points of ``spaces/fixed_point.yaml`` and the 18 of
``spaces/fixed_point_mase.yaml``; the models an MLP and a CNN, trained on digits to 0.95. All points
of a grid are evaluated once. Then each sampler walks over what is known, with 30 seeds, by the code
of ``quantize-grid`` and its default objective, until it has met the best value.

*Evaluations* are different points; *questions* count those too that a sampler asked again, which
the grid answers from what is known. Brute force is Optuna's, in an order drawn from the seed: it
takes half of a grid in the mean, (points + 1) / 2 where a single point is the best. TPE has the
defaults of Optuna, its first ten questions drawn by chance.

The 16 points are also timed, on 540 rows, in the one graph that is traced before; the range is from
the 10th to the 90th percentile of the turns.

Other intervals are those of the mean, 95 % by the percentile bootstrap over seeds (Efron 1979,
"Bootstrap Methods: Another Look at the Jackknife"). Differences from brute force have the bootstrap
over both.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from _rows import Row, row  # noqa: E402
from scipy.stats import bootstrap  # noqa: E402

from pipeline.quantize_grid.comparison import CONFIDENCE, DRAWS, Mean, Race, races  # noqa: E402
from pipeline.quantize_grid.emulation import Emulation, Known  # noqa: E402
from pipeline.quantize_grid.figures import race_figure  # noqa: E402
from pipeline.quantize_grid.objective import DEFAULT, Objective  # noqa: E402
from pipeline.quantize_grid.sampling import BRUTE_FORCE, SAMPLERS, walk  # noqa: E402
from pipeline.quantize_grid.space import WidthSpace  # noqa: E402
from pipeline.quantize_grid.space_file import load  # noqa: E402
from steps.configuration import Configuration  # noqa: E402
from steps.partition import Partition, partition  # noqa: E402
from steps.preprocess import Dataset, preprocess  # noqa: E402
from steps.quantization_modes import FixedPoint  # noqa: E402

if TYPE_CHECKING:
    from steps.quantize.fixed_point import FixedPointModel

GRIDS = ("fixed_point", "fixed_point_mase")
MODELS = {
    "mlp": Configuration(model="mlp", hidden="32", batch_size=32, target_accuracy=0.95),
    "cnn": Configuration(model="cnn", hidden="32", batch_size=32, target_accuracy=0.95),
}
SEEDS, QUICK_SEEDS = 30, 5
TIMED_ROWS, TURNS, LONGEST_S = 540, 9, 2.0


def trained(configuration: Configuration) -> tuple[object, Dataset, Partition]:
    """A classifier of scaled rows, and its rows."""
    from energy import EnergyMeter
    from steps.train import train
    from steps.train.model import CLASSIFIER

    dataset = preprocess(configuration)
    parts = partition(
        dataset, configuration.partitioning, configuration.preprocessing, configuration.seed
    )
    training = train(dataset, parts, configuration, EnergyMeter(sources=[]))
    print(f"{configuration.model}: {training.outcome} after {training.epochs} epochs", flush=True)
    return training.model.get_layer(CLASSIFIER), dataset, parts


def raced(space: WidthSpace, known: Known, seeds: int) -> tuple[str, tuple[Race, ...]]:
    """What the grid is like, and the samplers on it; the best is told by all of its points."""
    objective = Objective.parse(DEFAULT)
    results = [known(point) for point in space.points()]
    best = objective.best(results)
    as_good = sum(objective.values(result.metrics) in best for result in results)
    walks = [
        walk(space, sampler, seed, objective, known, space.size)
        for sampler in SAMPLERS
        for seed in range(seeds)
    ]
    title = f"{len(results)} points, {as_good} of them the best"
    return title, races(walks, best, objective)


def grid_seconds(model: "FixedPointModel", dataset: Dataset, parts: Partition) -> list[float]:
    """How long all points of the first grid take on some rows, each time."""
    rows = parts.scaled("train", dataset)[:TIMED_ROWS]
    points = list(load(ROOT / "spaces" / f"{GRIDS[0]}.yaml").points())
    took_s = []
    for _ in range(TURNS):
        began_s = time.perf_counter()
        for (widths,) in points:
            model.set(widths)
            model.probabilities(rows)
        took_s.append(time.perf_counter() - began_s)
    if model.traces != 1:
        raise RuntimeError(f"the graph was traced {model.traces} times")
    return took_s


def rows_of(title: str, of_grid: Sequence[Race]) -> list[Row]:
    """Means of one grid; one that some seeds of a sampler never met has none."""
    rows: list[Row] = []
    (brute_force,) = (race for race in of_grid if race.sampler == BRUTE_FORCE)
    for race in of_grid:
        name = f"{title}: {race.sampler}"
        share = race.met / len(race.evaluations)
        rows.append(Row(f"{name}, met the best", share, "", goal=">= 1", holds=share >= 1))
        if race.mean_evaluations is None or race.mean_questions is None:
            continue
        rows.append(bounded(f"{name}, evaluations", race.mean_evaluations))
        rows.append(bounded(f"{name}, questions", race.mean_questions))
        if race is not brute_force and brute_force.mean_evaluations is not None:
            more = difference(race.evaluations, brute_force.evaluations)
            rows.append(bounded(f"{name}, evaluations more than {BRUTE_FORCE}", more))
    return rows


def bounded(name: str, mean: Mean) -> Row:
    return Row(name, mean.value, "", mean.low, mean.high)


def difference(ours: Sequence[int | None], theirs: Sequence[int | None]) -> Mean:
    """Of the means of two samplers whose seeds all met the best."""

    def of_means(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
        return np.mean(one, axis=axis) - np.mean(other, axis=axis)

    samples = [np.array(each, float) for each in (ours, theirs)]
    found = bootstrap(
        samples,
        of_means,
        n_resamples=DRAWS,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=0,
    ).confidence_interval
    return Mean(float(of_means(*samples, axis=0)), float(found.low), float(found.high))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, too")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them here, as a PNG")
    options = parser.parse_args()
    from steps.quantize.fixed_point import fixed_point_model

    panels: dict[str, tuple[Race, ...]] = {}
    timed: list[Row] = []
    for name, configuration in list(MODELS.items())[: 1 if options.quick else None]:
        classifier, dataset, parts = trained(configuration)
        model = fixed_point_model(classifier, FixedPoint(2, 1, 2, 1))
        took_s = grid_seconds(model, dataset, parts)
        timed.append(row(f"{name}, 16 points on {TIMED_ROWS} rows", took_s, "s", at_most=LONGEST_S))
        for grid in GRIDS:
            space = load(ROOT / "spaces" / f"{grid}.yaml")
            known = Known(Emulation(model, space, dataset, parts))
            title, of_grid = raced(space, known, QUICK_SEEDS if options.quick else SEEDS)
            panels[f"{name}, {title}"] = of_grid
    raced_rows = [each for title, of_grid in panels.items() for each in rows_of(title, of_grid)]
    rows = [*timed, *raced_rows]
    print("\nmeans over seeds, 95 % interval")
    for each in rows:
        spread = "" if each.low is None else f"({each.low:.3g} .. {each.high:.3g})"
        held = "" if each.goal is None else f"{each.goal}: {'holds' if each.holds else 'MISSED'}"
        print(f"{each.name:78} {each.value:6.3g} {each.unit:1} {spread:16}{held}")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in rows], indent=2) + "\n")
    if options.figure is not None:
        race_figure(panels).savefig(options.figure, dpi=120)


if __name__ == "__main__":
    main()
