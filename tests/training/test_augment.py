"""Augmentation changes training batches as the papers say, by its seed alone, XLA or not."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from work import images, layers, same_state, table

from steps.configuration import AUGMENTATIONS
from steps.errors import InputError
from steps.train.augment import augmentation, mixes_labels
from steps.train.fit import fit_in_graph
from steps.train.rows import epoch_order

CLASSES = 3
KINDS = AUGMENTATIONS[1:]
SHAPES = {"table": (10,), "sequence": (6, 2), "images": (8, 9, 2), "volumes": (4, 5, 6, 1)}
seeds = st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 2)
few = settings(max_examples=25, deadline=None)


def batch(shape: tuple[int, ...], rows: int = 7, dtype: str = "float32") -> Any:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(rows, *shape)).astype(dtype)
    return x, np.eye(CLASSES, dtype=dtype)[generator.integers(0, CLASSES, rows)]


def changed(kind: str, data: Any, seed: Any = (1, 2), jit_compile: bool = False) -> Any:
    augment = augmentation(kind, CLASSES)
    assert augment is not None
    graph = tf.function(augment, jit_compile=jit_compile, autograph=False)
    return [part.numpy() for part in graph(*map(tf.constant, data), tf.constant(seed, tf.int32))]


def cases() -> list[tuple[str, str]]:
    return [(k, s) for k in KINDS for s in SHAPES if k != "random" or s == "images"]


@pytest.mark.parametrize(("kind", "shape"), cases())
def test_seed_alone_decides(kind: str, shape: str) -> None:
    data = batch(SHAPES[shape])
    first, again, other = (changed(kind, data, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert same_state(first, again)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(("kind", "shape"), cases())
def test_xla_gives_the_same(kind: str, shape: str) -> None:
    data = batch(SHAPES[shape])
    for seed in ((1, 2), (3, 4)):
        pairs = zip(changed(kind, data, seed), changed(kind, data, seed, True), strict=True)
        for plain, compiled in pairs:
            np.testing.assert_allclose(plain, compiled, atol=2e-5)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("kind", "shape"), cases())
def test_shapes_and_dtypes_stay(kind: str, shape: str, dtype: str) -> None:
    augment = augmentation(kind, CLASSES)
    assert augment is not None
    x, y = batch(SHAPES[shape], dtype=dtype)
    graph = tf.function(augment, autograph=False).get_concrete_function(
        tf.TensorSpec((None, *x.shape[1:]), dtype),
        tf.TensorSpec((None, CLASSES), dtype),
        tf.TensorSpec((2,), tf.int32),
    )
    for given_part, tensor in zip((x, y), graph.structured_outputs, strict=True):
        assert tensor.dtype == dtype
        assert tensor.shape.as_list() == [None, *given_part.shape[1:]]


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mixed_labels_sum_to_one_and_are_shares(kind: str, shape: str, dtype: str) -> None:
    for seed in range(5):
        _, y = changed(kind, batch(SHAPES[shape], dtype=dtype), (seed, 0))
        np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
        assert (y >= 0).all()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@given(seed=seeds)
@few
def test_mixing_keeps_the_mean_of_the_batch(kind: str, seed: Any) -> None:
    data = batch(SHAPES["images"])
    for before, after in zip(data, changed(kind, data, seed), strict=True):
        np.testing.assert_allclose(before.mean(0), after.mean(0), atol=1e-5)


def test_mixup_keeps_the_mean_of_each_row_and_draws_shares_uniformly() -> None:
    rows = 4
    data = tf.eye(rows), tf.gather(tf.eye(CLASSES), [0, 1, 2, 0])
    augment = augmentation("mixup", CLASSES)
    assert augment is not None
    seeds = tf.stack([tf.range(4000), tf.zeros(4000, tf.int32)], 1)
    rows_of = tf.function(lambda seed: augment(*data, seed)[0], autograph=False)
    x = tf.function(lambda: tf.map_fn(rows_of, seeds, fn_output_signature=tf.float32))().numpy()
    # A row keeps its share, and has its partner's too where that is itself: 1/2 + 1/2 * 1/4.
    expected = np.full((rows, rows), 0.5 / rows) + np.eye(rows) / 2
    np.testing.assert_allclose(x.mean(0), expected, atol=0.02)
    own = x[:, 0, 0][x[:, 0, 0] < 1]
    np.testing.assert_allclose(np.quantile(own, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.04)


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=seeds)
@few
def test_cutmix_mixes_labels_by_the_area_of_its_box(shape: str, seed: Any) -> None:
    rows = CLASSES
    numbers = np.arange(rows, dtype=np.float32).reshape(-1, *[1] * len(SHAPES[shape]))
    x = np.broadcast_to(numbers, (rows, *SHAPES[shape]))
    mixed, y = changed("cutmix", (x, np.eye(rows, dtype=np.float32)), seed)
    for row in range(rows):
        # A row's values are its number, its label too: their frequencies are the mixed label.
        shares = [(mixed[row] == number).mean() for number in range(rows)]
        np.testing.assert_allclose(y[row], shares, atol=1e-6)


@given(seed=seeds)
@few
def test_cutmix_takes_one_box_through_all_channels(seed: Any) -> None:
    x = np.arange(2, dtype=np.float32).reshape(2, 1, 1, 1) * np.ones((2, 8, 9, 2), np.float32)
    mixed, _ = changed("cutmix", (x, np.eye(CLASSES, dtype=np.float32)[:2]), seed)
    foreign = mixed[0] != x[0]
    assert (foreign[..., 0] == foreign[..., 1]).all()
    inside = np.outer(foreign[..., 0].any(1), foreign[..., 0].any(0))
    assert (foreign[..., 0] == inside).all()
    for across in (0, 1):
        assert np.abs(np.diff(inside.any(across).astype(int))).sum() <= 2  # one stretch


def test_a_batch_of_one_row_stays_as_it_is() -> None:
    for kind in ("mixup", "cutmix"):
        data = batch(SHAPES["table"], rows=1)
        for before, after in zip(data, changed(kind, data), strict=True):
            np.testing.assert_allclose(before, after, rtol=1e-6)


def test_random_keeps_labels_and_a_constant_image() -> None:
    x = np.full((5, 6, 7, 2), 3.0, np.float32)
    y = np.arange(5)
    after_x, after_y = changed("random", (x, y))
    np.testing.assert_allclose(after_x, x, rtol=1e-5)
    assert (after_y == y).all()


def test_random_invents_no_pixel_values_beyond_its_contrast() -> None:
    (x, y), _ = images()
    after, _ = changed("random", (x, y))
    mean = np.abs(x).max()
    assert np.abs(after).max() <= mean * 1.2 + 1e-5


def test_random_flips_half_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for magnitude in ("ROTATION", "ZOOM", "TRANSLATION", "CONTRAST"):
        monkeypatch.setattr(f"steps.train.augment.{magnitude}", 0.0)
    x = np.random.default_rng(0).normal(size=(400, 4, 5, 1)).astype(np.float32)
    after, _ = changed("random", (x, np.zeros(400)))
    kept, flipped = (np.abs(after - image).max((1, 2, 3)) < 1e-5 for image in (x, x[:, :, ::-1]))
    assert (kept ^ flipped).all()
    assert 150 < flipped.sum() < 250


def test_random_moves_by_up_to_a_tenth_and_mirrors_at_the_edge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for magnitude in ("ROTATION", "ZOOM", "CONTRAST"):
        monkeypatch.setattr(f"steps.train.augment.{magnitude}", 0.0)
    ramp = np.broadcast_to(np.arange(20, dtype=np.float32)[:, None, None], (300, 20, 6, 1))
    after, _ = changed("random", (ramp, np.zeros(300)))
    moved = after[:, 10, 0, 0] - 10
    assert -2 <= moved.min() < -1.8
    assert 1.8 < moved.max() <= 2
    down = moved > 1.5
    assert (after[down, -1, 0, 0] < 19).all()  # 19 is followed by 19, 18, ...


def test_random_refuses_tables_by_name() -> None:
    with pytest.raises(InputError, match=r"^--augmentation random: needs images .* shape \(10\)"):
        changed("random", batch(SHAPES["table"]))


def test_labels_to_be_mixed_must_be_one_hot() -> None:
    x, y = batch(SHAPES["table"])
    for bad in (y.argmax(1), y[:, :2], y.astype(int)):
        with pytest.raises(ValueError, match=r"^mixup needs one-hot labels \(batch, 3\)"):
            changed("mixup", (x, bad))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="choose one of none, random, mixup, cutmix"):
        augmentation("blur", CLASSES)


def test_none_is_none_and_only_mixing_kinds_mix_labels() -> None:
    assert augmentation("none", CLASSES) is None
    assert [name for name in AUGMENTATIONS if mixes_labels(name)] == ["mixup", "cutmix"]


def cnn(kind: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    soft = mixes_labels(kind)
    loss = "categorical_crossentropy" if soft else "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_augmented_and_validation_is_not(kind: str) -> None:
    data = images()
    if mixes_labels(kind):
        data = tuple((x, np.eye(CLASSES, dtype=np.float32)[y]) for x, y in data)
    batch_losses = {}
    for jit_compile in ("off", "on"):
        model = cnn(kind)
        report = fit_in_graph(
            model,
            data[0],
            validation_data=data[1],
            batch_size=16,
            epochs=2,
            augment=augmentation(kind, CLASSES),
            jit_compile=jit_compile,
        )
        assert report.graph_key is not None  # later fits can share the graph
        evaluated = model.evaluate(*data[1], batch_size=34, verbose=0, return_dict=True)
        assert report.history["val_loss"][-1] == pytest.approx(evaluated["loss"], rel=1e-5)
        assert report.history["val_accuracy"][-1] == pytest.approx(evaluated["accuracy"])
        assert report.batch_losses is not None
        batch_losses[jit_compile] = report.batch_losses
    np.testing.assert_allclose(*batch_losses.values(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_first_batch_of_a_fit_has_the_loss_of_the_augmented_batch(kind: str) -> None:
    (x, y), _ = table(64)
    x, y = x.reshape(-1, 8, 8, 1), np.eye(CLASSES, dtype=np.float32)[y]
    model = cnn(kind)
    order = epoch_order(len(x), 5, 0)[:16]
    seed = tf.random.experimental.stateless_fold_in(tf.constant((5, 0)), 0)
    mixed = changed(kind, (x[order], y[order]), seed.numpy())
    expected = model.evaluate(*mixed, batch_size=16, verbose=0)[0]
    augment = augmentation(kind, CLASSES)
    report = fit_in_graph(
        model, (x, y), batch_size=16, augment=augment, jit_compile="off", shuffle_seed=5
    )
    assert report.batch_losses is not None
    assert report.batch_losses[0, 0] == pytest.approx(expected, rel=1e-5)
