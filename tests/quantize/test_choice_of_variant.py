import dataclasses

import numpy as np
import pytest

from steps.evaluate import Scores
from steps.quantize.inference import InferenceEnergy, Joules
from steps.quantize.timing import Latency
from steps.quantize.variants import Quantization, Variant


def scores(accuracy: float) -> Scores:
    return Scores(accuracy, loss=0.1, confusion=np.zeros((2, 2), np.int64))


def variant(
    mode: str,
    validation: float | None = 0.96,
    test: float = 0.96,
    joules: float | None = 1e-6,
    rejected: str | None = None,
    ms: float = 0.001,
    simulated: bool = False,
) -> Variant:
    energy = joules and InferenceEnergy(
        gross=Joules(joules, joules, joules),
        net=None,
        spread=0.01,
        rejected=rejected,
        inferences=1000,
        window_s=2.0,
        provenance={"cpu": "measured (a test)"},
        cpu_utilization=None,
        gpu_utilization=None,
    )
    return Variant(
        mode=mode,
        content=None if simulated else b"",
        validation=None if validation is None else scores(validation),
        test=scores(test),
        size_bytes=None if simulated else 10,
        average_bitwidth=8.0,
        bit_operations=64,
        latency={1: Latency(ms, ms, ms, (ms,))},
        inference=energy,
        simulated=simulated,
        uncovered=(),
    )


def chosen(*variants: Variant, float32: Variant | None = None) -> str | None:
    found = Quantization(float32 or variant("float32"), variants, {}).chosen
    return found and found.mode


def test_least_joules_win_even_over_a_faster_one():
    thrifty, fast = variant("int8", joules=1e-6, ms=2.0), variant("int4", joules=2e-6, ms=1.0)
    assert chosen(fast, thrifty) == "int8"


def test_the_validation_part_decides_and_the_test_part_does_not():
    lucky = variant("int4", validation=0.90, test=0.99, joules=1e-9)
    assert chosen(lucky, variant("int8", test=0.5)) == "int8"


@pytest.mark.parametrize(
    ("accuracy", "is_enough"), [(0.97, True), (0.96, True), (0.95, True), (0.9499, False)]
)
def test_a_variant_may_lose_a_hundredth_of_accuracy_and_no_more(accuracy, is_enough):
    assert (chosen(variant("int8", validation=accuracy)) == "int8") is is_enough


@pytest.mark.parametrize("flaw", [{"rejected": "its windows differ"}, {"joules": None}])
def test_where_joules_of_one_do_not_stand_the_fastest_wins(flaw):
    flawed = variant("dynamic", ms=3.0, **flaw)
    thrifty, fast = variant("int8", joules=1e-6, ms=2.0), variant("int4", joules=2e-6, ms=1.0)
    assert chosen(flawed, thrifty, fast) == "int4"


def test_an_emulation_is_never_chosen_nor_are_its_joules_asked_for():
    emulated = variant("fixed:8.4/4.2", joules=None, ms=1e-9, simulated=True)
    assert chosen(emulated) is None
    thrifty, fast = variant("int8", joules=1e-6, ms=2.0), variant("int4", joules=2e-6, ms=1.0)
    assert chosen(emulated, thrifty, fast) == "int8"


def test_nothing_is_chosen_without_a_baseline():
    assert Quantization(None, (variant("int8"),), {"float32": "refused"}).chosen is None
    assert chosen() is None


def test_without_validation_rows_only_a_single_file_leaves_nothing_to_decide():
    float32, int8, int4 = (variant(mode, validation=None) for mode in ("float32", "int8", "int4"))
    emulated = variant("fixed:8.4/4.2", validation=None, simulated=True)
    assert chosen(emulated, int8, float32=float32) == "int8"
    assert chosen(int4, int8, float32=float32) is None
    assert chosen(emulated, float32=float32) is None


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, "the least energy of those"),
        ({"rejected": "its windows differ"}, "the least latency of those"),
        ({"validation": 0.5}, "each loses more than 0.01 of float32's validation accuracy"),
        ({"simulated": True, "joules": None}, "there is no file"),
    ],
)
def test_the_choice_says_why(found, reason):
    quantization = Quantization(variant("float32"), (variant("int8", **found),), {})
    assert quantization.choice.reason.startswith(reason)


def test_memory_density_is_32_bits_over_the_average_width():
    assert variant("int8").memory_density == 4
    assert dataclasses.replace(variant("int8"), average_bitwidth=None).memory_density is None
