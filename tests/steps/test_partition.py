from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from steps.configuration import PREPROCESSINGS
from steps.errors import InputError
from steps.partition import Partition, Scaler, learn_scaler, partition
from steps.preprocess import Table, preprocess

SCIKIT_LEARNS = {
    "standardization": StandardScaler,
    "robust_scaling": RobustScaler,
    "minmax": MinMaxScaler,
}
PARTITIONINGS = ("80-10-10", "60-20-20", "70-15-15", "90-5-5", "34-33-33")


def table_of(counts: list[int], seed: int = 0, features: int = 3) -> Table:
    """A table with that many rows of each class, in random order, columns of different sizes."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    sizes = 10.0 ** random.integers(-3, 4, features)
    offsets = sizes * random.integers(-9, 10, features)
    return Table(
        source="drawn",
        features=random.normal(offsets, sizes, (len(labels), features)),
        labels=labels,
        feature_names=tuple(f"x{i}" for i in range(features)),
        class_names=tuple(map(str, range(len(counts)))),
    )


def parts_of(partition: Partition) -> tuple[np.ndarray, ...]:
    return partition.train, partition.validation, partition.test


many_classes = st.lists(st.integers(20, 120), min_size=2, max_size=5)
partitionings = st.sampled_from(PARTITIONINGS)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None)
@given(many_classes, partitionings, seeds)
def test_the_parts_are_disjoint_complete_and_as_large_as_asked_for(counts, partitioning, seed):
    table = table_of(counts)
    parts = parts_of(partition(table, partitioning, "none", seed))
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(table.labels)))
    for part, percent in zip(parts, partitioning.split("-"), strict=True):
        assert abs(len(part) - len(table.labels) * int(percent) / 100) <= 1
        assert (np.diff(part) > 0).all()
        assert part.dtype == np.int64


@settings(deadline=None)
@given(many_classes, partitionings, seeds)
def test_each_class_has_its_share_of_each_part_to_within_one_row(counts, partitioning, seed):
    table = table_of(counts)
    parts = partition(table, partitioning, "none", seed)
    rest = np.concatenate([parts.train, parts.validation])
    everything = np.arange(len(table.labels))
    for part, drawn_from in ((parts.test, everything), (parts.validation, rest)):
        there, available = (
            np.bincount(table.labels[rows], minlength=len(counts)) for rows in (part, drawn_from)
        )
        share = available * len(part) / len(drawn_from)
        assert (np.abs(there - share) < 1).all()


@settings(deadline=None)
@given(many_classes, partitionings, seeds, st.sampled_from(PREPROCESSINGS))
def test_the_same_seed_draws_the_same_partition(counts, partitioning, seed, preprocessing):
    table = table_of(counts)
    one, other = (partition(table, partitioning, preprocessing, seed) for _ in range(2))
    for first, second in zip(parts_of(one), parts_of(other), strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(one.scaler.center, other.scaler.center)
    np.testing.assert_array_equal(one.scaler.scale, other.scaler.scale)


def test_another_seed_draws_another_partition():
    table = preprocess("iris")
    drawn = {tuple(partition(table, "80-10-10", "none", seed).test) for seed in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize("dataset", ["digits", "wine", "breast_cancer", "iris"])
@pytest.mark.parametrize("partitioning", ["80-10-10", "60-20-20", "70-15-15", "90-5-5"])
def test_each_bundled_dataset_can_be_partitioned_each_usual_way(dataset, partitioning):
    table = preprocess(dataset)
    for part in parts_of(partition(table, partitioning, "standardization", 0)):
        assert set(table.labels[part]) == set(range(len(table.class_names)))


@settings(deadline=None)
@given(st.sampled_from(sorted(SCIKIT_LEARNS)), st.integers(0, 10**6), seeds)
def test_scaled_rows_are_scikit_learns_to_float_precision(preprocessing, drawn, seed):
    table = table_of([40, 30, 30], drawn, features=4)
    parts = partition(table, "60-20-20", preprocessing, seed)
    theirs = SCIKIT_LEARNS[preprocessing]().fit(table.features[parts.train])

    ours = parts.scaler.transform(table.features)

    assert ours.dtype == np.float32
    # A raw row is float32, too: the larger the offset against the scale, the less is left.
    sizes = np.abs(table.features) + np.abs(parts.scaler.center)
    precision = 4 * np.finfo(np.float32).eps * sizes / parts.scaler.scale
    assert (np.abs(ours - theirs.transform(table.features)) <= precision).all()


@pytest.mark.parametrize("preprocessing", sorted(SCIKIT_LEARNS))
@pytest.mark.parametrize("dataset", ["digits", "wine", "breast_cancer", "iris"])
def test_scaled_rows_of_real_data_are_scikit_learns(dataset, preprocessing):
    table = preprocess(dataset)
    parts = partition(table, "80-10-10", preprocessing, 0)
    theirs = SCIKIT_LEARNS[preprocessing]().fit(table.features[parts.train])
    ours = parts.scaler.transform(table.features)
    np.testing.assert_allclose(ours, theirs.transform(table.features), rtol=1e-5, atol=1e-5)


def test_none_leaves_the_rows_as_they_are():
    table = preprocess("wine")
    scaled = partition(table, "80-10-10", "none", 0).scaler.transform(table.features)
    np.testing.assert_array_equal(scaled, table.features.astype(np.float32))


@pytest.mark.parametrize("preprocessing", sorted(SCIKIT_LEARNS))
def test_the_scaler_learns_from_training_rows_only(preprocessing):
    table = table_of([40, 40, 40])
    before = partition(table, "60-20-20", preprocessing, 0)

    def scaler_after_a_change_of(rows: np.ndarray) -> Scaler:
        features = table.features.copy()
        features[rows] *= 1000
        return partition(replace(table, features=features), "60-20-20", preprocessing, 0).scaler

    others = scaler_after_a_change_of(np.concatenate([before.validation, before.test]))
    np.testing.assert_array_equal(others.center, before.scaler.center)
    np.testing.assert_array_equal(others.scale, before.scaler.scale)
    training = scaler_after_a_change_of(before.train)
    assert not np.array_equal(training.center, before.scaler.center)
    assert not np.array_equal(training.scale, before.scaler.scale)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("constant", [0.0, 1.0, -7.5, 0.1, 1e6])
def test_a_constant_column_stays_finite_and_becomes_zero_where_it_is_scaled(
    preprocessing, constant
):
    rows = np.column_stack([np.full(50, constant), np.arange(50.0)])
    scaled = learn_scaler(preprocessing, rows).transform(rows)
    np.testing.assert_array_equal(
        scaled[:, 0], np.float32(constant if preprocessing == "none" else 0)
    )
    assert np.isfinite(scaled).all()
    assert np.ptp(scaled[:, 1]) > 0


@pytest.mark.parametrize(
    ("counts", "partitioning"),
    [([3, 3], "80-10-10"), ([3, 3, 3], "90-5-5"), ([3] * 40, "98-1-1"), ([30, 30], "1-1-98")],
)
def test_parts_that_cannot_hold_each_class_are_refused_with_their_sizes(counts, partitioning):
    with pytest.raises(InputError) as caught:
        partition(table_of(counts), partitioning, "none", 0)
    message = str(caught.value)
    assert message.startswith(f"--partitioning {partitioning}: leaves ")
    assert f"each of the {len(counts)} classes" in message
    assert len(message.splitlines()) == 1


@settings(deadline=None)
@given(st.lists(st.integers(3, 12), min_size=2, max_size=6), partitionings, seeds)
def test_a_small_table_is_partitioned_whole_or_refused(counts, partitioning, seed):
    table = table_of(counts)
    try:
        parts = partition(table, partitioning, "standardization", seed)
    except InputError as error:
        assert error.option == "--partitioning"
        return
    together = np.sort(np.concatenate(parts_of(parts)))
    np.testing.assert_array_equal(together, np.arange(len(table.labels)))
    assert all(len(part) for part in parts_of(parts))
