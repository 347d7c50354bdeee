import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy import Measurement, Part
from energy.sources.base import ABSENT, absent

joules = st.floats(0, 1e9)
seconds = st.floats(1e-3, 1e6)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    how = draw(st.sampled_from(["measured (counter)", "estimated (model)", "absent (no driver)"]))
    if how.startswith("absent"):
        return Part(None, None, how)
    return Part(draw(joules), draw(joules), how)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    return Measurement(
        name=draw(st.sampled_from(["training", "compile"])),
        duration_s=draw(seconds),
        gpu=draw(parts()),
        cpu=draw(parts()),
        ram=draw(parts()),
        emissions_kg=draw(st.none() | joules),
        flags=draw(st.frozensets(st.sampled_from(["shared_gpu", "too_short"]))),
    )


def test_a_measurement_of_nothing_has_no_energy_rather_than_zero() -> None:
    nothing = Measurement("nothing", 1.0)
    assert (nothing.energy_j, nothing.energy_error_j, nothing.emissions_kg) == (None, None, None)
    assert nothing.gpu_power_w is None
    assert dict(nothing.provenance) == dict.fromkeys(("gpu", "cpu", "ram"), "absent")


@pytest.mark.parametrize(
    ("energy_j", "provenance"), [(None, "measured (counter)"), (0.0, "absent"), (3.0, "absent (x)")]
)
def test_a_part_cannot_be_absent_with_joules_or_measured_without(
    energy_j: float | None, provenance: str
) -> None:
    with pytest.raises(ValueError, match="exactly where it is None"):
        Part(energy_j, None, provenance)


@settings(deadline=None)
@given(measurements())
def test_the_total_is_the_sum_of_the_parts_that_are_there(one: Measurement) -> None:
    there = [part.energy_j for part in one.parts.values() if part.energy_j is not None]
    assert one.energy_j == (sum(there) if there else None)


@settings(deadline=None)
@given(measurements(), measurements())
def test_adding_keeps_energy_error_provenance_and_flags(a: Measurement, b: Measurement) -> None:
    total = a + b
    assert total.duration_s == a.duration_s + b.duration_s
    assert total.flags == a.flags | b.flags
    for name, part in total.parts.items():
        mine, theirs = a.parts[name], b.parts[name]
        if mine.energy_j is None or theirs.energy_j is None:
            assert part.energy_j is None
            assert part.provenance.startswith("absent")
        else:
            assert part.energy_j == mine.energy_j + theirs.energy_j
            assert mine.error_j is not None and theirs.error_j is not None
            assert part.error_j == mine.error_j + theirs.error_j
            assert all(how in part.provenance for how in (mine.provenance, theirs.provenance))
            assert part.is_measured == (mine.is_measured and theirs.is_measured)


@settings(deadline=None)
@given(st.lists(measurements(), min_size=3, max_size=3))
def test_adding_does_not_depend_on_the_grouping(abc: list[Measurement]) -> None:
    a, b, c = abc
    left, right = (a + b) + c, a + (b + c)
    assert math.isclose(left.energy_j or 0, right.energy_j or 0)
    assert (left.energy_j is None) == (right.energy_j is None)
    assert left.flags == right.flags


def test_a_sum_that_holds_an_estimate_is_called_an_estimate() -> None:
    measured = Measurement("a", 1.0, cpu=Part(1.0, 0.1, "measured (RAPL)"))
    estimated = Measurement("a", 1.0, cpu=Part(1.0, 0.1, "estimated (load)"))
    assert (measured + estimated).cpu.provenance == "estimated (load) + measured (RAPL)"
    assert (measured + measured).cpu.provenance == "measured (RAPL)"


def test_a_measurement_cannot_be_changed() -> None:
    one = Measurement("a", 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.duration_s = 2.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.provenance["gpu"] = "measured"  # type: ignore[index]


def test_absent_tells_why_where_it_is_known() -> None:
    assert (ABSENT.provenance, absent("no driver").provenance) == ("absent", "absent (no driver)")
