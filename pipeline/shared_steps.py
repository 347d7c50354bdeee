"""The two steps whose results all runs share that would make the same ones.

Training is never among them: its energy is measured anew in every run.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import steps
from pipeline import terminal
from pipeline.cache import STEPS
from pipeline.step_cache import Recipe, StepCache, sha256_of
from steps.configuration import Configuration
from steps.errors import InputError

if TYPE_CHECKING:
    from steps.partition import Partition
    from steps.preprocess import Dataset

PREPROCESS_PARAMETERS = (
    "dataset",
    "label",
    "test_csv",
    "drop_columns",
    "categorical",
    "missing",
    "group",
    "image_size",
    "color_mode",
)
PARTITION_PARAMETERS = ("preprocessing", "partitioning", "time_ordered", "seed")
PREPROCESS_CODE = ("preprocess/*.py", "parsing.py")
PARTITION_CODE = ("partition.py", "scaling.py", "preprocess/dataset.py")
PREPROCESS_LIBRARIES = ("keras", "numpy", "pandas", "pillow", "pyarrow", "scikit-learn")
PARTITION_LIBRARIES = ("numpy", "scikit-learn")


def preprocessed(configuration: Configuration) -> "Dataset":
    """The dataset, read once for all runs that name the same content; its features on disk.

    Datasets with a name instead of a file (``openml:``, ``keras:``, those of scikit-learn) are
    known by that name and the versions of the libraries.

    Raises:
        InputError: as the step.
    """
    from steps.preprocess import Dataset, preprocess

    # The step sees what its key holds and defaults for the rest, so that nothing else can decide.
    decisive = Configuration(**_parameters(configuration, PREPROCESS_PARAMETERS))
    recipe = _preprocess_recipe(decisive)

    def read() -> Dataset:
        if decisive.dataset.startswith("keras:"):
            terminal.quiet_libraries()
        dataset = preprocess(decisive)
        if _preprocess_recipe(decisive) != recipe:
            raise InputError("--dataset", decisive.dataset, "changed while it was being read")
        click.echo(f"preprocess: read {dataset.source} ({len(dataset.labels):,} rows)", err=True)
        return dataset

    return _cache_in(STEPS.absolute()).get(recipe, Dataset, read)


def partitioned(configuration: Configuration, dataset: "Dataset") -> "Partition":
    """The parts, drawn once for all runs with the same rows, shares, preprocessing and seed.

    Raises:
        InputError: as the step.
    """
    from steps.partition import Partition, partition

    parameters = _parameters(configuration, PARTITION_PARAMETERS)
    about = ", ".join(f"{name} {value}" for name, value in parameters.items())
    ingredients = {
        **_code_and_libraries(PARTITION_CODE, PARTITION_LIBRARIES),
        "parameters": parameters,
        "dataset": dataset.digest,
    }
    recipe = Recipe("partition", f"{dataset.source}: {about}", ingredients)

    def draw() -> Partition:
        parts = partition(
            dataset,
            configuration.partitioning,
            configuration.preprocessing,
            configuration.seed,
            time_ordered=configuration.time_ordered == "yes",
        )
        rows = " + ".join(f"{len(part):,}" for part in (parts.train, parts.validation, parts.test))
        click.echo(f"partition: drew {rows} rows", err=True)
        return parts

    return _cache_in(STEPS.absolute()).get(recipe, Partition, draw)


def _preprocess_recipe(configuration: Configuration) -> Recipe:
    from steps.preprocess import input_files

    try:
        # By name too: the folder of an image is its class.
        files = _digest({str(file): file for file in input_files(configuration)})
    except OSError as error:
        problem = f"cannot be read ({(error.strerror or str(error)).lower()}: {error.filename})"
        raise InputError("--dataset", configuration.dataset, problem) from None
    ingredients = {
        **_code_and_libraries(PREPROCESS_CODE, PREPROCESS_LIBRARIES),
        "parameters": _parameters(configuration, PREPROCESS_PARAMETERS),
        "files": files,
    }
    return Recipe("preprocess", configuration.dataset, ingredients)


def _parameters(configuration: Configuration, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(configuration, name) for name in names}


@cache
def _code_and_libraries(
    patterns: tuple[str, ...], libraries: tuple[str, ...]
) -> dict[str, str | dict[str, str]]:
    """Once per process, which goes on with the code that it imported when the files change."""
    floor = Path(steps.__file__).parent
    sources = {
        str(file.relative_to(floor)): file for pattern in patterns for file in floor.glob(pattern)
    }
    return {
        "code": _digest(sources),
        "libraries": {library: version(library) for library in libraries},
    }


def _digest(files: Mapping[str, Path]) -> str:
    hashes = {name: sha256_of(file) for name, file in files.items()}
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


@cache
def _cache_in(folder: Path) -> StepCache:
    return StepCache(folder)
