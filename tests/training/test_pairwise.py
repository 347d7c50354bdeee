"""Every hyperparameter with every other one: trained, or refused by a rule of the table."""

from itertools import combinations, product

import numpy as np
import pytest

from energy import EnergyMeter
from steps.configuration import AUGMENTATIONS, OPTIMIZERS, PRECISIONS, SCHEDULES, Configuration
from steps.errors import InputError
from steps.outcome import Outcome
from steps.partition import partition
from steps.preprocess import Dataset, preprocess
from steps.refusals import REFUSALS
from steps.train import require_fit, train

CHOICES = {
    "optimizer": OPTIMIZERS,
    "lr_schedule": SCHEDULES,
    "precision": PRECISIONS,
    "augmentation": AUGMENTATIONS,
    "jit_compile": ("off", "on", "auto"),
    "batch_size": (1, 16, "full"),
    "momentum": (0.0, 0.9),
    "weight_decay": (None, 0.01),
    "warmup_epochs": (0, 1),
    "early_stopping": ("", "0.001,2"),
    "lr": (0.01, "auto"),
    "preprocessing": ("none", "standardization"),
}


def covering_array() -> list[dict[str, object]]:
    """Rows in which each pair of values of each two hyperparameters stands together somewhere.

    Greedy, row by row (Cohen, Dalal, Fredman & Patton 1997, "The AETG system").
    """
    names = list(CHOICES)
    missing = {
        (first, a, second, b)
        for first, second in combinations(names, 2)
        for a, b in product(CHOICES[first], CHOICES[second])
    }
    rows = []
    while missing:
        first, a, second, b = min(missing, key=repr)
        row = {first: a, second: b}
        for name in names:
            if name not in row:
                row[name] = max(
                    CHOICES[name],
                    key=lambda value, name=name: sum(
                        (one, row[one], name, value) in missing
                        or (name, value, one, row[one]) in missing
                        for one in row
                    ),
                )
        missing -= {(one, row[one], other, row[other]) for one, other in combinations(names, 2)}
        rows.append(row)
    return rows


ROWS = covering_array()


def test_array_covers_every_pair():
    for first, second in combinations(CHOICES, 2):
        assert {(row[first], row[second]) for row in ROWS} == set(
            product(CHOICES[first], CHOICES[second])
        )


@pytest.fixture(scope="module")
def wine():
    table = preprocess(Configuration(dataset="wine"))
    return table, partition(table, "60-20-20", "standardization", 0)


@pytest.fixture(scope="module")
def pictures():
    digits = preprocess(Configuration(dataset="digits"))
    pixels = digits.features[:180].reshape(-1, *digits.image_shape).astype(np.uint8)
    images = Dataset(
        source="pictures",
        features=pixels,
        labels=digits.labels[:180],
        class_names=digits.class_names,
        image_shape=digits.image_shape,
    )
    return images, partition(images, "60-20-20", "standardization", 0)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row.values())))
def test_combination_is_trained_or_refused_with_its_reason(wine, pictures, row):
    try:
        dataset = "npz:pictures.npz" if row["augmentation"] == "random" else "wine"
        configuration = Configuration(dataset=dataset, hidden="8", max_epochs=3, patience=9, **row)
    except InputError as refused:
        assert any(rule.reason in str(refused) for rule in REFUSALS)
        return
    # Flips and rotations need images, and are refused for a table.
    data = pictures if configuration.augmentation == "random" else wine
    try:
        training = train(*data, configuration, EnergyMeter([]))
    except InputError as refused:
        assert configuration.lr == "auto" and "--lr auto" in str(refused)
        return
    assert training.outcome in (Outcome.BUDGET_EXHAUSTED, Outcome.DIVERGED)
    if training.outcome is Outcome.BUDGET_EXHAUSTED:
        assert training.epochs == 3 or training.stopped_early
        weights = training.model.get_weights()
        assert all(np.isfinite(np.asarray(weight, np.float64)).all() for weight in weights)


def test_random_augmentation_of_a_table_is_refused_with_its_reason(wine):
    configuration = Configuration(dataset="npz:rows.npz", augmentation="random")
    with pytest.raises(InputError, match="--augmentation random: needs images; wine is a table"):
        require_fit(configuration, wine[0])
