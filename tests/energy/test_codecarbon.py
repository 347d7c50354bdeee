"""CodeCarbon for real on this machine."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from energy import EnergyMeter, Measurement
from energy.sources import codecarbon
from energy.sources.codecarbon import CodeCarbonSource, open_codecarbon
from energy.sources.null import NullSource


def spin(seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pass


@pytest.fixture
def meter() -> Iterator[EnergyMeter]:
    with EnergyMeter([open_codecarbon()]) as meter:
        yield meter


def test_adjacent_windows_of_many_lengths_add_up_to_the_covering_one(meter: EnergyMeter) -> None:
    pieces: list[Measurement] = []
    with meter.window("20 s") as covering:
        for work in (time.sleep, spin):
            for length_s in (0.2, 1.0, 5.0):
                with meter.window(f"{length_s} s") as piece:
                    work(length_s)
                pieces.append(piece.measurement)
        with meter.window("rest") as piece:
            time.sleep(7.6)
        pieces.append(piece.measurement)
    whole = covering.measurement
    for part in ("cpu", "ram"):
        pieces_j = sum(piece.parts[part].energy_j or 0 for piece in pieces)
        assert pieces_j == pytest.approx(whole.parts[part].energy_j, rel=0.01)
    for measured in (whole, *pieces):
        assert "self_check_failed" not in measured.flags
        assert ("too_short" in measured.flags) == (measured.name == "0.2 s")
        assert measured.gpu_energy_j is None and measured.codecarbon_gpu_energy_j is None
    busiest = pieces[5]
    assert busiest.cpu_utilization is not None
    assert busiest.cpu_utilization > 0.9 / (os.cpu_count() or 1)
    kwh_j = (whole.codecarbon_energy_kwh or 0) * 3.6e6
    assert kwh_j == pytest.approx((whole.cpu_energy_j or 0) + (whole.ram_energy_j or 0))


def test_a_window_that_codecarbon_is_too_slow_for_has_its_share_of_the_last_power(
    meter: EnergyMeter,
) -> None:
    with meter.window("long") as long:
        time.sleep(0.5)
    with meter.window("short") as short:
        time.sleep(0.3 * codecarbon.FRESH_S)
    watts = [
        (window.measurement.ram_energy_j or 0) / window.measurement.duration_s
        for window in (long, short)
    ]
    assert watts[1] == pytest.approx(watts[0], rel=0.2)
    assert "too_short" in short.measurement.flags


def test_an_estimate_says_so_and_carries_its_uncertainty(meter: EnergyMeter) -> None:
    with meter.window("work") as window:
        time.sleep(0.3)
    ram = window.measurement.ram
    assert ram.provenance.startswith("estimated (CodeCarbon: ")
    assert ram.energy_j is not None and ram.error_j is not None
    assert ram.error_j == pytest.approx(codecarbon.ESTIMATE_UNCERTAINTY * ram.energy_j)


def test_codecarbons_own_threads_never_run(meter: EnergyMeter) -> None:
    with meter.window("work"):
        time.sleep(0.1)
        others = {type(thread).__name__ for thread in threading.enumerate()}
    assert "Timer" not in others


def test_a_window_in_which_codecarbon_fails_is_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = open_codecarbon()
    assert isinstance(source, CodeCarbonSource)
    meter = EnergyMeter([source])
    with meter.window("work") as window:
        time.sleep(0.2)
        monkeypatch.setattr(source._tracker, "flush", lambda: None)
    assert "self_check_failed" in window.measurement.flags


def test_energy_that_is_counted_twice_fails_the_self_check() -> None:
    source = open_codecarbon()
    assert isinstance(source, CodeCarbonSource)
    meter = EnergyMeter([source])
    with meter.window("work") as window:
        for _ in range(4):
            time.sleep(0.1)
            source._tracker.flush()
            # What CodeCarbon's own thread does at stop: the same interval once more.
            source._tracker._last_measured_time -= 0.1
            source._tracker._measure_power_and_energy()
    assert "self_check_failed" in window.measurement.flags


def test_a_codecarbon_that_cannot_start_leaves_the_parts_absent_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(receiver: object) -> None:
        raise OSError("no such hardware")

    monkeypatch.setattr(codecarbon, "_started_tracker", fail)
    source = open_codecarbon()
    assert isinstance(source, NullSource)
    assert (
        source.span(None, None).parts["cpu"].provenance == "absent (CodeCarbon: no such hardware)"
    )


QUIET = """
import socket, sys, time
def refuse(*anything, **more):
    print("asked the network")
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refuse
from energy import EnergyMeter
with EnergyMeter.for_this_machine(country="FRA") as meter:
    with meter.window("work") as window:
        time.sleep(0.3)
measured = window.measurement
if "self_check_failed" in measured.flags or measured.ram.provenance != sys.argv[1]:
    print(measured)
if "tensorflow" in sys.modules:
    print("imported TensorFlow")
"""


def test_two_processes_measure_at_once_and_write_print_and_ask_nothing(
    tmp_path: Path, meter: EnergyMeter
) -> None:
    """Even where CodeCarbon's own configuration says to write, print, ask and measure otherwise."""
    config = tmp_path / ".codecarbon.config"
    config.write_text(
        "[codecarbon]\noutput_methods = csv,api\nsave_to_file = true\nlog_level = debug\n"
        "allow_multiple_runs = false\npue = 3\nelectricitymaps_api_token = x\n"
        "tracking_mode = process\nemissions_endpoint = http://nowhere\nmeasure_power_secs = 1\n"
    )
    with meter.window("here") as window:
        pass
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "CODECARBON_SAVE_TO_API": "true",
        "CODECARBON_REGION": "nowhere",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", QUIET, window.measurement.ram.provenance],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        printed, _ = process.communicate(timeout=60)
        assert (process.returncode, printed) == (0, "")
    assert list(tmp_path.iterdir()) == [config]


def test_codecarbons_logger_stays_silent(
    meter: EnergyMeter, capfd: pytest.CaptureFixture[str]
) -> None:
    with meter.window("work"):
        time.sleep(0.1)
    logging.getLogger("codecarbon").warning("this must not be seen")
    assert capfd.readouterr() == ("", "")
