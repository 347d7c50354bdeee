"""The power limit, against the fake NVML only: a real card is nobody's toy."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from virtual_clock import VirtualClock

from energy.power_limit import power_limit, restore_left_over

FAKE_NVML = Path(__file__).parent / "fake_nvml"
DEFAULT_MW = 350_000


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "power_limit.json"


def test_the_limit_holds_in_the_block_and_is_put_back_after_it(
    nvml: ModuleType, clock: VirtualClock, record: Path
) -> None:
    nvml.configure({"gpus": [{}, {}]}, clock.now)
    nvml.nvmlDeviceSetPowerManagementLimit(1, 300_000)
    with power_limit(150, record):
        assert [nvml.nvmlDeviceGetPowerManagementLimit(gpu) for gpu in (0, 1)] == [150_000] * 2
        assert record.exists()
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == DEFAULT_MW
    assert nvml.nvmlDeviceGetPowerManagementLimit(1) == 300_000
    assert not record.exists()


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_limit_is_put_back_when_the_block_raises(
    raised: type[BaseException], nvml: ModuleType, record: Path
) -> None:
    with pytest.raises(raised), power_limit(150, record):
        raise raised
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == DEFAULT_MW


@pytest.mark.parametrize("watts", [99, 351, -1, float("nan")])
def test_a_limit_that_the_gpu_does_not_allow_is_refused_before_anything_is_set(
    watts: float, nvml: ModuleType, record: Path
) -> None:
    with (
        pytest.raises(ValueError, match="Fake GPU allows 100 to 350 W"),
        power_limit(watts, record),
    ):
        pytest.fail("the block must not run")
    assert not record.exists()


def test_a_missing_permission_is_one_clear_line_and_leaves_nothing_behind(
    nvml: ModuleType, clock: VirtualClock, record: Path
) -> None:
    nvml.configure({"gpus": [{}, {"has_permission": False}]}, clock.now)
    told = "may not set it on Fake GPU; run as root"
    with pytest.raises(PermissionError, match=told) as refused, power_limit(150, record):
        pytest.fail("the block must not run")
    assert "\n" not in str(refused.value)
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == DEFAULT_MW
    assert not record.exists()


def test_without_a_gpu_a_limit_is_refused(
    nvml: ModuleType, clock: VirtualClock, record: Path
) -> None:
    nvml.configure({"gpus": []}, clock.now)
    with pytest.raises(ValueError, match="cannot be set here"), power_limit(150, record):
        pytest.fail("the block must not run")


HOLD = """
import signal, sys, time
from pathlib import Path
# A shell starts what is in the background with Ctrl-C ignored, and what that starts inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from energy.power_limit import power_limit
with power_limit(150, Path(sys.argv[1])):
    print("limited", flush=True)
    time.sleep(60)
"""


def start_holder(record: Path, limits: Path) -> subprocess.Popen[str]:
    settings = {"gpus": [{}], "limits_file": str(limits)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(record)],
        env={
            **os.environ,
            "PYTHONPATH": f"{FAKE_NVML}{os.pathsep}{Path(__file__).parents[2]}",
            "FAKE_NVML": json.dumps(settings),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "limited\n"
    return holder


def test_the_next_start_puts_back_what_a_killed_process_left(
    nvml: ModuleType, clock: VirtualClock, record: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.json"
    nvml.configure({"gpus": [{}], "limits_file": str(limits)}, clock.now)
    holder = start_holder(record, limits)
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == 150_000
    assert not restore_left_over(record), "the process still runs"
    with pytest.raises(ValueError, match="another running process holds"), power_limit(200, record):
        pytest.fail("the block must not run")
    holder.kill()
    holder.communicate()
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == 150_000
    assert restore_left_over(record)
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == DEFAULT_MW
    assert not record.exists()


def test_ctrl_c_puts_the_limit_back(
    nvml: ModuleType, clock: VirtualClock, record: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.json"
    nvml.configure({"gpus": [{}], "limits_file": str(limits)}, clock.now)
    holder = start_holder(record, limits)
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=30)
    assert nvml.nvmlDeviceGetPowerManagementLimit(0) == DEFAULT_MW
    assert not record.exists()


def test_a_broken_record_is_named(record: Path) -> None:
    record.parent.mkdir()
    record.write_text("{}")
    with pytest.raises(ValueError, match=r"power_limit\.json: cannot be read"):
        restore_left_over(record)
