import dataclasses
import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steps.configuration import (
    ACTIVATIONS,
    AUGMENTATIONS,
    FIELDS,
    OPTIMIZERS,
    OPTIMIZERS_WITH_MOMENTUM,
    PRECISIONS,
    PREPROCESSINGS,
    SCHEDULES,
    Configuration,
    option_name,
    parse,
)
from steps.errors import InputError
from steps.parsing import WIDEST_LAYER
from steps.refusals import REFUSALS

BAD_COUNTS = ("", "0", "-1", "1.5", "abc", "nan", "4294967296")
ABOVE_ZERO = "must be a number above 0, or auto$"
BELOW_ONE = "must be a number from 0 up to, not including, 1$"
FROM_ONE = "must be a whole number from 1 to 4294967295$"

QUANTIZATIONS = ("none", "dynamic", "int4", "int8,qat_int8", "float16,fixed:8.4/4.2")

# By hyperparameter: what the message says of what is allowed, and values that must be refused.
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "preprocessing": (", ".join(PREPROCESSINGS), ("", "zscore", "None", "minmax ")),
    "partitioning": (
        "such as 80-10-10$|must add to 100",
        ("", "50-50", "80-10-10-0", "80/10/10", "a-b-c", "33.3-33.3-33.4", "90-10-0", "80-10-11"),
    ),
    "missing": ("error, drop, median", ("", "mean", "Drop")),
    "image_size": ("such as 32x32 or 32$", ("0", "32x", "x32", "8x8x3", "5000", "-1", "3.5")),
    "color_mode": ("rgb, grayscale$", ("RGB", "bgr")),
    "time_ordered": ("no, yes$", ("", "true", "1")),
    "class_weights": ("none, balanced$", ("", "auto")),
    "model": (r"or file:PATH.py:FUNCTION$", ("", "MLP", "vgg", "file:", "file:a.py", "file::f")),
    "dropout": (BELOW_ONE, ("", "abc", "-0.1", "1", "nan")),
    "hidden": ("such as 256 or 6,6$", ("", "0", "-5", "6,", "a", "6.5", "6;6", "6,0", "65537")),
    "activation": (", ".join(ACTIVATIONS), ("", "softplus2", "Sigmoid")),
    "augmentation": (", ".join(AUGMENTATIONS), ("", "flip", "Mixup")),
    "optimizer": (", ".join(OPTIMIZERS), ("", "lamb2", "Adam")),
    "lr_schedule": (", ".join(SCHEDULES), ("", "step", "Cosine")),
    "warmup_epochs": ("must be a whole number from 0 to|fewer than", ("", "-1", "0.5", "500")),
    "weight_decay": ("must be a number from 0$", ("-1", "x", "nan")),
    "precision": (", ".join(PRECISIONS), ("", "float8", "half")),
    "jit_compile": ("off, on, auto$", ("", "yes", "On")),
    "power_limit_w": ("must be a number of watts above 0$", ("0", "-5", "x", "inf")),
    "early_stopping": ("such as 0.001,10$", ("5", "a,b", "-1,3", "0.1,0", "nan,3", "1,2,3")),
    "lr": (ABOVE_ZERO, ("", "abc", "0", "-1", "nan", "inf", "1e999", "0,001")),
    "momentum": (BELOW_ONE, ("", "abc", "-0.1", "1", "1.5", "nan", "inf")),
    "batch_size": (f"{FROM_ONE[:-1]}, or full$", BAD_COUNTS),
    "quantization": (
        "choose one of none, all, dynamic|write fixed:|must be [02] to 24$|has int8 twice$",
        ("", "INT8", "int8,", "none,int8", "int8,int8", "all,int8", "fixed:8/4", "fixed:1.0/4.2"),
    ),
    "qat_epochs": ("must be a whole number from 1 to|works only with", ("0", "-1", "x", "3")),
    "target_accuracy": (BELOW_ONE, ("", "abc", "-0.1", "1", "1.5", "95%", "nan", "inf")),
    "patience": (FROM_ONE, BAD_COUNTS),
    "max_epochs": (FROM_ONE, BAD_COUNTS),
    "seed": ("must be a whole number from 0 to", ("", "-1", "1.5", "abc", "4294967296")),
}
OTHER_VALUES = {
    "dataset": "csv:rows.csv",
    "label": "kind",
    "test_csv": "test.csv",
    "drop_columns": "id,7",
    "categorical": "auto",
    "missing": "median",
    "group": "writer",
    "image_size": "32x16",
    "color_mode": "grayscale",
    "time_ordered": "yes",
    "class_weights": "balanced",
    "model": "cnn",
    "dropout": "0.5",
    "preprocessing": "minmax",
    "partitioning": "60-20-20",
    "hidden": "6,6",
    "activation": "relu",
    "augmentation": "mixup",
    "optimizer": "rmsprop",
    "lr": "auto",
    "lr_schedule": "cosine",
    "warmup_epochs": "2",
    "weight_decay": "0.01",
    "precision": "float64",
    "jit_compile": "auto",
    "power_limit_w": "150",
    "early_stopping": "0.001,10",
    "momentum": "0.9",
    "batch_size": "full",
    "quantization": "int8",
    "qat_epochs": "2",
    "target_accuracy": "0.9",
    "patience": "1",
    "max_epochs": "7",
    "seed": "1",
}


