"""Files of formats: what they hold, and what is wrong with bad ones, in which line."""

import textwrap
from collections import Counter

import optuna
import pytest

from pipeline.quantize_grid.space import Format
from pipeline.quantize_grid.space_file import load
from steps.errors import InputError
from steps.quantization_modes import FixedPoint


@pytest.fixture
def space(tmp_path):
    """The space of some lines of YAML, below a line of purpose."""

    def load_(text: str):
        path = tmp_path / "formats.yaml"
        path.write_text('purpose: "Of the test."\n' + textwrap.dedent(text).lstrip("\n"))
        return load(path)

    return load_


def refusal_of(load_, *arguments) -> str:
    """What it says, seen to be one line."""
    with pytest.raises(InputError) as raised:
        load_(*arguments)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.startswith("--space ")
    return message


BAD = {
    "no format": ("data: [8.4,\n  wide]\nweights: 8.4", 3, "data wide: must be WIDTH.FRACTION"),
    "a width alone": ("data: 8\nweights: 8.4", 2, "data 8: must be WIDTH.FRACTION in bits, such"),
    "a negative fraction": ("data: 8.-4\nweights: 8.4", 2, "data 8.-4: must be WIDTH.FRACTION"),
    "one bit": ("data: 8.4\nweights: [1.0]", 3, "weights 1.0: widths must be 2 to 24"),
    "too many bits": ("data: 99.4\nweights: 8.4", 2, "data 99.4: widths must be 2 to 24"),
    "a fraction too long": ("data: 8.30\nweights: 8.4", 2, "data 8.30: fractions must be 0 to 24"),
    "the same twice": ("data: [8.4,\n  8.4]\nweights: 8.4", 3, "data has 8.4 twice"),
    "an empty list": ("data: []\nweights: 8.4", 2, "data: the list is empty"),
    "no weights": ("data: 8.4", 2, "weights is missing"),
    "neither": ("", 1, "the space is empty: give data and weights"),
    "misspelt": ("data: 8.4\nwieghts: 8.4", 3, "wieghts is no part of a space of formats; did you"),
    "no fraction": ("data: {width: 8}\nweights: 8.4", 2, "data: fraction is missing"),
    "no whole bits": (
        "data:\n  width: [8,\n    4.5]\n  fraction: 2\nweights: 8.4",
        4,
        "data: width 4.5: must be a whole number of bits",
    ),
    "the same width twice": (
        "data: {width: [8, 8], fraction: 2}\nweights: 8.4",
        2,
        "data: width has 8 twice",
    ),
    "a crossing too wide": (
        "data:\n  width: [8, 32]\n  fraction: 2\nweights: 8.4",
        3,
        "data 32.2: widths must be 2 to 24",
    ),
    "a layer without weights": ("layers:\n  dense: {data: 8.4}", 3, "dense: weights is missing"),
    "a layer that is a list": ("layers:\n  dense: [8.4]", 3, "dense must be a mapping"),
    "a layer with a bad format": (
        "layers:\n  dense:\n    data: 8.4\n    weights: x",
        5,
        "dense: weights x: must be WIDTH.FRACTION",
    ),
    "a bad format of the bias": ("data: 8.4\nweights: 8.4\nbias: x", 4, "bias x: must be WIDTH.FR"),
    "a bias alone": ("bias: 8.4", 2, "data is missing"),
    "a type without data": ("types:\n  Dense: {weights: 8.4}", 3, "Dense: data is missing"),
    "a type that is a layer": (
        "types: {a: {data: 8.4, weights: 8.4}}\nlayers: {a: {data: 8.4, weights: 8.4}}",
        3,
        "a is there as a type and as a layer",
    ),
    "no YAML": ("data: [\nweights: 8.4", 3, "is not YAML"),
}


