import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.note import note
from pipeline.tracking import RecordedRun
from steps.configuration import Configuration

CARBON = {
    "carbon.intensity_g_per_kwh": "56",
    "carbon.place": "France",
    "carbon.source": "CodeCarbon",
    "hardware": "a machine",
}
SPENT = {
    "epochs": 12.0,
    "time_spent_s": 4.56,
    "energy_spent_j": 1234.0,
    "emissions_kg": 1.9e-5,
    "cpu_energy_j": 1234.0,
}
WORTH = {"energy.gpu": "absent", "energy.cpu": "estimated (load)", "energy.ram": "absent"}
TESTED = {"test_accuracy": 0.9611, "test_loss": 0.1, "parameters": 100.0}


def note_of(metrics=None, tags=None, **changes: object) -> str:
    configuration = Configuration(**changes)
    return note(
        RecordedRun(
            run_id="id",
            name=configuration.run_name,
            status="FINISHED",
            started_at_ms=0,
            parameters=configuration.parameters(),
            metrics=metrics or {},
            tags=tags or {},
        )
    )


def trained(outcome: str = "REACHED", without: tuple[str, ...] = (), **changes: object) -> str:
    spent = {name: value for name, value in SPENT.items() if name not in without}
    return note_of(spent, {"outcome": outcome, **CARBON, **WORTH}, **changes)


def numbers_of_zero(text: str) -> list[str]:
    return re.findall(r"(?<![\w.-])0(?:\.0*)?(?![\w.])", text)


def test_it_tells_what_was_trained():
    text = note_of(hidden="6,5", optimizer="sgd", lr=0.01, momentum=0.9, batch_size=64, seed=7)
    for told in ("`6,5`", "`digits`", "sgd", "0.01", "momentum 0.9", "batch size 64", "seed 7"):
        assert told in text
    assert "Not trained yet." in text


def test_momentum_is_not_mentioned_where_there_is_none():
    assert "momentum" not in note_of()


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ("REACHED", "**Reached** the target, validation accuracy above 0.95 for 3 epochs in a row"),
        ("BUDGET_EXHAUSTED", "**Missed** the target"),
        ("DIVERGED", "**Diverged**: the loss was not finite in epoch 12"),
    ],
)
def test_it_tells_how_the_training_ended_and_after_how_many_epochs(outcome, told):
    text = trained(outcome)
    assert told in text
    assert "12" in text
    assert ("**Reached**" in text) == (outcome == "REACHED")


@pytest.mark.parametrize("outcome", ["CAPPED", "FAILED"])
def test_a_run_that_did_not_come_to_an_end_tells_why(outcome):
    text = note_of(tags={"outcome": outcome, "failure": "interrupted by the user"})
    assert f"**{outcome}**: `interrupted by the user`. It did not reach the target" in text
    assert "no reason recorded" in note_of(tags={"outcome": outcome})


def test_it_tells_the_energy_with_what_each_part_is_worth():
    text = trained()
    assert all(told in text for told in ("**1.23 kJ** (estimated)", "4.56 s", "19 mg CO2e"))
    assert "| CPU | 1.23 kJ, estimated (load) |" in text
    assert "| GPU | absent |" in text
    assert "56 g/kWh (France; CodeCarbon)" in text


def test_a_long_training_is_written_without_an_exponent():
    text = note_of({**SPENT, "time_spent_s": 4321.0}, {"outcome": "REACHED", **CARBON, **WORTH})
    assert " 4320 s" in text


@pytest.mark.parametrize(
    "without",
    [
        ("energy_spent_j", "emissions_kg", "cpu_energy_j"),
        ("emissions_kg",),
        ("cpu_energy_j",),
        ("time_spent_s",),
        tuple(SPENT)[1:],
    ],
)
def test_nothing_that_is_absent_reads_as_zero(without):
    text = trained(without=without, seed=1)
    assert numbers_of_zero(text) == []
    assert "None" not in text and "nan" not in text
    assert ("CO2e" in text) == ("emissions_kg" not in without and "time_spent_s" not in without)
    assert ("no energy was measured" in text) == (
        "energy_spent_j" in without and "time_spent_s" not in without
    )


