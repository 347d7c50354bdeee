from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from steps.configuration import PREPROCESSINGS, Configuration
from steps.errors import InputError
from steps.partition import Partition, partition
from steps.preprocess import Column, Dataset, preprocess
from steps.scaling import ScaledRows, Scaler, learn_scaler

SCIKIT_LEARNS = {
    "standardization": StandardScaler,
    "robust_scaling": RobustScaler,
    "minmax": MinMaxScaler,
}
PARTITIONINGS = ("80-10-10", "60-20-20", "70-15-15", "90-5-5", "34-33-33")


def table_of(counts: list[int], seed: int = 0, features: int = 3) -> Dataset:
    """A table with that many rows of each class, in random order, columns of different sizes."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    sizes = 10.0 ** random.integers(-3, 4, features)
    offsets = sizes * random.integers(-9, 10, features)
    return Dataset(
        source="drawn",
        features=random.normal(offsets, sizes, (len(labels), features)),
        labels=labels,
        columns=tuple(Column(f"x{i}") for i in range(features)),
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
    table = preprocess(Configuration(dataset="iris"))
    drawn = {tuple(partition(table, "80-10-10", "none", seed).test) for seed in range(20)}
    assert len(drawn) == 20


@pytest.mark.parametrize("dataset", ["digits", "wine", "breast_cancer", "iris"])
@pytest.mark.parametrize("partitioning", ["80-10-10", "60-20-20", "70-15-15", "90-5-5"])
def test_each_bundled_dataset_can_be_partitioned_each_usual_way(dataset, partitioning):
    table = preprocess(Configuration(dataset=dataset))
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
    table = preprocess(Configuration(dataset=dataset))
    parts = partition(table, "80-10-10", preprocessing, 0)
    theirs = SCIKIT_LEARNS[preprocessing]().fit(table.features[parts.train])
    ours = parts.scaler.transform(table.features)
    np.testing.assert_allclose(ours, theirs.transform(table.features), rtol=1e-5, atol=1e-5)


def test_none_leaves_the_rows_as_they_are():
    table = preprocess(Configuration(dataset="wine"))
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


def grouped(groups: np.ndarray, seed: int = 0) -> Dataset:
    labels = np.random.default_rng(seed).integers(0, 2, len(groups))
    features = np.random.default_rng(seed).normal(size=(len(groups), 2))
    return Dataset(
        source="drawn",
        features=features,
        labels=labels,
        class_names=("0", "1"),
        columns=(Column("a"), Column("b")),
        groups=groups,
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(10, 40), st.integers(2, 12), partitionings, seeds)
def test_no_group_is_in_two_parts_and_no_row_is_lost(count, largest, partitioning, seed):
    sizes = np.random.default_rng(seed).integers(1, largest, count)
    dataset = grouped(np.repeat(np.arange(count), sizes), seed % 1000)
    try:
        parts = parts_of(partition(dataset, partitioning, "none", seed))
    except InputError as error:
        assert error.option in ("--group", "--partitioning")
        return
    of_parts = [set(dataset.groups[part]) for part in parts]
    assert sum(map(len, of_parts)) == count
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(dataset.labels)))


def test_a_group_that_the_published_test_part_shares_with_the_rest_is_refused():
    dataset = replace(grouped(np.repeat(np.arange(30), 4)), test_rows=10)
    with pytest.raises(
        InputError,
        match=r"^--group: groups in the published test part and in the other rows as well: 1",
    ):
        partition(dataset, "80-10-10", "none", 0)


def test_too_few_groups_are_refused():
    with pytest.raises(InputError, match=r"^--group: has 3 groups"):
        partition(grouped(np.repeat([0, 1, 2], 30)), "80-10-10", "none", 0)


def test_rows_in_order_of_time_train_first_and_test_last():
    dataset = table_of([50, 50])
    parts = partition(dataset, "60-20-20", "none", 7, time_ordered=True)
    together = np.concatenate(parts_of(parts))
    np.testing.assert_array_equal(together, np.arange(100))
    assert [len(part) for part in parts_of(parts)] == [60, 20, 20]


def test_a_class_that_comes_too_late_to_be_learned_is_refused():
    dataset = replace(table_of([50, 50]), labels=np.repeat([0, 1], [90, 10]))
    with pytest.raises(InputError, match="--time-ordered yes: leaves no training rows of class 1"):
        partition(dataset, "80-10-10", "none", 0, time_ordered=True)


@settings(deadline=None, max_examples=30)
@given(many_classes, partitionings, seeds)
def test_a_published_test_part_stays_the_test_part(counts, partitioning, seed):
    dataset = replace(table_of(counts), test_rows=13)
    train, validation, test = parts_of(partition(dataset, partitioning, "none", seed))
    rows = len(dataset.labels)
    np.testing.assert_array_equal(test, np.arange(rows - 13, rows))
    assert len(train) + len(validation) == rows - 13
    own_shares = [int(share) for share in partitioning.split("-")[:2]]
    expected = (rows - 13) * own_shares[1] / sum(own_shares)
    assert abs(len(validation) - expected) <= 0.5


def test_rows_that_are_in_two_parts_are_counted():
    dataset = table_of([40, 40])
    parts = partition(dataset, "60-20-20", "none", 0)
    assert parts.duplicates == {"validation": 0, "test": 0}
    features = dataset.features.copy()
    features[parts.test[:3]] = features[parts.train[0]]
    features[parts.validation[:2]] = features[parts.train[1]]
    repeated = partition(replace(dataset, features=features), "60-20-20", "none", 0)
    assert repeated.duplicates == {"validation": 2, "test": 3}
    assert repeated.described() == (
        "48 train, 16 validation, 16 test; 2 validation and 3 test rows are equal to training rows"
    )


def test_missing_cells_are_filled_with_the_median_of_training_rows_only():
    dataset = table_of([40, 40])
    features = dataset.features.copy()
    features[::5, 1] = np.nan
    dataset = replace(dataset, features=features)
    parts = partition(dataset, "60-20-20", "standardization", 0)
    assert parts.scaler.fill[1] == np.nanmedian(features[parts.train, 1])
    features[parts.test, 1] = 1e9
    others = partition(replace(dataset, features=features), "60-20-20", "standardization", 0)
    np.testing.assert_array_equal(others.scaler.fill, parts.scaler.fill)
    assert np.isfinite(parts.scaler.transform(dataset.features)).all()


def test_a_column_without_a_training_value_is_refused():
    dataset = table_of([40, 40])
    features = dataset.features.copy()
    features[:, 2] = np.nan
    with pytest.raises(InputError, match="--missing median: no training row has a value in x2"):
        partition(replace(dataset, features=features), "60-20-20", "none", 0)


def images(rows: int = 30, row_shape: tuple[int, ...] = (6, 5, 3)) -> Dataset:
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *row_shape), np.uint8)
    shape = (*row_shape, 1) if len(row_shape) == 2 else row_shape
    labels = np.arange(rows) % 2
    return Dataset(
        source="drawn", features=pixels, labels=labels, class_names=("a", "b"), image_shape=shape
    )


@pytest.mark.parametrize("row_shape", [(6, 5, 3), (6, 5)])
@pytest.mark.parametrize("preprocessing", sorted(SCIKIT_LEARNS))
def test_images_are_scaled_per_channel_as_scikit_learn_scales_their_pixels(
    preprocessing, row_shape
):
    dataset = images(row_shape=row_shape)
    parts = partition(dataset, "60-20-20", preprocessing, 0)
    channels = dataset.image_shape[-1]
    pixels = dataset.features[parts.train].reshape(-1, channels)
    theirs = SCIKIT_LEARNS[preprocessing]().fit(pixels).transform(pixels)
    ours = np.asarray(parts.scaled("train", dataset))
    assert ours.shape == (len(parts.train), *dataset.image_shape)
    np.testing.assert_allclose(ours.reshape(-1, channels), theirs, rtol=1e-5, atol=1e-5)


def test_rows_are_scaled_the_same_one_by_one_as_all_at_once(monkeypatch):
    dataset = images()
    monkeypatch.setattr("steps.scaling.ROWS_AT_ONCE", 7)
    rows = partition(dataset, "60-20-20", "standardization", 0).scaled("train", dataset)
    assert isinstance(rows, ScaledRows)
    assert rows.shape == np.asarray(rows).shape
    np.testing.assert_array_equal(np.asarray(rows)[[4, 1]], rows[np.array([4, 1])])
    assert np.asarray(rows.astype("float64")).dtype == np.float64


def test_a_partition_comes_back_from_disk_as_it_was(tmp_path):
    dataset = table_of([40, 40])
    features = dataset.features.copy()
    features[3, 0] = np.nan
    parts = partition(replace(dataset, features=features), "60-20-20", "minmax", 0)
    parts.save(tmp_path)
    again = Partition.load(tmp_path)
    for one, other in zip(parts_of(parts), parts_of(again), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(parts.scaler.center, again.scaler.center)
    np.testing.assert_array_equal(parts.scaler.scale, again.scaler.scale)
    assert again.duplicates == parts.duplicates
    assert (again.scaler.fill is None) == (parts.scaler.fill is None)


@settings(deadline=None)
@given(many_classes, partitionings, seeds)
def test_every_row_that_training_has_seen_is_counted(counts, partitioning, seed):
    drawn = table_of(counts)
    few = np.random.default_rng(seed).integers(0, 3, drawn.features.shape).astype(float)
    parts = partition(replace(drawn, features=few, digest=""), partitioning, "none", seed)
    seen = {tuple(row) for row in few[parts.train]}
    for name in ("validation", "test"):
        again = sum(tuple(row) in seen for row in few[getattr(parts, name)])
        assert parts.duplicates[name] == again


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(SCIKIT_LEARNS)), many_classes, seeds)
def test_no_statistic_comes_from_rows_that_do_not_train(preprocessing, counts, seed):
    table = table_of(counts, seed % 1000)
    parts = partition(table, "60-20-20", preprocessing, seed)
    features = table.features.copy()
    features[np.concatenate([parts.validation, parts.test])] = 1e6
    other = partition(replace(table, features=features, digest=""), "60-20-20", preprocessing, seed)
    np.testing.assert_array_equal(other.scaler.center, parts.scaler.center)
    np.testing.assert_array_equal(other.scaler.scale, parts.scaler.scale)


@pytest.mark.parametrize("partitioning", ["40-20-40", "20-20-60", "10-10-80", "80-10-10"])
def test_equal_groups_meet_the_shares_that_were_asked_for(partitioning):
    dataset = grouped(np.repeat(np.arange(400), 3))
    parts = parts_of(partition(dataset, partitioning, "none", 0))
    percent = [round(100 * len(part) / len(dataset.labels)) for part in parts]
    assert percent == [int(share) for share in partitioning.split("-")]


@pytest.mark.parametrize("indices", [[-1], [9], [[0]], [0.0], ["0"]])
def test_indices_that_are_no_rows_of_the_dataset_are_refused(indices):
    scaler = Scaler(np.zeros(1), np.ones(1), None)
    rows = np.arange(8)
    Partition(rows, rows[:0], rows, scaler, {}).require_rows(9)
    with pytest.raises(ValueError, match=r"^test "):
        Partition(rows, rows, np.array(indices), scaler, {}).require_rows(9)