def shares() -> st.SearchStrategy[str]:
    cuts = st.tuples(st.integers(1, 98), st.integers(1, 98)).filter(lambda two: sum(two) < 100)
    return cuts.map(lambda two: f"{100 - sum(two)}-{two[0]}-{two[1]}")


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    optimizer = draw(st.sampled_from(OPTIMIZERS))
    dataset = draw(st.sampled_from(["digits", "iris"]) | st.text().map("csv:{}".format))
    counts = st.integers(1, 2**32 - 1)
    widths = st.integers(1, WIDEST_LAYER)
    below_one = st.floats(0, 1, exclude_max=True)
    return Configuration(
        dataset=dataset,
        label=draw(st.text()) if dataset.startswith("csv:") else "",
        preprocessing=draw(st.sampled_from(PREPROCESSINGS)),
        partitioning=draw(shares()),
        hidden=",".join(map(str, draw(st.lists(widths, min_size=1, max_size=3)))),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        optimizer=optimizer,
        augmentation=draw(st.sampled_from(["none", "mixup", "cutmix"])),
        lr=draw(st.floats(0, exclude_min=True, allow_infinity=False) | st.just("auto")),
        lr_schedule=draw(st.sampled_from(SCHEDULES)),
        weight_decay=draw(st.none() | st.floats(0, allow_infinity=False)),
        power_limit_w=draw(st.none() | st.floats(1, 1000)),
        early_stopping=draw(st.sampled_from(["", "0.001,10"])),
        jit_compile=draw(st.sampled_from(["off", "on", "auto"])),
        momentum=draw(below_one) if optimizer in OPTIMIZERS_WITH_MOMENTUM else 0.0,
        batch_size=draw(counts | st.just("full")),
        quantization=draw(st.sampled_from(QUANTIZATIONS)),
        target_accuracy=draw(below_one),
        patience=draw(counts),
        max_epochs=draw(counts),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def refusals() -> list[tuple[str, str]]:
    return [(name, value) for name, (_, values) in REFUSED.items() for value in values]


def test_each_hyperparameter_has_values_that_are_known_to_be_refused():
    checked_by_preprocess = {
        "dataset",
        "label",
        "test_csv",
        "drop_columns",
        "categorical",
        "group",
    }
    assert set(REFUSED) == set(FIELDS) - checked_by_preprocess


@pytest.mark.parametrize(("name", "value"), refusals())
def test_a_bad_value_is_refused_in_one_line_that_names_option_and_what_is_allowed(name, value):
    with pytest.raises(InputError) as caught:
        parse({"optimizer": "sgd", name: value})
    message = str(caught.value)
    assert message.startswith(f"{option_name(name)} {value}".rstrip())
    assert len(message.splitlines()) == 1
    assert re.search(REFUSED[name][0], message)
    assert caught.value.option == option_name(name)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("preprocessing", PREPROCESSINGS),
        ("activation", ACTIVATIONS),
        ("optimizer", OPTIMIZERS),
        ("quantization", QUANTIZATIONS),
    ],
)
def test_each_choice_is_accepted(name, choices):
    assert [getattr(parse({name: choice}), name) for choice in choices] == list(choices)


@settings(deadline=None)
@given(st.sampled_from(sorted(FIELDS)), st.text())
def test_any_text_for_any_option_is_accepted_or_refused_in_one_line(name, text):
    try:
        parse({name: text})
    except InputError as error:
        assert str(error).startswith(option_name(name))
        assert len(str(error).splitlines()) == 1


@settings(deadline=None)
@given(st.sampled_from(sorted(REFUSED)), st.text(string.digits + "-+.,e_ ", max_size=12))
def test_whatever_is_accepted_as_text_is_accepted_again_as_it_is_recorded(name, text):
    try:
        configuration = parse({"optimizer": "sgd", name: text})
    except InputError:
        return
    assert parse(configuration.parameters()) == configuration


@settings(deadline=None)
@given(configurations())
def test_the_recorded_parameters_lead_back_to_the_same_configuration(configuration):
    again = parse(configuration.parameters())
    assert again == configuration
    assert again.config_id == configuration.config_id


def test_missing_parameters_have_their_defaults():
    assert parse({}) == Configuration()
    assert parse({"lr": "0.1"}) == Configuration(lr=0.1)


