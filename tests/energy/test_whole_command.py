"""A whole program with the fake NVML first on its path, as a user's program would run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import energy

ROOT = Path(__file__).parents[2]
FAKE_NVML = Path(__file__).parent / "fake_nvml"

PROGRAM = """
import json, time
from energy import EnergyMeter
with EnergyMeter.for_this_machine(country="FRA") as meter:
    with meter.window("training") as window:
        epochs = []
        for _ in range(4):
            time.sleep(0.6)
            epochs.append(window.lap())
m = window.measurement
print(json.dumps({
    "seconds": m.duration_s, "gpu_j": m.gpu_energy_j, "error_j": m.gpu.error_j,
    "codecarbon_gpu_j": m.codecarbon_gpu_energy_j, "energy_j": m.energy_j,
    "parts_j": [m.gpu_energy_j, m.cpu_energy_j, m.ram_energy_j],
    "provenance": dict(m.provenance), "flags": sorted(m.flags),
    "epochs": [[e.duration_s, e.gpu_energy_j, e.gpu.error_j] for e in epochs],
}))
"""


def run(program: str, folder: Path, **environment: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_gpu_joules_are_the_fakes_truth_in_total_and_per_epoch_and_agree_with_codecarbon(
    tmp_path: Path,
) -> None:
    gpus = [{"power": {"kind": "constant", "watts": watts}} for watts in (250, 50)]
    told = json.loads(
        run(
            PROGRAM,
            tmp_path,
            PYTHONPATH=os.pathsep.join([str(FAKE_NVML), str(ROOT)]),
            PATH=os.pathsep.join([str(FAKE_NVML), os.environ["PATH"]]),
            FAKE_NVML=json.dumps({"gpus": gpus}),
        )
    )
    assert abs(told["gpu_j"] - 300 * told["seconds"]) <= told["error_j"]
    for seconds, gpu_j, error_j in told["epochs"]:
        assert abs(gpu_j - 300 * seconds) <= error_j
    # CodeCarbon reads the same counter, only without care for the edges.
    assert abs(told["codecarbon_gpu_j"] - told["gpu_j"]) <= told["error_j"] + 300 * 0.1
    assert told["energy_j"] == sum(told["parts_j"])
    assert told["provenance"]["gpu"] == "measured (NVML energy counter)"


def test_with_a_broken_driver_nothing_reads_zero(tmp_path: Path) -> None:
    told = json.loads(
        run(
            PROGRAM,
            tmp_path,
            PYTHONPATH=os.pathsep.join([str(FAKE_NVML), str(ROOT)]),
            PATH=os.pathsep.join([str(FAKE_NVML), os.environ["PATH"]]),
            FAKE_NVML=json.dumps({"gpus": [{}], "init_error": "DRIVER_NOT_LOADED"}),
        )
    )
    assert told["gpu_j"] is None and told["codecarbon_gpu_j"] is None
    assert told["provenance"]["gpu"] == "absent (NVML: DRIVER_NOT_LOADED)"
    assert told["provenance"]["ram"].startswith("estimated (")
    assert told["energy_j"] == sum(told["parts_j"][1:])


def test_the_example_in_the_package_runs_and_has_less_than_ten_lines(tmp_path: Path) -> None:
    assert energy.__doc__ is not None
    [example] = re.findall(r"(?:^    .*\n|^\n)+", energy.__doc__.strip() + "\n", re.MULTILINE)[0:1]
    lines = dedent(example).strip()
    assert len(lines.splitlines()) < 10
    printed = run(f"def do_the_work(): sum(range(10**6))\n{lines}", tmp_path)
    assert "'gpu': " in printed and "estimated (CodeCarbon" in printed