def test_a_zero_that_was_measured_is_told():
    text = note_of(
        {**SPENT, "cpu_energy_j": 0.0}, {"outcome": "REACHED", **CARBON, **WORTH}, seed=1
    )
    assert numbers_of_zero(text) == ["0"]
    assert "| CPU | 0 J, estimated (load) |" in text


def test_what_makes_the_energy_doubtful_is_told():
    tags = {"outcome": "REACHED", **CARBON, **WORTH, "energy.flags": "shared_gpu, too_short"}
    assert "Caution: another process used the GPU; the window is short" in note_of(SPENT, tags)
    assert "Caution" not in trained()


def test_the_scores_are_told_only_where_there_are_some():
    assert "accuracy 0.9611" not in note_of(SPENT, {"outcome": "REACHED", **CARBON})
    tested = note_of(TESTED)
    assert "accuracy 0.9611" in tested
    assert "LiteRT" not in tested


def test_what_the_flops_do_not_count_is_named():
    counted = {**SPENT, **TESTED, "flops": 38204}
    whole = note_of(counted, {"outcome": "REACHED", **CARBON})
    assert "38,204 floating-point operations." in whole
    partly = note_of(counted, {"outcome": "REACHED", **CARBON, "flops.uncounted": "lstm"})
    assert "not counting `lstm`" in partly


VARIANTS = {
    "float32/test_accuracy": 0.9597,
    "float32/latency_ms": 0.0021,
    "float32/latency_low_ms": 0.002,
    "float32/latency_high_ms": 0.0025,
    "float32/energy_per_inference_j": 0.0000301,
    "float32/energy_per_inference_low_j": 0.00003,
    "float32/energy_per_inference_high_j": 0.0000302,
    "int8/test_accuracy": 0.9583,
    "int8/model_size_bytes": 20008.0,
    "int8/average_bitwidth": 8.0,
    "int8/latency_ms": 1.4,
    "int8/latency_low_ms": 1.25,
    "int8/latency_high_ms": 2.0,
    "int8/speed_up": 1.5,
    "int8/speed_up_low": 1.4,
    "int8/speed_up_high": 1.6,
    "int8/batch256_speed_up": 7.61,
    "int8/batch256_speed_up_low": 7.0,
    "int8/batch256_speed_up_high": 8.0,
    "int8/energy_per_inference_j": 0.5,
    "int8/energy_per_inference_low_j": 0.5,
    "int8/energy_per_inference_high_j": 0.5,
    "fixed:8.4_4.2/test_accuracy": 0.8,
    "dynamic/test_accuracy": 0.1,
}
OF_VARIANTS = {
    "outcome": "REACHED",
    **CARBON,
    "quantized.modes": "float32, int8, fixed:8.4/4.2",
    "quantized.mode": "int8",
    "quantized.chosen": "int8: the least latency",
    "quantized.simulated": "fixed:8.4/4.2",
    "inference.rejected": "int8: its 5 windows differ by 13.5%, allowed are 5%",
    "inference.energy.cpu": "measured (RAPL)",
    "inference.windows": "5 of 2 s each",
}


def table_of(metrics: dict[str, float], tags: dict[str, str]) -> list[str]:
    rows = note_of({**SPENT, **TESTED, **metrics}, tags).splitlines()
    (first,) = (place for place, row in enumerate(rows) if row.startswith("| model |"))
    return rows[first + 2 : rows.index("", first)]