@pytest.mark.parametrize(("text", "line", "problem"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_its_line(space, text, line, problem):
    assert f": line {line}: {problem}" in refusal_of(space, text)


@pytest.mark.parametrize("text", ["data: 8.4\n", "purpose: ''\ndata: 8.4\n"])
def test_a_file_has_to_say_what_it_is_for(tmp_path, text):
    path = tmp_path / "formats.yaml"
    path.write_text(text)
    assert "line 1: purpose is" in refusal_of(load, path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "cannot be read (No such file" in refusal_of(load, tmp_path / "none.yaml")


def test_the_shipped_grid_has_four_formats_of_data_and_weights(project):
    space = load(project / "spaces" / "fixed_point.yaml")
    four = [(16, 8), (8, 6), (8, 4), (4, 2)]
    assert space.size == 16
    assert set(space.points()) == {(FixedPoint(*d, *w),) for d in four for w in four}


def test_the_grid_after_mase_crosses_the_widths_of_data_weights_and_biases_of_its_lab(project):
    space = load(project / "spaces" / "fixed_point_mase.yaml")
    halved = {
        (FixedPoint(d, d // 2, w, w // 2, b, b // 2),)
        for d in (4, 8)
        for w in (2, 4, 8)
        for b in (2, 4, 8)
    }
    assert space.size == len(halved) == 18
    assert set(space.points()) == halved


def test_points_are_as_many_as_the_space_says_and_all_different(space):
    loaded = space("""
        data: [8.4, 4.2]
        weights: {width: [4, 8], fraction: [1, 2, 3]}
        layers:
          dense: {data: 8.4, weights: [8.6, 4.2]}
        """)
    points = list(loaded.points())
    assert loaded.size == len(points) == len(set(points)) == 2 * 6 * 2


def test_a_sampler_can_learn_of_widths_and_fractions_apart(space):
    loaded = space("data: [8.4, 4.2]\nweights: {width: [4, 8], fraction: [1, 2]}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    (widths,) = loaded.suggest(trial)
    assert trial.params == {
        "data": str(Format(widths.data_width, widths.data_fraction)),
        "weights width": widths.weight_width,
        "weights fraction": widths.weight_fraction,
    }


def test_every_point_can_be_suggested(space):
    loaded = space("data: [8.4, 4.2]\nweights: {width: [4, 8], fraction: [1, 2]}")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    suggested = Counter(loaded.suggest(study.ask()) for _ in range(200))
    assert set(suggested) == set(loaded.points())


def test_a_point_is_told_by_layer_and_by_the_notation_of_quantization(space):
    loaded = space("data: 8.4\nweights: 4.2\nlayers: {out: {data: 16.8, weights: 8.6}}")
    (point,) = loaded.points()
    assert loaded.described(point) == "fixed:8.4/4.2, out fixed:16.8/8.6"
    assert loaded.parameters(point) == {
        "data_width": 8,
        "data_fraction": 4,
        "weight_width": 4,
        "weight_fraction": 2,
        "out.data_width": 16,
        "out.data_fraction": 8,
        "out.weight_width": 8,
        "out.weight_fraction": 6,
    }


def test_biases_with_formats_of_their_own_are_chosen_and_told_too(space):
    loaded = space("data: 8.4\nweights: [4.2, 8.4]\nbias: {width: [8, 16], fraction: 4}")
    points = [point for (point,) in loaded.points()]
    assert loaded.size == len(set(points)) == 4
    assert points[1] == FixedPoint(8, 4, 4, 2, 16, 4)
    assert loaded.described((points[1],)) == "fixed:8.4/4.2/16.4"
    assert loaded.described((points[2],)) == "fixed:8.4/8.4"
    for point in points:
        told = loaded.parameters((point,))
        assert (told["bias_width"], told["bias_fraction"]) == point.bias
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert {loaded.suggest(study.ask()) for _ in range(60)} == {(point,) for point in points}


KINDS = {"convolution": "Conv2D", "first": "Dense", "second": "Dense", "out": "Dense"}
ALIKE = "{data: 8.4, weights: 4.2}"


def test_a_layer_has_its_own_formats_else_those_of_its_type_else_the_common_ones(space):
    own = f"types: {{Dense: {ALIKE}}}\nlayers: {{out: {ALIKE}}}"
    loaded = space(f"data: 8.4\nweights: 4.2\n{own}")
    assert [group.name for group in loaded.groups] == ["", "Dense", "out"]
    of_groups = loaded.layers_of_groups(KINDS)
    assert of_groups == [["convolution"], ["first", "second"], ["out"]]
    (point,) = loaded.points()
    assert loaded.described(point) == "fixed:8.4/4.2, Dense fixed:8.4/4.2, out fixed:8.4/4.2"
    assert loaded.parameters(point)["Dense.weight_width"] == 4


def test_types_alone_are_enough_where_they_are_of_all_layers(space):
    loaded = space(f"types: {{Conv2D: {ALIKE}, Dense: {ALIKE}}}")
    assert loaded.layers_of_groups(KINDS) == [["convolution"], ["first", "second", "out"]]


OUT = f"layers: {{out: {ALIKE}}}"
OTHERS = "data: 8.4\nweights: 8.4\n"


@pytest.mark.parametrize(
    ("text", "layers", "line", "problem"),
    [
        (OUT, ["dense"], 2, "out is no layer of the model that can be in fixed point; choose one"),
        (OUT, ["outs"], 2, "did you mean outs?"),
        (OUT, ["out", "dense"], 2, "nothing is said of the layer dense; give data and weights for"),
        (OTHERS + OUT, ["out"], 2, "every layer of the model has formats of its own: leave these"),
        (f"types: {{dense: {ALIKE}}}", ["out"], 2, "dense is no kind of layer of the model that"),
        (f"types: {{dense: {ALIKE}}}", ["out"], 2, "did you mean Dense?"),
        (f"{OUT}\ntypes: {{Dense: {ALIKE}}}", ["out"], 3, "every Dense has formats of its own"),
    ],
)
def test_a_space_that_does_not_go_with_the_model_is_refused(space, text, layers, line, problem):
    message = refusal_of(space(text).layers_of_groups, dict.fromkeys(layers, "Dense"))
    assert f": line {line}: " in message
    assert problem in message
