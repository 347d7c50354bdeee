"""Doctor tells the truth of this machine and of invented ones, and changes nothing."""

import importlib
import io
import json
import os
import re
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest
from rich.console import Console

from energy import EnergyMeter, Measurement, Part, carbon, hardware
from energy.clock import MonotonicClock
from energy.idle import IdlePower, PartPower, save
from energy.sources import codecarbon
from energy.sources.codecarbon import open_codecarbon
from energy.sources.nvml import open_nvml
from pipeline import doctor, terminal
from pipeline.cache import IDLE_FILE, JOURNALS
from pipeline.metering import LIVE_TOKEN

COUNTER, SAMPLES = "measured (NVML energy counter)", "measured (NVML power samples, integrated)"
RAPL, LOAD = "measured (CodeCarbon: RAPL counters)", "estimated (CodeCarbon: load x 65 W TDP)"


@pytest.fixture
def nvml(monkeypatch, project):
    """The fake NVML in place of `pynvml`, with one GPU."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    del sys.modules["pynvml"]
    monkeypatch.syspath_prepend(project / "tests" / "energy" / "fake_nvml")
    fake = importlib.import_module("pynvml")
    fake.configure({"gpus": [{}]})
    return fake


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, as the user's."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def looked(*sources, meanwhile=nullcontext):
    with EnergyMeter(sources) as meter, meter.window("doctor") as window:
        time.sleep(0.3)
        meanwhile()
        time.sleep(0.3)
    return window.measurement


def told(findings):
    return {what: (verdict, words) for what, verdict, words in findings}


def of_energies(**provenances):
    """A look of 3 s in which each of these parts drew 10 W; the others are absent."""
    parts = {name: Part(30.0, 1.0, provenance) for name, provenance in provenances.items()}
    return Measurement("doctor", 3.0, **parts)


def test_whole_command_tells_measured_gpus_from_estimates_and_leaves_nothing(tmp_path, project):
    fake = project / "tests" / "energy" / "fake_nvml"
    gpus = [
        {"power": {"kind": "constant", "watts": 250}},
        {"name": "Old card", "has_counter": False, "power": {"kind": "constant", "watts": 50}},
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "doctor", "--json"],
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if "MLFLOW" not in name},
            "PYTHONPATH": os.pathsep.join(map(str, (fake, project))),
            "PATH": os.pathsep.join([str(fake), os.environ["PATH"]]),
            "FAKE_NVML": json.dumps({"gpus": gpus}),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["GPU energy"]["verdict"] == "measured"
    words = found["GPU energy"]["words"]
    assert words.startswith("NVML energy counter and power samples, integrated; ")
    assert float(re.search(r"([\d.]+) W just now", words)[1]) == pytest.approx(300, rel=0.05)
    assert "Fake GPU, Old card" in found["machine"]["words"]
    assert found["RAM energy"]["verdict"] == "estimated"
    # TensorFlow has no use for fake GPUs, so what they measure is not where trainings run.
    assert found["training"]["verdict"] == "missing"
    assert "on the CPU: TensorFlow finds none of Fake GPU, Old card" in found["training"]["words"]
    assert found["ranking"]["verdict"] == found["CPU energy"]["verdict"]
    assert "--power-limit-w 100 to 350" in found["power limit"]["words"]
    assert found["MLflow"]["words"].endswith("mlflow.db, which the first run will make")
    assert list(tmp_path.iterdir()) == []


def test_gpu_without_a_counter_is_measured_by_samples(nvml):
    nvml.configure({"gpus": [{"has_counter": False}]})
    found = told(doctor.energy_findings(looked(open_nvml(MonotonicClock()))))
    verdict, words = found["GPU energy"]
    assert verdict == "measured"
    assert words.startswith("NVML power samples, integrated; 100 W")


def test_gpu_that_gets_lost_is_a_caution(nvml):
    gpu = {}
    nvml.configure({"gpus": [gpu]})
    source = open_nvml(MonotonicClock())
    look = looked(source, meanwhile=lambda: gpu.update(lost_at_s=nvml.elapsed_s()))
    found = told(doctor.energy_findings(look))
    assert "GPU 0 lost in the window" in found["GPU energy"][1]
    assert found["meter"][0] == "caution" and "the GPU was lost" in found["meter"][1]


def test_gpu_that_was_lost_before_is_absent_and_has_no_watts(nvml):
    nvml.configure({"gpus": [{"lost_at_s": 0}]})
    found = told(doctor.energy_findings(looked(open_nvml(MonotonicClock()))))
    verdict, words = found["GPU energy"]
    assert verdict == "absent"
    assert "GPU_IS_LOST" in words and "nvidia-smi" in words and "just now" not in words


def test_driver_that_does_not_answer_is_absent_with_its_reason(nvml):
    nvml.configure({"gpus": [{}], "init_error": "DRIVER_NOT_LOADED"})
    found = told(doctor.energy_findings(looked(open_nvml(MonotonicClock()))))
    assert found["GPU energy"][0] == "absent"
    assert found["GPU energy"][1].startswith("NVML: DRIVER_NOT_LOADED; ")
    assert found["machine"][1] == hardware.describe().name
    assert list(doctor.power_limit_findings()) == []


@pytest.mark.parametrize("readable", [False, True])
def test_rapl_that_only_root_may_read_comes_with_the_command_that_opens_it(
    tmp_path, monkeypatch, readable
):
    counter = tmp_path / "intel-rapl:0" / "energy_uj"
    counter.parent.mkdir()
    counter.write_text("1\n")
    monkeypatch.setattr(codecarbon, "RAPL_FOLDER", tmp_path)
    # Tests may run as root, who may read everything.
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: readable if path == counter else allowed(path, mode)
    )
    # Without it, a machine whose own RAPL can be read would not estimate.
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "65")
    found = told(doctor.energy_findings(looked(open_codecarbon())))
    verdict, words = found["CPU energy"]
    assert verdict == "estimated" and "load x 65 W TDP" in words
    assert ("RAPL is there but not readable by this user" in words) is not readable
    assert ("`sudo chmod -R a+r /sys/class/powercap/*`" in words) is not readable


def test_parts_are_told_with_their_worth_and_watts():
    found = told(doctor.energy_findings(of_energies(gpu=COUNTER, cpu=RAPL, ram="estimated (20 W)")))
    assert found["GPU energy"] == ("measured", "NVML energy counter; 10 W just now")
    assert found["CPU energy"] == ("measured", "CodeCarbon: RAPL counters; 10 W just now")
    assert found["RAM energy"] == ("estimated", "20 W; 10 W just now")


@pytest.mark.parametrize(
    ("provenances", "gpus", "verdict", "words"),
    [
        ({"gpu": COUNTER, "cpu": LOAD}, 1, "measured", "on the GPU, whose joules are measured"),
        ({"gpu": SAMPLES, "cpu": LOAD}, 0, "estimated", "on the CPU, whose joules are not"),
        ({"cpu": RAPL}, 0, "measured", "on the CPU, whose joules are measured"),
        ({"cpu": RAPL}, 1, "estimated", "on the GPU, whose joules are not"),
        ({"cpu": LOAD}, 0, "estimated", "nearly the fastest"),
    ],
)
def test_ranking_is_worth_what_is_known_of_where_trainings_run(provenances, gpus, verdict, words):
    finding = doctor.ranking_finding(of_energies(**provenances), gpus)
    assert finding.verdict == verdict
    assert words in finding.words


def test_trainings_run_where_tensorflow_says_and_a_gpu_that_it_misses_is_missing(nvml):
    found = told(doctor.training_findings(of_energies(gpu=COUNTER, cpu=LOAD)))
    assert found["training"][0] == "missing"
    assert "pip install 'tensorflow[and-cuda]'" in found["training"][1]
    assert found["ranking"][0] == "estimated"
    nvml.configure({"gpus": []})
    found = told(doctor.training_findings(of_energies(cpu=LOAD)))
    assert found["training"][0] == "ok"
    assert f"on the CPU, {os.cpu_count()} threads" in found["training"][1]


def test_tensorflow_that_does_not_start_is_told_and_stops_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    (found,) = doctor.training_findings(of_energies(cpu=LOAD))
    assert found.verdict == "missing"
    assert found.words.startswith("TensorFlow does not start: ")


def test_idle_power_is_told_or_how_to_take_it(here):
    assert doctor.idle_finding().verdict == "not there"
    assert "`python -m pipeline idle`" in doctor.idle_finding().words
    taken = IdlePower(None, PartPower(12.5, 1, LOAD), None, "2026-01-02", hardware.describe().name)
    save(taken, IDLE_FILE)
    assert doctor.idle_finding() == ("idle power", "ok", "12.5 W, taken on 2026-01-02")
    save(IdlePower(None, None, None, "2026-01-02", "another"), IDLE_FILE)
    assert doctor.idle_finding().verdict == "not there"
    assert doctor.idle_finding().words.startswith("that of another machine; ")
    IDLE_FILE.write_text("{")
    assert doctor.idle_finding().verdict == "missing"
    assert "measure it anew" in doctor.idle_finding().words


def test_carbon_intensity_says_whose_it_is_and_where_one_has_to_say_the_country(monkeypatch):
    monkeypatch.delenv(LIVE_TOKEN, raising=False)
    monkeypatch.setattr(carbon, "_look_up_country", lambda: "FRA")
    found = doctor.carbon_finding()
    assert found.words.startswith(
        f"{carbon.intensity_of('FRA'):g} g/kWh: CodeCarbon's data for FRA"
    )
    assert "--country" not in found.words

    def unknown():
        raise LookupError("no network")

    monkeypatch.setattr(carbon, "_look_up_country", unknown)
    found = doctor.carbon_finding()
    assert found.words.startswith(f"{carbon.world_intensity():g} g/kWh: ")
    assert "no network" in found.words and "--country FRA" in found.words


def test_live_carbon_intensity_that_cannot_be_had_is_missing(monkeypatch):
    def refused(*_):
        raise ValueError("check the token")

    monkeypatch.setenv(LIVE_TOKEN, "wrong")
    monkeypatch.setattr(carbon, "_look_up_country", lambda: "FRA")
    monkeypatch.setattr(carbon, "_live_intensity", refused)
    assert doctor.carbon_finding() == ("carbon intensity", "missing", "check the token")


def test_power_limit_is_told_with_who_may_set_it(nvml, monkeypatch):
    for user, verdict in ((0, "ok"), (1000, "not there")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        (found,) = doctor.power_limit_findings()
        assert found == (
            "power limit",
            verdict,
            "--power-limit-w 100 to 350, which only root may set",
        )


def test_store_that_answers_and_measurements_that_wait_are_told(store, here):
    found = told(doctor.tracking_findings())
    assert found == {"MLflow": ("ok", f"sqlite:///{here / 'mlflow.db'}")}
    JOURNALS.mkdir(parents=True)
    (JOURNALS / "1.jsonl").touch()
    found = told(doctor.tracking_findings())
    assert found["measurements"][1].startswith("of 1 run(s) at work, or not delivered yet")
    assert "`python -m pipeline sync`" in found["measurements"][1]


def test_tracking_server_that_does_not_answer_is_missing_with_its_address(here, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    try:
        (found,) = doctor.tracking_findings()
    finally:
        mlflow.set_tracking_uri(None)
    assert found.verdict == "missing"
    assert found.words.startswith("http://127.0.0.1:9 does not answer: ")
    assert "\n" not in found.words


@pytest.mark.parametrize(
    ("location", "verdict", "words"),
    [
        ("mlflow-artifacts:/0", "ok", "through the tracking server"),
        ("/srv/mlruns/0", "not tried", "/srv/mlruns/0: has to be one folder for this machine"),
        ("file:///srv/mlruns/0", "not tried", "has to be one folder"),
        ("s3://bucket/0", "not tried", "straight from here to s3://bucket/0"),
    ],
)
def test_artifacts_that_were_not_tried_are_not_called_fine(location, verdict, words):
    found = doctor.artifacts_finding(location)
    assert found.verdict == verdict
    assert words in found.words


def test_folder_that_cannot_be_written_or_is_full_is_missing(here, monkeypatch):
    (found,) = doctor.folder_findings(here)
    assert found.verdict == "ok" and str(here) in found.words
    assert list(here.iterdir()) == []
    (found,) = doctor.folder_findings(here / "gone")
    assert found.verdict == "missing" and "cannot be written" in found.words
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 1 << 60)
    (found,) = doctor.folder_findings(here)
    assert found.verdict == "missing" and "may not fit" in found.words


def test_table_keeps_its_columns_in_a_narrow_terminal(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=screen, width=80))
    words = "what is measured and what is estimated [red]and why[/red] " * 5
    doctor._show(
        [doctor.Finding("carbon intensity", "estimated", words), doctor.Finding("a", "ok", "b")]
    )
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    first = next(line for line in lines if "carbon intensity" in line)
    assert re.match(r" *carbon intensity +estimated +what is measured and", first)
    # Names of files and hosts are text, whatever brackets they have.
    assert "[red]and why[/red]" in " ".join(screen.getvalue().split())
