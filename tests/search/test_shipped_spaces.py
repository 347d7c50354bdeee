"""The spaces that come with the project: what they hold, and that they can be searched."""

import optuna
import pytest
import yaml

from steps.configuration import Configuration
from steps.errors import InputError

SHIPPED = ("batch_size", "green_screen", "greenest", "learning_rate", "optimizers")


def test_every_shipped_space_is_among_those_tested_here(project):
    # Those of fixed points are spaces of formats, for quantize-grid.
    found = {path.stem for path in (project / "spaces").glob("*")}
    assert sorted(name for name in found if not name.startswith("fixed_point")) == list(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_space_says_in_one_line_what_it_is_for(shipped, project, name):
    first_line = (project / "spaces" / f"{name}.yaml").read_text().splitlines()[0]
    assert yaml.safe_load(first_line) == {"purpose": shipped(name).purpose}
    assert 20 < len(shipped(name).purpose) < 100


def test_the_small_shipped_spaces_hold_what_they_are_named_after(shipped):
    rates, sizes, optimizers = (
        [space.configuration(point, {}) for point in space.points({})]
        for space in map(shipped, ("learning_rate", "batch_size", "optimizers"))
    )
    assert [each.lr for each in rates] == [1e-4, 1e-3, 1e-2, 1e-1]
    assert [each.batch_size for each in sizes] == [64, 128, 256, 512, 1024, 2048, 4096, 8192]
    assert len({each.optimizer for each in optimizers}) == len(optimizers) == 7


def test_green_screen_holds_its_ten_choices(shipped):
    space = shipped("green_screen")
    parameters = {parameter.name: parameter for parameter in space.parameters}
    values = {name: parameter.values for name, parameter in parameters.items()}
    assert len(values) == 10
    assert values["preprocessing"] == ("none", "standardization", "robust_scaling", "minmax")
    assert values["augmentation"] == ("none", "random", "mixup", "cutmix")
    assert values["precision"] == ("float16", "float32", "float64", "mixed_float16")
    assert values["batch_size"] == ("4", "32", "64", "128")
    assert values["partitioning"] == ("60-20-20", "70-15-15", "80-10-10", "90-5-5")
    assert values["lr"] == ("0.01", "0.00015", "0.0008", "0.00625")
    assert values["lr_schedule"] == ("constant", "exponential", "polynomial", "cosine")
    assert values["momentum"] == ("0.0", "0.5", "0.9", "0.99")
    assert values["optimizer"] == ("rmsprop", "sgd", "adam", "adamw")
    assert parameters["momentum"].when == {"optimizer": ("rmsprop", "sgd")}
    assert list(parameters["internal"].settings.values()) == [
        {"quantization": "none", "jit_compile": "off"},
        {"quantization": "qat_int8", "jit_compile": "off"},
        {"quantization": "int8", "jit_compile": "off"},
        {"quantization": "none", "jit_compile": "on"},
    ]
    # More than a grid may have, so counted as if momentum always were a choice.
    assert space.size == 4**10


@pytest.mark.parametrize("internal", ["quantization_aware", "post_training_quantization"])
@pytest.mark.parametrize("precision", ["float16", "float64", "mixed_float16"])
def test_green_screen_refuses_to_quantize_what_the_converter_does_not_take(
    shipped, internal, precision
):
    space = shipped("green_screen")
    point = {parameter.name: next(parameter.grid()) for parameter in space.parameters}
    point |= {"optimizer": "sgd", "internal": internal}
    assert space.configuration({**point, "precision": "float32"}, {}).precision == "float32"
    with pytest.raises(InputError, match="works only with --precision float32"):
        space.configuration({**point, "precision": precision}, {})


def test_keras_default_configuration_is_in_the_recommended_space(shipped):
    space = shipped("greenest")
    assert space.contains(Configuration())
    assert space.contains(Configuration(dataset="wine", model="resnet18", seed=3))
    assert not space.contains(Configuration(lr=0.5))


def test_a_study_can_be_told_to_begin_with_the_default_configuration(shipped):
    space = shipped("greenest")
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(space.point_of(Configuration()))
    assert space.configuration(space.suggest(study.ask()), {}) == Configuration()
