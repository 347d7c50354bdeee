"""NVIDIA's GPUs by NVML (`pynvml`, from the package `nvidia-ml-py`)."""

import os
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from energy.clock import Clock
from energy.sources.base import Source
from energy.sources.device import (
    DeviceError,
    DeviceLostError,
    ForbiddenError,
    UnsupportedError,
)
from energy.sources.gpu import GpuSource
from energy.sources.null import NullSource


class NvmlDevice:
    """One GPU behind NVML.

    Args:
        nvml: The module `pynvml`, initialized.
        handle: NVML's handle of the physical GPU.
        is_slice: Whether this process sees only a MIG slice of it.
    """

    def __init__(self, nvml: Any, handle: Any, *, is_slice: bool = False) -> None:
        self._nvml = nvml
        self._handle = handle
        self.is_slice = is_slice
        self.name = _text(self._ask(nvml.nvmlDeviceGetName))
        self.uuid = _text(self._ask(nvml.nvmlDeviceGetUUID))

    def energy_j(self) -> float:
        """Joules since the driver was loaded."""
        return float(self._ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption)) / 1000

    def power_w(self) -> float:
        """Power in watts."""
        return float(self._ask(self._nvml.nvmlDeviceGetPowerUsage)) / 1000

    def temperature_c(self) -> float:
        """Temperature of the chip in degrees Celsius."""
        sensor = self._nvml.NVML_TEMPERATURE_GPU
        return float(self._ask(self._nvml.nvmlDeviceGetTemperature, sensor))

    def utilization(self) -> float:
        """Share of NVML's last sample period in which a kernel was running, 0 to 1."""
        return float(self._ask(self._nvml.nvmlDeviceGetUtilizationRates).gpu) / 100

    def has_foreign_process(self) -> bool:
        """Whether a compute process that is neither ours nor a child of ours is on the GPU."""
        running = self._ask(self._nvml.nvmlDeviceGetComputeRunningProcesses)
        pids = [process.pid for process in running if process.pid != os.getpid()]
        if not any(psutil.pid_exists(pid) for pid in pids):
            # NVML tells the host's ids. In a container they mean nothing, and one of them may
            # be our own: only a second one is surely somebody else's.
            return len(pids) > 1
        return any(not _is_descendant(pid) for pid in pids)

    def power_limit_w(self) -> float:
        """The power limit that is set, in watts."""
        return float(self._ask(self._nvml.nvmlDeviceGetPowerManagementLimit)) / 1000

    def power_limit_range_w(self) -> tuple[float, float]:
        """The least and the greatest power limit that can be set, in watts."""
        least, greatest = self._ask(self._nvml.nvmlDeviceGetPowerManagementLimitConstraints)
        return least / 1000, greatest / 1000

    def set_power_limit_w(self, watts: float) -> None:
        """Set the power limit, in watts; for all users of the GPU, until it is set again."""
        self._ask(self._nvml.nvmlDeviceSetPowerManagementLimit, round(watts * 1000))

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            raise _translate(self._nvml, error) from error


def open_nvml(clock: Clock, environment: Mapping[str, str] = os.environ) -> Source:
    """The GPUs that this process can see, or a source that says why there are none.

    Args:
        clock: The meter's clock.
        environment: Where `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER` are read.
    """
    try:
        devices, remark = visible_devices(environment)
    except DeviceError as error:
        return NullSource(["gpu"], str(error))
    return GpuSource(devices, clock, library="NVML", remark=remark)


def visible_gpu_names(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the GPUs that this process can see; none where NVML cannot tell.

    Args:
        environment: Where `CUDA_VISIBLE_DEVICES` is read.
    """
    try:
        devices, _ = visible_devices(environment)
    except DeviceError:
        return ()
    return tuple(device.name for device in devices)


def visible_devices(environment: Mapping[str, str] = os.environ) -> tuple[list[NvmlDevice], str]:
    """The devices that CUDA would show this process, and a remark where the match is unsure.

    Args:
        environment: Where `CUDA_VISIBLE_DEVICES` and `CUDA_DEVICE_ORDER` are read.

    Raises:
        UnsupportedError: NVML does not work here, or no device is visible.
    """
    try:
        import pynvml
    except ImportError as error:
        raise UnsupportedError("nvidia-ml-py is not installed") from error
    try:
        pynvml.nvmlInit()
        devices, remark = _match(pynvml, environment)
    except pynvml.NVMLError as error:
        raise UnsupportedError(f"NVML: {error}") from error
    if not devices:
        raise UnsupportedError("no NVIDIA GPU is visible to this process")
    return devices, remark


def _match(nvml: Any, environment: Mapping[str, str]) -> tuple[list[NvmlDevice], str]:
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [NvmlDevice(nvml, handle) for handle in handles], ""
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    chosen: dict[int, bool] = {}
    entries = [entry.strip() for entry in visible.split(",")]
    for entry in entries:
        index, is_slice = _find(nvml, entry, uuids)
        if index is None:
            # CUDA ignores an entry that it cannot match, and all that follow it.
            break
        chosen[index] = chosen.get(index, False) or is_slice
    devices = [
        NvmlDevice(nvml, handles[index], is_slice=is_slice) for index, is_slice in chosen.items()
    ]
    unsure = (
        any(entry.isdecimal() for entry in entries)
        and len({_text(nvml.nvmlDeviceGetName(handle)) for handle in handles}) > 1
        and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    )
    return devices, "unlike GPUs without CUDA_DEVICE_ORDER=PCI_BUS_ID" if unsure else ""


def _find(nvml: Any, entry: str, uuids: list[str]) -> tuple[int | None, bool]:
    """Index of the GPU that an entry of `CUDA_VISIBLE_DEVICES` means, and whether as a slice."""
    if entry.isdecimal():
        index = int(entry)
        return (index if index < len(uuids) else None), False
    if entry.startswith("MIG-GPU-"):
        # Drivers before 470: MIG-GPU-<uuid>/<instance>/<instance>.
        entry, is_slice = entry.removeprefix("MIG-").split("/")[0], True
    elif entry.startswith("MIG-"):
        try:
            slice_handle = nvml.nvmlDeviceGetHandleByUUID(entry)
            whole = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(slice_handle)
        except nvml.NVMLError:
            return None, True
        entry, is_slice = _text(nvml.nvmlDeviceGetUUID(whole)), True
    else:
        is_slice = False
    matches = [index for index, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
    return (matches[0] if len(matches) == 1 else None), is_slice


def _translate(nvml: Any, error: Any) -> DeviceError:
    never = {nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND}
    gone = {nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED}
    if error.value == nvml.NVML_ERROR_NO_PERMISSION:
        return ForbiddenError(str(error))
    if error.value in never:
        return UnsupportedError(str(error))
    if error.value in gone:
        return DeviceLostError(str(error))
    return DeviceError(str(error))


def _is_descendant(pid: int) -> bool:
    try:
        return any(parent.pid == os.getpid() for parent in psutil.Process(pid).parents())
    except psutil.Error:
        return False


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
