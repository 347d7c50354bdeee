"""The points of a grid in fixed point: each as a model of its own would be, in one graph."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.quantize_grid.emulation import Emulation
from pipeline.quantize_grid.space import Crossed, Format, Group, Listed, WidthSpace
from steps.configuration import Configuration
from steps.errors import InputError
from steps.evaluate import score
from steps.partition import partition
from steps.preprocess import preprocess
from steps.quantization_modes import FixedPoint
from steps.quantize.fixed_point import fixed_point_model
from steps.train.model import build_classifier

CONFIGURATION = Configuration(dataset="iris", hidden="8")
DATA = (Format(8, 4),)


@pytest.fixture(scope="module")
def data():
    dataset = preprocess(CONFIGURATION)
    return dataset, partition(dataset, "60-20-20", "standardization", 0)


@pytest.fixture
def classifier(data):
    dataset, _ = data
    return build_classifier(CONFIGURATION, dataset)


@pytest.fixture
def model(classifier):
    return fixed_point_model(classifier, FixedPoint(2, 1, 2, 1))


def group(name="", data=DATA, weights=(4, 8)):
    return Group(name, Listed(f"{name} data", data), Crossed(name, weights, (2, 3)), line=7)


def space(*groups):
    return WidthSpace(Path("formats.yaml"), "Of the test.", groups)


def test_each_point_scores_as_a_model_of_its_own_and_the_graph_is_traced_once(
    classifier, model, data
):
    dataset, parts = data
    grid = space(group(data=(Format(8, 4), Format(3, 1))))
    emulation = Emulation(model, grid, dataset, parts)
    for point in grid.points():
        (widths,) = point
        metrics = emulation(point)
        alone = fixed_point_model(classifier, widths)
        for part, name in (("val", "validation"), ("test", "test")):
            rows = np.asarray(parts.scaled(name, dataset))
            scores = score(alone.probabilities(rows), dataset.labels[getattr(parts, name)])
            assert metrics[f"{part}_accuracy"] == scores.accuracy
            assert metrics[f"{part}_loss"] == scores.loss
        assert metrics["average_bitwidth"] == widths.weight_width
        assert metrics["memory_density"] == 32 / widths.weight_width
    assert grid.size == 8
    assert model.traces == 1


def test_layers_have_the_formats_of_their_groups(classifier, model, data):
    dataset, parts = data
    first, last = model.layers
    grid = space(group(), group(last, data=(Format(4, 2),), weights=(2, 3)))
    emulation = Emulation(model, grid, dataset, parts)
    for point in grid.points():
        metrics = emulation(point)
        alone = fixed_point_model(classifier, point[0])
        alone.set_layers({first: point[0], last: point[1]})
        rows = np.asarray(parts.scaled("validation", dataset))
        scores = score(alone.probabilities(rows), dataset.labels[parts.validation])
        assert metrics["val_loss"] == scores.loss
        assert metrics["average_bitwidth"] == alone.average_bitwidth


def test_more_bits_than_can_be_emulated_exactly_are_refused_before_anything_is(model, data):
    dataset, parts = data
    grid = space(group(data=(Format(24, 24),), weights=(24,)))
    monstrous = fixed_point_model(
        build_classifier(Configuration(dataset="iris", hidden="5000"), dataset),
        FixedPoint(2, 1, 2, 1),
    )
    with pytest.raises(InputError, match=r"^--space formats.yaml: line 7: .*take smaller widths$"):
        Emulation(monstrous, grid, dataset, parts)


def test_a_space_of_another_model_is_refused(model, data):
    dataset, parts = data
    with pytest.raises(InputError, match="line 7: conv is no layer of the model"):
        Emulation(model, space(group("conv")), dataset, parts)