def test_each_model_stands_beside_float32_and_what_was_not_measured_is_a_dash():
    assert table_of(VARIANTS, OF_VARIANTS) == [
        "| float32 | - | 0.9597 | - | - | 2.1 µs (2 to 2.5) | - | - | 30.1 µJ (30 to 30.2) |",
        "| **int8** | - | 0.9583 | 20008 bytes | 8 | 1.4 ms (1.25 to 2) | 1.5 x (1.4 to 1.6) "
        "| 7.61 x (7 to 8) | rejected |",
        "| fixed:8.4/4.2 | - | 0.8000 | - | - | - | - | - | - |",
    ]


def test_joules_that_only_an_earlier_call_of_the_step_measured_are_left_out():
    unmeasured = {name: tag for name, tag in OF_VARIANTS.items() if "inference." not in name}
    assert all(row.endswith("| - |") for row in table_of(VARIANTS, unmeasured))


def test_no_model_is_shown_as_chosen_where_none_was():
    tags = {**OF_VARIANTS, "quantized.chosen": "none: each loses more"}
    assert "**" not in "".join(table_of(VARIANTS, tags))
    assert "For deployment: `none: each loses more`." in note_of({**SPENT, **TESTED}, tags)


def test_rejected_energy_and_emulation_are_told():
    text = note_of({**SPENT, **TESTED, **VARIANTS}, OF_VARIANTS)
    assert "Energy: CPU measured (RAPL); windows: 5 of 2 s each." in text
    assert "Energy that stands for nothing: `int8: its 5 windows differ" in text
    assert "Emulated, so that it has neither speed nor energy: `fixed:8.4/4.2`" in text


def test_where_no_model_could_be_made_the_reason_is_told():
    tags = {"outcome": "REACHED", **CARBON, "quantized.refused": "float32, int8: no such thing"}
    text = note_of({**SPENT, **TESTED}, tags)
    assert "Could not be made: `float32, int8: no such thing`." in text


def test_an_emulation_alone_is_not_told_to_run_in_litert():
    both = note_of({**SPENT, **TESTED, **VARIANTS}, OF_VARIANTS)
    assert "All run in LiteRT" in both
    tags = {"outcome": "REACHED", **CARBON, "quantized.modes": "fixed:8.4/4.2"}
    alone = note_of({**SPENT, **TESTED, **VARIANTS}, tags)
    assert "| fixed:8.4/4.2 | - | 0.8000 |" in alone
    assert "LiteRT" not in alone


def test_fine_tuning_is_told_as_a_part_of_the_cost_or_as_none():
    took = {"qat_time_s": 0.5, "qat_energy_j": 12.0, "int8/qat_time_s": 0.5}
    metrics = {**SPENT, **TESTED, **VARIANTS, **took}
    part = note_of(metrics, {**OF_VARIANTS, "fine_tuned": "int8"})
    assert ", 0.5 s and 12 J of that for quantization-aware fine-tuning." in part
    assert "Fine-tuned: `int8 (0.5 s)`." in part
    none = note_of(metrics, OF_VARIANTS)
    assert "for quantization-aware" not in none
    assert "Fine-tuned: `int8 (0.5 s); no part of what the run has cost" in none


MARKDOWN = ("# title", "a*b*c", "<img src=x>", "[a](b)", "a_b_c", "![x](y)", "a|b", "`code`")


@pytest.mark.parametrize("name", MARKDOWN)
def test_names_are_escaped_as_code(name):
    as_code = "`" + name.replace("`", "'") + "`"
    text = note_of(tags={"outcome": "FAILED", "failure": name}, dataset=f"csv:{name}")
    assert f"on `csv:{as_code[1:]} (80-10-10" in text
    assert f"**FAILED**: {as_code}." in text


@settings(deadline=None)
@given(st.text(min_size=1))
def test_no_name_can_break_out_of_its_code(name):
    text = note_of(dataset=f"csv:{name}", hidden="5")
    inside = text.split("`")[1::2]
    assert inside[1:] == ["5", f"csv:{name}".replace("`", "'")]
