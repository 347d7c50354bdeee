"""A power limit for the visible GPUs, put back whatever happens.

The limit outlives the process that set it, for all users of the GPU. So what was there before is
written to a small record file first: if the process is killed, the next start finds the record
and puts the old limits back.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from energy.sources.device import DeviceError, ForbiddenError
from energy.sources.nvml import NvmlDevice, visible_devices


@contextlib.contextmanager
def power_limit(watts: float, record: Path) -> Iterator[None]:
    """Run a block with a power limit on every GPU that this process can see.

    Args:
        watts: The limit per GPU, in watts.
        record: File to keep the old limits in while the block runs; its folder is made.

    Raises:
        ValueError: The limit is outside of what a GPU allows, there is no GPU, or another
            process holds `record`.
        PermissionError: This user may not set the limit.
    """
    restore_left_over(record)
    if record.exists():
        raise ValueError(f"power limit {watts:g} W: another running process holds {record}")
    try:
        devices, _ = visible_devices()
        for device in devices:
            least_w, greatest_w = device.power_limit_range_w()
            if not least_w <= watts <= greatest_w:
                raise ValueError(
                    f"power limit {watts:g} W: {device.name} allows {least_w:g} to {greatest_w:g} W"
                )
        before = {device.uuid: device.power_limit_w() for device in devices}
    except DeviceError as error:
        raise ValueError(f"power limit {watts:g} W: cannot be set here ({error})") from error
    _write(record, before)
    try:
        for device in devices:
            _set(device, watts)
        yield
    finally:
        _put_back(devices, before)
        record.unlink(missing_ok=True)


def restore_left_over(record: Path) -> bool:
    """Put back the limits that a killed process left behind.

    Args:
        record: The file that `power_limit` was given.

    Returns:
        Whether there was something to put back. A record of a process that still runs is left.

    Raises:
        ValueError: The file is not a record of `power_limit`.
        PermissionError: This user may not set the limit.
    """
    if not record.exists():
        return False
    try:
        kept = json.loads(record.read_text(encoding="utf-8"))
        owner, before = (kept["pid"], kept["started_s"]), dict(kept["limits_w"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"power limit record {record}: cannot be read ({error})") from error
    if _is_running(*owner):
        return False
    # All GPUs, not only the visible ones: the killed process may have seen others.
    devices, _ = visible_devices(environment={})
    _put_back(devices, before)
    record.unlink()
    return True


def _set(device: NvmlDevice, watts: float) -> None:
    try:
        device.set_power_limit_w(watts)
    except ForbiddenError as error:
        raise PermissionError(
            f"power limit {watts:g} W: this user may not set it on {device.name}; "
            "run as root, or leave the limit out"
        ) from error


def _put_back(devices: list[NvmlDevice], before: dict[str, float]) -> None:
    for device in devices:
        if device.uuid in before and device.power_limit_w() != before[device.uuid]:
            _set(device, before[device.uuid])


def _write(record: Path, before: dict[str, float]) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    me = psutil.Process()
    kept = {"pid": me.pid, "started_s": _started_s(me), "limits_w": before}
    # "x", and on the disk before the first limit changes: two starts cannot both take it, and
    # a kill at any later moment finds it whole.
    with record.open("x", encoding="utf-8") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())


def _is_running(pid: int, started_s: float) -> bool:
    try:
        return abs(_started_s(psutil.Process(pid)) - started_s) < 1
    except psutil.Error:
        return False


def _started_s(process: psutil.Process) -> float:
    """Since the machine's start: the time of day may be set meanwhile."""
    return process.create_time() - psutil.boot_time()
