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
    assert "38,204 floating-point operations." in note_of(counted)
    partly = note_of(counted, {"outcome": "REACHED", **CARBON, "flops.uncounted": "lstm"})
    assert "not counting `lstm`" in partly


VARIANTS = {
    "float32/test_accuracy": 0.9597,
    "float32/latency_ms": 0.0021,
    "float32/latency_low_ms": 0.002,
    "float32/latency_high_ms": 0.0025,
    "int8/test_accuracy": 0.9583,
    "int8/model_size_bytes": 20008.0,
    "int8/average_bitwidth": 8.0,
    "int8/speed_up": 1.5,
    "int8/speed_up_low": 1.4,
    "int8/speed_up_high": 1.6,
    "fixed:8.4_4.2/test_accuracy": 0.8,
}
OF_VARIANTS = {
    "outcome": "REACHED",
    **CARBON,
    "quantized.mode": "int8",
    "quantized.simulated": "fixed:8.4/4.2",
    "inference.rejected": "int8: its 5 windows differ by 13.5%, allowed are 5%",
}


def test_each_model_stands_beside_float32_and_what_was_not_measured_is_a_dash():
    rows = note_of({**SPENT, **TESTED, **VARIANTS}, OF_VARIANTS).splitlines()
    assert "| float32 | - | 0.9597 | - | - | 0.0021 ms (0.002 to 0.0025) | - | - |" in rows
    assert "| **int8** | - | 0.9583 | 20008 bytes | 8 | - | 1.5 x (1.4 to 1.6) | - |" in rows
    assert "| fixed:8.4_4.2 | - | 0.8000 | - | - | - | - | - |" in rows


def test_rejected_energy_and_emulation_are_told():
    text = note_of({**SPENT, **TESTED, **VARIANTS}, OF_VARIANTS)
    assert "Energy that stands for nothing: `int8: its 5 windows differ" in text
    assert "Emulated, so that speed and energy mean nothing: `fixed:8.4/4.2`" in text


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