def test_quantization_has_one_spelling_so_that_equal_ones_share_a_config_id():
    spelled = parse({"quantization": "fixed:8.4/4.2, int8,dynamic"})
    assert spelled.quantization == "dynamic,int8,fixed:8.4/4.2"
    everything = parse({"quantization": "all"}).quantization
    assert everything == "dynamic,float16,int8,int16x8,int4,qat_int8"


def test_partitioning_and_hidden_have_one_spelling_so_that_equal_ones_share_a_config_id():
    spelled = parse({"partitioning": "080-10-10", "hidden": "06, 6"})
    assert (spelled.partitioning, spelled.hidden) == ("80-10-10", "6,6")


@settings(deadline=None)
@given(configurations(), st.integers(0, 2**32 - 1))
def test_the_config_id_is_the_same_for_all_seeds(configuration, seed):
    repeat = dataclasses.replace(configuration, seed=seed)
    assert repeat.config_id == configuration.config_id


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"seed"}))
def test_the_config_id_changes_with_everything_but_the_seed(name):
    source = "images:folder" if name in ("image_size", "color_mode") else "csv:other.csv"
    same_otherwise = {"dataset": source, "optimizer": "sgd"}
    if name == "qat_epochs":
        same_otherwise["quantization"] = "qat_int8"
    changed = parse({**same_otherwise, name: OTHER_VALUES[name]})
    assert changed.config_id != parse(same_otherwise).config_id


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_momentum_is_refused_with_optimizers_that_have_none(optimizer):
    parameters = {"optimizer": optimizer, "momentum": "0.9"}
    if optimizer in ("rmsprop", "sgd"):
        assert parse(parameters).momentum == 0.9
    else:
        with pytest.raises(InputError, match=r"^--momentum 0\.9: .*sgd"):
            parse(parameters)
        assert parse({"optimizer": optimizer, "momentum": "0"}).momentum == 0


def test_a_label_is_refused_where_the_dataset_has_its_own():
    with pytest.raises(InputError, match=r"^--label kind: works only with --dataset csv:PATH,"):
        parse({"dataset": "digits", "label": "kind"})
    assert parse({"dataset": "csv:rows.csv", "label": "kind"}).label == "kind"


def test_the_run_name_tells_optimizer_lr_batch_size_and_seed():
    assert Configuration().run_name == "adam-lr0.001-bs128-s0"
    assert parse({"optimizer": "sgd", "lr": "1", "seed": "7"}).run_name == "sgd-lr1-bs128-s7"


BROKEN_RULES = [
    {"momentum": 0.9},
    {"label": "kind"},
    {"test_csv": "test.csv"},
    {"image_size": "32x32", "dataset": "csv:rows.csv"},
    {"dataset": "csv:rows.csv", "group": "writer", "time_ordered": "yes"},
    {"model": "resnet18", "hidden": "7"},
    {"class_weights": "balanced", "augmentation": "mixup"},
    {"precision": "float16", "optimizer": "adamw"},
    {"precision": "float16", "optimizer": "adamax"},
    {"precision": "mixed_float16", "quantization": "int8"},
    {"quantization": "int8", "qat_epochs": 3},
    {"augmentation": "random", "dataset": "csv:rows.csv"},
    {"augmentation": "random", "dataset": "digits"},
    {"warmup_epochs": 5, "max_epochs": 5},
]


@pytest.mark.parametrize("broken", BROKEN_RULES, ids=str)
def test_each_rule_of_the_table_refuses_what_breaks_it_with_its_reason(broken):
    with pytest.raises(InputError) as refused:
        Configuration(**broken)
    assert any(rule.reason in str(refused.value) for rule in REFUSALS)


def test_every_rule_of_the_table_is_broken_by_one_of_these():
    def broken_first(given):
        with pytest.raises(InputError) as refused:
            Configuration(**given)
        return next(rule for rule in REFUSALS if rule.reason in str(refused.value))

    assert {broken_first(given).reason for given in BROKEN_RULES} == {
        rule.reason for rule in REFUSALS
    }


def test_what_is_made_of_a_trained_model_is_no_part_of_its_training():
    plain = Configuration()
    for text in ("int8", "dynamic,float16,int4", "fixed:8.4/4.2"):
        quantized = dataclasses.replace(plain, quantization=text)
        assert quantized.config_id != plain.config_id
        assert quantized.training_id == plain.training_id == plain.config_id
    aware = dataclasses.replace(plain, quantization="int8,qat_int8")
    tuned = dataclasses.replace(plain, quantization="fixed:8.4/4.2", qat_epochs=3)
    other = dataclasses.replace(plain, lr=0.5)
    assert len({each.training_id for each in (plain, aware, tuned, other)}) == 4
