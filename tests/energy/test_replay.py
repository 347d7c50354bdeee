from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_clock import VirtualClock

from energy import EnergyMeter
from energy.sources.replay import ReplaySource, Trace


def test_a_recorded_trace_is_read_and_played(tmp_path: Path, clock: VirtualClock) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("time_s,gpu0,gpu1,cpu\n5,100,10,20\n7,300,10,20\n9,300,10,20\n")
    source = ReplaySource(Trace.read(file), clock, file.name)
    with EnergyMeter([source], clock=clock, background=False) as meter:
        with meter.window("ramp") as ramp:
            clock.run(2)
        with meter.window("flat and beyond") as flat:
            clock.run(5)
    assert ramp.measurement.gpu_energies_j == pytest.approx((400, 20))
    assert ramp.measurement.gpu_energy_j == pytest.approx(420)
    assert ramp.measurement.cpu_energy_j == pytest.approx(40)
    assert ramp.measurement.gpu.error_j == pytest.approx(200)
    assert ramp.measurement.ram_energy_j is None
    assert ramp.measurement.provenance["gpu"] == "measured (replayed from trace.csv)"
    # The trace ends after 4 of the 7 seconds; beyond it nothing is made up.
    assert flat.measurement.gpu_energy_j == pytest.approx(620)
    assert "it has ended" in flat.measurement.provenance["gpu"]
    assert "trace_ended" in flat.measurement.flags


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1000)), min_size=2, max_size=20),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_traces_energy_rises_with_time_and_ends_at_the_trapezoid_sum(
    steps: list[tuple[float, float]], shares: list[float]
) -> None:
    times_s = [sum(gap for gap, _ in steps[: index + 1]) for index in range(len(steps))]
    watts = [power for _, power in steps]
    trace = Trace(times_s, {"gpu": watts})
    total_j = sum(
        (watts[i] + watts[i + 1]) / 2 * (times_s[i + 1] - times_s[i]) for i in range(len(steps) - 1)
    )
    assert trace.energy_j("gpu", trace.duration_s) == pytest.approx(total_j, abs=1e-6)
    seen = [trace.energy_j("gpu", share * trace.duration_s) for share in sorted(shares)]
    assert all(b >= a - 1e-6 for a, b in pairwise(seen))
    assert all(-1e-6 <= energy_j <= total_j + 1e-6 for energy_j in seen)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "needs a column time_s"),
        ("seconds,gpu\n0,1\n1,1\n", "needs a column time_s"),
        ("time_s,gpu\n0,1\n1,x\n", "a cell is not a number"),
        ("time_s,gpu\n0,1\n1\n", "a cell is not a number"),
        ("time_s,gpu\n0,1\n", "must rise"),
        ("time_s,gpu\n1,1\n0,1\n", "must rise"),
        ("time_s,gpu\n0,1\nnan,1\n", "must be finite"),
        ("time_s,gpu\n0,1\n1,inf\n", "must be finite"),
        ("time_s,gpu\n0,1e308\n1e9,1e308\n", "its energy is beyond all numbers"),
        ("time_s,gpu,gpu\n0,1,2\n1,1,2\n", "needs a name of its own for each column"),
        ("time_s,gpu\n0,1\n1,1,5\n", "needs a name of its own for each column"),
        ("time_s,fan\n0,1\n1,1\n", "device 'fan': must be gpu, cpu or ram"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        Trace.read(file)
