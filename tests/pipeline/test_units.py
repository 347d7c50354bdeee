import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tracking import RecordedRun
from pipeline.units import energy_parts, epochs_in_a_row, grams, joules, worth

SIZES = {"J": 1, "kJ": 1e3, "MJ": 1e6, "mg": 1e-6, "g": 1e-3, "kg": 1}


@pytest.mark.parametrize(
    ("energy_j", "written"),
    [
        (0.0, "0 J"),
        (0.1234, "0.123 J"),
        (41.26, "41.3 J"),
        (999.0, "999 J"),
        (1234.0, "1.23 kJ"),
        (56_789.0, "56.8 kJ"),
        (3.6e6, "3.6 MJ"),
        (1.2e9, "1200 MJ"),
    ],
)
def test_joules_are_written_in_a_fitting_unit_with_three_digits(energy_j, written):
    assert joules(energy_j) == written


@pytest.mark.parametrize(
    ("emissions_kg", "written"),
    [(0.0, "0 mg"), (1.234e-6, "1.23 mg"), (0.0123, "12.3 g"), (4.0, "4 kg"), (2500.0, "2500 kg")],
)
def test_emissions_are_written_in_a_fitting_unit_with_three_digits(emissions_kg, written):
    assert grams(emissions_kg) == written


@settings(deadline=None)
@given(st.floats(1e-9, 1e11), st.sampled_from([joules, grams]))
def test_what_is_written_is_the_value_to_three_digits_without_an_exponent(value, write):
    number, unit = write(value).split(" ")
    assert float(number) * SIZES[unit] == pytest.approx(value, rel=0.005)
    if value >= 1e-4:
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", number)


def run_of(metrics: dict[str, float], tags: dict[str, str]) -> RecordedRun:
    return RecordedRun("id", "name", "FINISHED", 0, {}, metrics, tags)


def test_each_part_tells_its_joules_and_what_they_are_worth():
    run = run_of(
        {"gpu_energy_j": 1500.0, "cpu_energy_j": 0.0},
        {
            "energy.gpu": "measured (NVML)",
            "energy.cpu": "estimated (load x TDP)",
            "energy.ram": "absent (no sensor)",
        },
    )
    assert energy_parts(run) == {
        "GPU": "1.5 kJ, measured (NVML)",
        "CPU": "0 J, estimated (load x TDP)",
        "RAM": "absent (no sensor)",
    }


@pytest.mark.parametrize(
    ("gpu", "cpu", "told"),
    [
        ("measured (NVML)", "measured (RAPL)", "(measured)"),
        ("absent (no GPU)", "estimated (load x TDP)", "(estimated)"),
        ("measured (NVML)", "estimated (load x TDP)", "(partly estimated)"),
    ],
)
def test_a_total_with_an_estimate_in_it_is_never_called_measured(gpu, cpu, told):
    assert worth(run_of({}, {"energy.gpu": gpu, "energy.cpu": cpu})) == told


def test_a_part_of_which_nothing_is_known_is_absent_and_not_zero():
    assert energy_parts(run_of({}, {})) == dict.fromkeys(("GPU", "CPU", "RAM"), "absent")


def test_one_epoch_is_no_row():
    assert epochs_in_a_row("3") == "3 epochs in a row"
    assert epochs_in_a_row("1") == "1 epoch"
