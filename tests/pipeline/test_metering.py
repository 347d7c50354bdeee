"""Place, carbon, idle power and calibration, from the command line to the run."""

import json
import os
import statistics
import subprocess
import sys

import pytest

from energy.carbon import intensity_of
from energy.idle import IdlePower, PartPower, save
from pipeline.cache import IDLE_FILE

FAST = ("--dataset", "iris", "--hidden", "16", "--lr", "0.05", "--batch-size", "16")
REACHED = (*FAST, "--target-accuracy", "0.9")


def only_run(client):
    experiment = client.get_experiment_by_name("green")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def test_users_own_carbon_intensity_and_pue_make_the_emissions(store, greenest):
    assert greenest("run", *REACHED, "--carbon-intensity", "100", "--pue", "1.5")[0] == 0
    run = only_run(store)
    expected = run.data.metrics["energy_spent_j"] / 3.6e6 * 100 / 1000 * 1.5
    assert run.data.metrics["emissions_kg"] == pytest.approx(expected)
    assert run.data.tags["carbon.source"] == "given by the user"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--carbon-intensity", "-1"), "--carbon-intensity -1: must be a number from 0"),
        (("--carbon-intensity", "x"), "--carbon-intensity x: must be a number from 0"),
        (("--pue", "0.5"), "--pue 0.5: must be a number from 1"),
        (("--calibration", "1"), "--calibration 1: "),
        (("--calibration", "0,5"), "--calibration 0,5: "),
        (("--calibration", "gone.yaml"), "--calibration gone.yaml: "),
        (("--power-limit-w", "0"), "--power-limit-w 0: must be a number of watts above 0"),
        (("--power-limit-w", "200"), "--power-limit-w 200: "),
    ],
)
def test_bad_metering_option_is_one_line_and_leaves_no_run(store, greenest, words, line):
    code, _, err = greenest("run", *FAST, "--country", "FRA", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"Error: {line}")
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    assert store.search_runs(experiments) == []


def test_calibrated_energy_is_scale_times_raw_plus_offset_times_time(store, greenest):
    assert greenest("run", *REACHED, "--country", "FRA", "--calibration", "1.3,7")[0] == 0
    run = only_run(store)
    raw_j, time_s = run.data.metrics["energy_spent_j"], run.data.metrics["time_spent_s"]
    assert run.data.metrics["calibrated_energy_j"] == pytest.approx(1.3 * raw_j + 7 * time_s)
    assert run.data.tags["energy.calibration"] == "1.3,7"
    assert "at the wall" in run.data.tags["mlflow.note.content"]


def test_net_energy_is_gross_less_idle_power_over_the_time(store, greenest):
    from energy.hardware import describe

    idle = IdlePower(
        gpu=None,
        cpu=PartPower(2.0, 0.1, "estimated (for this test)"),
        ram=PartPower(5.0, 0.1, "estimated (for this test)"),
        measured_on="2026-01-01T00:00:00+00:00",
        hardware=describe().name,
    )
    save(idle, IDLE_FILE)
    assert greenest("run", *REACHED, "--country", "FRA")[0] == 0
    run = only_run(store)
    gross_j, time_s = run.data.metrics["energy_spent_j"], run.data.metrics["time_spent_s"]
    assert run.data.metrics["net_energy_j"] == pytest.approx(gross_j - 7 * time_s)
    assert run.data.tags["energy.idle"] == "7 W, measured 2026-01-01T00:00:00+00:00"


def test_without_an_idle_reading_there_is_no_net_energy(store, greenest):
    assert greenest("run", *REACHED, "--country", "FRA")[0] == 0
    assert "net_energy_j" not in only_run(store).data.metrics


def test_calibrate_finds_the_line_that_made_the_readings(store, greenest, tmp_path):
    rows = [(10.0 * n, 2.0 + n, 1.25 * 10.0 * n + 3.0 * (2.0 + n)) for n in range(1, 9)]
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "readings.csv").write_text("energy_j,duration_s,wall_j\n" + lines)
    code, out, _ = greenest("calibrate", "--readings", "readings.csv")
    assert code == 0
    assert "--calibration 1.25,3" in out
    assert "0.0% (cross-validated)" in out


