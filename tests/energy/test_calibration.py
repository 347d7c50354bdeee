import math
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from energy import Measurement, Part
from energy.calibration import Calibration, Reading, fit, parse, read_readings

POWERS_W = (20.0, 60.0, 110.0, 180.0, 250.0)


def readings(scale: float, offset_w: float, noise: float = 0.0) -> list[Reading]:
    return [
        Reading(
            energy_j=watts * seconds,
            duration_s=seconds,
            wall_j=(scale * watts + offset_w) * seconds * (1 + noise * (-1) ** index),
        )
        for index, (watts, seconds) in enumerate(zip(POWERS_W, (10, 20, 5, 60, 30), strict=True))
    ]


@settings(deadline=None)
@given(st.floats(0.5, 3), st.floats(0, 100))
def test_an_exact_line_is_found_with_no_error(scale: float, offset_w: float) -> None:
    found = fit(readings(scale, offset_w))
    assert found.calibration.scale == pytest.approx(scale, rel=1e-6)
    assert found.calibration.offset_w == pytest.approx(offset_w, rel=1e-6, abs=1e-6)
    assert found.relative_error == pytest.approx(0, abs=1e-9)
    assert found.readings == 5


def test_the_error_is_that_of_readings_the_line_has_not_seen() -> None:
    found = fit(readings(1.3, 40.0, noise=0.03))
    seen = [
        abs(found.calibration.wall_energy_j(r.energy_j, r.duration_s) / r.wall_j - 1)
        for r in readings(1.3, 40.0, noise=0.03)
    ]
    assert found.relative_error > sum(seen) / len(seen)
    assert 0.01 < found.relative_error < 0.1 < found.raw_relative_error


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_what_is_typed_is_what_is_used(scale: float, offset_w: float) -> None:
    assert parse(f"{scale},{offset_w}") == Calibration(scale, offset_w)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "a,b", "0,3", "-1,3", "nan,1", "1,inf"])
def test_a_calibration_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="calibration"):
        parse(text)


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (readings(1.2, 30)[:2], "2 calibration readings: at least 3"),
        ([Reading(10, 1, 12)] * 4, "all have the same power"),
        ([*readings(1.2, 30), Reading(1, 0, 1)], "must be finite and above 0"),
        ([*readings(1.2, 30), Reading(1, 1, math.nan)], "must be finite and above 0"),
        ([*readings(1.2, 30), Reading(math.inf, 1, 1)], "must be finite and above 0"),
    ],
)
def test_readings_that_determine_no_line_are_refused(pairs: list[Reading], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fit(pairs)


@settings(deadline=None)
@given(st.floats(1, 1e6), st.floats(1, 1e4), st.floats(1, 1e4))
def test_calibration_is_additive_over_windows(energy_j: float, one_s: float, two_s: float) -> None:
    calibration = Calibration(1.25, 38.0)
    parts = calibration.wall_energy_j(energy_j, one_s) + calibration.wall_energy_j(energy_j, two_s)
    assume(math.isfinite(parts))
    assert calibration.wall_energy_j(2 * energy_j, one_s + two_s) == pytest.approx(parts)


def test_a_window_without_energy_has_no_wall_energy_either() -> None:
    calibration = Calibration(1.25, 38.0)
    assert calibration.wall_energy_of(Measurement("nothing", 3.0)) is None
    work = Measurement("work", 10.0, cpu=Part(100.0, 1.0, "measured (RAPL)"))
    assert calibration.wall_energy_of(work) == pytest.approx(505.0)


def test_each_part_may_have_its_own_calibration(tmp_path: Path) -> None:
    file = tmp_path / "wall.yaml"
    file.write_text("gpu: {scale: 1.1, offset_w: 12}\ncpu: {scale: 2, offset_w: 0}\n")
    work = Measurement(
        "work",
        10.0,
        gpu=Part(1000.0, 1.0, "measured (NVML)"),
        ram=Part(200.0, 1.0, "estimated (size)"),
    )
    calibration = parse(str(file))
    assert calibration.wall_energy_of(work) == pytest.approx(1100 + 120 + 200)
    assert calibration.wall_energy_of(Measurement("nothing", 1.0)) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "gpu: 3", "fan: {scale: 1, offset_w: 0}", "gpu: {scale: 1}", "- 1", "{"),
        f"gpu: {{scale: {'9' * 400}, offset_w: 0}}",
        "`\u05c8",
    ],
)
def test_a_calibration_file_that_is_none_is_named_in_a_line_that_prints(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "wall.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"wall\.yaml: must map gpu, cpu or ram") as refusal:
        parse(str(file))
    assert str(refusal.value).isprintable()


def test_readings_are_read_from_a_table(tmp_path: Path) -> None:
    file = tmp_path / "readings.csv"
    file.write_text("window,duration_s,energy_j,wall_j\nidle,10,200,640\nload,10,2500,3400\n")
    assert read_readings(file) == [Reading(200, 10, 640), Reading(2500, 10, 3400)]
    file.write_text("window,duration_s,energy_j\nidle,10,200\n")
    with pytest.raises(ValueError, match="must have numbers under energy_j, duration_s, wall_j"):
        read_readings(file)
