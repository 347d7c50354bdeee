"""What a space allows: which configurations, in which order, and nothing twice."""

import subprocess
import sys

import pytest
from hypothesis import given
from random_spaces import FILE_PER_TEST, space_files

from pipeline.search.space import Space
from steps.configuration import Configuration, parse
from steps.errors import InputError


def configurations(space: Space, **fixed: str) -> list[Configuration]:
    return [space.configuration(point, fixed) for point in space.points(fixed)]


def test_values_are_texts_as_typed_on_the_command_line(space):
    given_ = space("""
        purpose: YAML would make truth values, numbers and dates of these.
        parameters:
          jit_compile: [on, off]
          lr: [1e-3, .01, 010]
          batch_size: [64.0, full]
          hidden: ["06,6", 0256]
          weight_decay: ["", 1e-4]
          time_ordered: no
        """)
    assert {each.name: each.values for each in given_.parameters} == {
        "jit_compile": ("on", "off"),
        "lr": ("0.001", "0.01", "10.0"),
        "batch_size": ("64", "full"),
        "hidden": ("6,6", "256"),
        "weight_decay": ("", "0.0001"),
        "time_ordered": ("no",),
    }
    assert given_.size == len(configurations(given_)) == 2 * 3 * 2 * 2 * 2


def test_a_range_with_a_step_ends_at_the_last_that_is_not_above_high(space):
    given_ = space("""
        purpose: Steps.
        parameters:
          dropout: {low: 0.1, high: 0.45, step: 0.1}
          batch_size: {low: 10, high: 29, step: 10}
          warmup_epochs: {low: 0, high: 2}
          weight_decay: {low: 0.1, high: 0.1}
        """)
    assert [point["dropout"] for point in given_.points({})][::6] == [0.1, 0.2, 0.3, 0.4]
    assert {point["batch_size"] for point in given_.points({})} == {10, 20}
    assert {point["warmup_epochs"] for point in given_.points({})} == {0, 1, 2}
    assert given_.size == 4 * 2 * 3 * 1

    def contains(**other: object) -> bool:
        usual = {"dropout": 0.3, "batch_size": 20, "warmup_epochs": 1, "weight_decay": 0.1}
        return given_.contains(Configuration(**usual | other))

    assert contains()
    assert not any((contains(dropout=0.25), contains(dropout=0.5), contains(batch_size="full")))


def test_the_target_may_be_fixed_in_the_space(space):
    given_ = space("purpose: One.\nparameters: {target_accuracy: 0.97, dataset: [wine]}")
    assert configurations(given_) == [Configuration(target_accuracy=0.97, dataset="wine")]


CONDITIONED = """
    purpose: Conditions, one of them on a parameter that is conditioned itself and comes later.
    parameters:
      lr_schedule: {values: [cosine, cyclical], when: {momentum: 0.9}}
      momentum: {values: [0.5, 0.9], when: {optimizer: [sgd, rmsprop], activation: relu}}
      optimizer: [adam, sgd]
      activation: [relu, tanh]
    """


def test_a_parameter_whose_condition_does_not_hold_has_its_default(space):
    given_ = space(CONDITIONED)
    seen = {
        (each.optimizer, each.activation, each.momentum, each.lr_schedule)
        for each in configurations(given_)
    }
    assert seen == {
        ("adam", "relu", 0.0, "constant"),
        ("adam", "tanh", 0.0, "constant"),
        ("sgd", "tanh", 0.0, "constant"),
        ("sgd", "relu", 0.5, "constant"),
        ("sgd", "relu", 0.9, "cosine"),
        ("sgd", "relu", 0.9, "cyclical"),
    }
    assert given_.size == len(configurations(given_)) == len(seen)
    assert not given_.contains(Configuration(activation="relu", lr_schedule="cosine"))


def test_a_list_can_be_shortened_without_touching_the_conditions_on_it(space):
    assert "optimizer: [sgd, rmsprop]" in CONDITIONED
    shorter = space(CONDITIONED.replace("optimizer: [adam, sgd]", "optimizer: sgd"))
    assert {each.momentum for each in configurations(shorter)} == {0.0, 0.5, 0.9}


def test_what_does_not_count_is_not_looked_at(space):
    point = {"optimizer": "adam", "activation": "relu", "momentum": "0.9"}
    assert space(CONDITIONED).configuration(point, {}).momentum == 0