def test_calibrate_without_readings_is_one_line(store, greenest):
    code, _, err = greenest("calibrate", "--readings", "gone.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("Error: --readings gone.csv: ")


def test_compare_tells_the_emissions_of_the_same_energy_in_other_countries(store, greenest):
    assert greenest("run", *REACHED, "--country", "FRA")[0] == 0
    run = only_run(store)
    _, out, _ = greenest("compare", "--country", "deu,usa", "--json")
    countries = json.loads(out)["countries"]
    assert set(countries) == {"DEU", "USA"}
    energy_j = run.data.metrics["energy_to_accuracy_j"]
    for code, told in countries.items():
        expected = energy_j / 3.6e6 * intensity_of(code) / 1000
        assert told == {run.data.tags["config_id"]: pytest.approx(expected)}
    _, out, _ = greenest("compare", "--country", "DEU")
    assert f"DEU, {intensity_of('DEU'):.0f} g/kWh" in out


def with_fake_gpu(project, folder, gpus, *words):
    """A whole command with the fake NVML first on its path."""
    fake = project / "tests" / "energy" / "fake_nvml"
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(fake), str(project)]),
            "PATH": os.pathsep.join([str(fake), os.environ["PATH"]]),
            "FAKE_NVML": json.dumps({"gpus": gpus}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_gpu_joules_of_a_run_are_the_fakes_truth_per_epoch_and_in_total(store, project, tmp_path):
    gpu = {"power": {"kind": "constant", "watts": 250}, "utilization": 80}
    done = with_fake_gpu(
        *(project, tmp_path, [gpu], "run", "--dataset", "iris", "--lr", "1e-6"),
        *("--max-epochs", "3000", "--country", "FRA"),
    )
    assert done.returncode == 0, done.stderr
    run = only_run(store)
    metrics, run_id = run.data.metrics, run.info.run_id
    assert run.data.tags["energy.gpu"].startswith("measured (NVML")
    truth_j = 250 * metrics["time_spent_s"]
    assert abs(metrics["gpu_energy_j"] - truth_j) <= max(metrics["energy_error_j"], 0.01 * truth_j)
    # CodeCarbon's own figure for the same GPU is logged beside ours, and not added to it.
    assert metrics["codecarbon_gpu_energy_j"] == pytest.approx(truth_j, rel=0.1)
    parts = [metrics[f"{part}_energy_j"] for part in ("gpu", "cpu", "ram")]
    assert metrics["energy_spent_j"] == pytest.approx(sum(parts))
    energies = [point.value for point in store.get_metric_history(run_id, "epoch_energy_j")]
    times = [point.value for point in store.get_metric_history(run_id, "epoch_time_s")]
    assert len(energies) == 3000
    assert sum(energies) < metrics["energy_spent_j"]
    # Above what the fake draws lies only what CPU and RAM add.
    others_w = (metrics["cpu_energy_j"] + metrics["ram_energy_j"]) / metrics["time_spent_s"]
    mean_w = sum(energies) / sum(times)
    assert mean_w == pytest.approx(250 + others_w, rel=0.05)
    powers = {point.value for point in store.get_metric_history(run_id, "gpu_power_w")}
    assert statistics.median(powers) == pytest.approx(250, rel=0.1)
    assert store.get_metric_history(run_id, "gpu_utilization")[0].value == pytest.approx(0.8)


def test_power_limit_is_set_for_the_training_and_put_back(store, project, tmp_path):
    limits = tmp_path / "limits.json"
    gpu = {"power": {"kind": "constant", "watts": 200}}
    words = ("run", *FAST, "--target-accuracy", "0.9", "--country", "FRA")
    fake = {"gpus": [gpu], "limits_file": str(limits)}
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(project / "tests/energy/fake_nvml"), str(project)]),
        "FAKE_NVML": json.dumps(fake),
    }
    command = [sys.executable, "-m", "pipeline", *words, "--power-limit-w", "150"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert only_run(store).data.params["power_limit_w"] == "150.0"
    changed = json.loads(limits.read_text())
    assert 150 not in [value / 1000 for value in changed.values()], changed
    assert not (tmp_path / ".cache" / "power_limit.json").exists()


def test_idle_on_a_busy_machine_says_how_busy_and_keeps_nothing(store, greenest, monkeypatch):
    from energy import idle

    monkeypatch.setattr(idle, "BUSY_CPU_UTILIZATION", -1.0)
    code, _, err = greenest("idle", "--seconds", "1")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("Error: idle power: the CPU is ") and "% busy" in err
    assert not IDLE_FILE.exists()


def test_idle_keeps_what_it_measured_for_later_runs(store, greenest, monkeypatch):
    from energy import idle

    monkeypatch.setattr(idle, "BUSY_CPU_UTILIZATION", 2.0)
    assert greenest("idle", "--seconds", "2")[0] == 0
    assert greenest("run", *REACHED, "--country", "FRA")[0] == 0
    assert only_run(store).data.tags["energy.idle"].endswith("00:00")
    assert "net_energy_j" in only_run(store).data.metrics