def test_a_point_without_a_parameter_that_counts_is_an_error(space):
    with pytest.raises(KeyError, match="momentum"):
        space(CONDITIONED).configuration({"optimizer": "sgd", "activation": "relu"}, {})


def test_a_bundle_decides_several_hyperparameters_and_others_may_depend_on_it(space):
    given_ = space("""
        purpose: A bundle.
        parameters:
          lr: {values: [0.1, 0.2], when: {size: large}}
        bundles:
          size:
            small: {batch_size: 32, jit_compile: on}
            large: {batch_size: 512}
            usual: {}
        """)
    seen = [(each.batch_size, each.jit_compile, each.lr) for each in configurations(given_)]
    assert seen == [
        (32, "on", 0.001),
        (512, "off", 0.1),
        (512, "off", 0.2),
        (128, "off", 0.001),
    ]
    assert given_.point_of(Configuration()) == {"size": "usual"}
    assert given_.point_of(Configuration(batch_size=32)) is None


def test_refused_combinations_are_left_out_and_counted_by_reason(space):
    given_ = space("""
        purpose: Impossible combinations.
        parameters:
          optimizer: [adam, sgd]
          momentum: [0, 0.9]
          augmentation: [none, random]
        """)
    grid = given_.points({"dataset": "csv:rows.csv"})
    for _ in range(2):
        assert len(list(grid)) == 3
        assert grid.refused == {
            "--momentum 0.9: works only with --optimizer rmsprop and sgd": 2,
            "--augmentation random: flips, rotations and zooms need images, and this dataset is a "
            "table; take mixup or cutmix": 3,
        }
    assert given_.size == 8


def test_what_the_user_fixed_holds_for_every_configuration(space):
    given_ = space("purpose: One.\nparameters: {lr: [0.1, 0.2]}")
    seen = configurations(given_, dataset="wine", seed="7", batch_size="32")
    assert [(each.dataset, each.seed, each.batch_size, each.lr) for each in seen] == [
        ("wine", 7, 32, 0.1),
        ("wine", 7, 32, 0.2),
    ]


def test_an_option_that_the_space_decides_too_is_an_error_that_names_both(space):
    given_ = space("""
        purpose: Both.
        parameters: {lr: [0.1, 0.2]}
        bundles: {size: {small: {batch_size: 32}, large: {batch_size: 512}}}
        """)
    for name, text, line in (("lr", "0.1", 2), ("batch_size", "64", 3)):
        said = rf"^--{name.replace('_', '-')} {text}: .*--space .*space\.yaml, line {line}, too"
        for use in (
            given_.points,
            given_.check_fixed,
            lambda fixed: given_.configuration({}, fixed),
        ):
            with pytest.raises(InputError, match=said):
                use({name: text})
    given_.check_fixed({"dataset": "wine"})


THOUSAND = "{low: 0.001, high: 0.999999, step: 0.001}"


def test_a_grid_too_large_to_train_is_refused_before_it_is_counted_out(space):
    given_ = space(f"""
        purpose: A billion points.
        parameters:
          lr: {THOUSAND}
          dropout: {THOUSAND}
          batch_size: {{low: 1, high: 1000}}
        """)
    assert given_.size == 999 * 999 * 1000
    with pytest.raises(
        InputError, match=r"space\.yaml: line 2: a grid of 9\.98e\+8 points is more"
    ):
        given_.points({})


def test_a_grid_of_a_continuous_range_is_refused(space):
    given_ = space("purpose: A range.\nparameters:\n  lr: {low: 0.1, high: 0.2}")
    assert given_.size is None
    with pytest.raises(InputError, match=r"line 3: a grid needs a step or a list for lr$"):
        given_.points({})


@FILE_PER_TEST
@given(space_files())
def test_every_point_of_a_grid_is_another_configuration_of_the_space(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(text)
    space = Space.load(path)
    grid = space.points({})
    points = list(grid)
    made = [space.configuration(point, {}) for point in points]
    assert space.size == len(points) + grid.refused.total()
    assert len({each.config_id for each in made}) == len(made)
    assert [space.point_of(each) for each in made] == points
    assert [parse(each.parameters()) for each in made] == made


def test_reading_a_space_imports_neither_optuna_nor_tensorflow(project):
    code = (
        "import sys; from pathlib import Path; from pipeline.search.space import Space;"
        "Space.load(Path('spaces/greenest.yaml'));"
        "print({'optuna', 'mlflow', 'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
