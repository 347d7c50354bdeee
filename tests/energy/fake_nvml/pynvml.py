"""A stand-in for `pynvml` whose GPUs use power as a given function of time.

Put this folder first on PYTHONPATH (and on PATH, for the `nvidia-smi` that CodeCarbon looks for).
`FAKE_NVML` holds the configuration as JSON, or the path of a file with it; a test may also call
`configure`. Each GPU is an object with any of:

    name, uuid            text
    power                 {"kind": "constant", "watts": 200}
                          {"kind": "step", "before": 50, "after": 300, "at_s": 1.5}
                          {"kind": "ramp", "before": 50, "after": 300, "over_s": 10}
                          {"kind": "noise", "mean": 200, "swing": 80}
                          {"kind": "schedule", "steps": [[0, 60], [1.5, 300], [4, 60]]}
    counter_period_s      the energy counter moves this often (0.1); 0: always
    power_period_s        the power reading is this old at most (0)
    has_counter, has_power, has_permission      true by default
    reset_at_s, lost_at_s, failing_s: [from, to]
    foreign_s             [from, to] when another process uses the GPU
    utilization           percent (90)
    mig                   uuids of its slices

and the whole has `gpus`, `init_error` (such as "DRIVER_NOT_LOADED"), and `limits_file`, where power
limits outlive a process. Times count from `configure`, or from `origin_s` of the monotonic clock.
`true_energy_j` tells what a GPU has really used.
"""

# ruff: noqa: N802, N816 - the names are those of pynvml

import json
import math
import os
import time
from collections import namedtuple
from pathlib import Path

NVML_TEMPERATURE_GPU = 0
NVML_DEVICE_ARCH_VOLTA = 5
NVML_SUCCESS = 0
NVML_FI_DEV_POWER_INSTANT = 186
NVML_POWER_SCOPE_GPU = 0
_CODES = {
    "UNINITIALIZED": 1,
    "INVALID_ARGUMENT": 2,
    "NOT_SUPPORTED": 3,
    "NO_PERMISSION": 4,
    "ALREADY_INITIALIZED": 5,
    "NOT_FOUND": 6,
    "INSUFFICIENT_SIZE": 7,
    "INSUFFICIENT_POWER": 8,
    "DRIVER_NOT_LOADED": 9,
    "TIMEOUT": 10,
    "IRQ_ISSUE": 11,
    "LIBRARY_NOT_FOUND": 12,
    "FUNCTION_NOT_FOUND": 13,
    "CORRUPTED_INFOROM": 14,
    "GPU_IS_LOST": 15,
    "RESET_REQUIRED": 16,
    "OPERATING_SYSTEM": 17,
    "LIB_RM_VERSION_MISMATCH": 18,
    "MEMORY": 20,
    "UNKNOWN": 999,
}
_WAVES = ((0.31, 0.5), (1.7, 0.3), (7.3, 0.2))

Memory = namedtuple("Memory", "total free used")
Utilization = namedtuple("Utilization", "gpu memory")
Process = namedtuple("Process", "pid usedGpuMemory")
Field = namedtuple("Field", "nvmlReturn value")
Value = namedtuple("Value", "uiVal")


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value

    def __str__(self):
        return next(name for name, code in _CODES.items() if code == self.value)


for _name, _code in _CODES.items():
    globals()[f"NVML_ERROR_{_name}"] = _code
    _class = f"NVMLError_{_name.title().replace('_', '')}"
    globals()[_class] = type(
        _class, (NVMLError,), {"__init__": lambda self, code=_code: NVMLError.__init__(self, code)}
    )


def configure(settings, clock=time.perf_counter):
    """Begin anew with these settings, on this clock."""
    global _settings, _clock, _origin_s, _limits_w
    _settings, _clock = settings, clock
    _origin_s = settings.get("origin_s", clock())
    _limits_w = {}


def elapsed_s():
    """Time on the fake's own scale."""
    return _clock() - _origin_s


def true_energy_j(index, start_s, end_s):
    """What a GPU used between two times of the clock that was given to `configure`."""
    power = _settings["gpus"][index].get("power", {"kind": "constant", "watts": 100})
    return _energy_j(power, end_s - _origin_s) - _energy_j(power, start_s - _origin_s)


def _power_w(power, t):
    match power["kind"]:
        case "constant":
            return power["watts"]
        case "step":
            return power["before"] if t < power["at_s"] else power["after"]
        case "ramp":
            share = min(max(t / power["over_s"], 0), 1)
            return power["before"] + share * (power["after"] - power["before"])
        case "noise":
            return power["mean"] + power["swing"] * sum(
                weight * math.sin(2 * math.pi * hertz * t) for hertz, weight in _WAVES
            )
        case "schedule":
            past = [watts for at_s, watts in power["steps"] if at_s <= t]
            return past[-1] if past else power["steps"][0][1]


def _energy_j(power, t):
    """The analytic integral of `_power_w` from 0 to t."""
    match power["kind"]:
        case "constant":
            return power["watts"] * t
        case "step":
            at_s = power["at_s"]
            return power["before"] * min(t, at_s) + power["after"] * max(t - at_s, 0)
        case "ramp":
            ramped_s = min(max(t, 0), power["over_s"])
            slope = (power["after"] - power["before"]) / power["over_s"]
            ramped_j = power["before"] * ramped_s + slope * ramped_s**2 / 2
            return (
                ramped_j
                + power["before"] * min(t, 0)
                + power["after"] * max(t - power["over_s"], 0)
            )
        case "noise":
            return power["mean"] * t + power["swing"] * sum(
                weight * (1 - math.cos(2 * math.pi * hertz * t)) / (2 * math.pi * hertz)
                for hertz, weight in _WAVES
            )
        case "schedule":
            ends_s = [at_s for at_s, _ in power["steps"][1:]] + [math.inf]
            return sum(
                watts * max(min(t, end_s) - at_s, 0)
                for (at_s, watts), end_s in zip(power["steps"], ends_s, strict=True)
            )


def _gpu(handle):
    gpu, t = _settings["gpus"][handle], elapsed_s()
    if t >= gpu.get("lost_at_s", math.inf):
        raise NVMLError(_CODES["GPU_IS_LOST"])
    start_s, end_s = gpu.get("failing_s", (math.inf, math.inf))
    if start_s <= t < end_s:
        raise NVMLError(_CODES["UNKNOWN"])
    return gpu


def _stepped(t, period_s):
    return math.floor(t / period_s + 1e-9) * period_s if period_s else t


def _power_of(gpu):
    return gpu.get("power", {"kind": "constant", "watts": 100})


def nvmlInit():
    if "init_error" in _settings:
        raise NVMLError(_CODES[_settings["init_error"]])


def nvmlShutdown():
    pass


def nvmlSystemGetDriverVersion():
    return "999.0"


def nvmlDeviceGetCount():
    return len(_settings["gpus"])


def nvmlDeviceGetHandleByIndex(index):
    if not 0 <= index < len(_settings["gpus"]):
        raise NVMLError(_CODES["INVALID_ARGUMENT"])
    return index


def nvmlDeviceGetHandleByUUID(uuid):
    for index, gpu in enumerate(_settings["gpus"]):
        if nvmlDeviceGetUUID(index) == uuid:
            return index
        if uuid in gpu.get("mig", ()):
            return ("mig", index)
    raise NVMLError(_CODES["NOT_FOUND"])


def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle):
    return handle[1]


def nvmlDeviceGetName(handle):
    return _settings["gpus"][handle].get("name", "Fake GPU")


def nvmlDeviceGetUUID(handle):
    return _settings["gpus"][handle].get("uuid", f"GPU-{handle:08d}-fake")


def nvmlDeviceGetTotalEnergyConsumption(handle):
    gpu = _gpu(handle)
    if not gpu.get("has_counter", True):
        raise NVMLError(_CODES["NOT_SUPPORTED"])
    t = elapsed_s()
    stepped_s = _stepped(t, gpu.get("counter_period_s", 0.1))
    since_s = gpu.get("reset_at_s", math.inf)
    # Beyond a reset the counter starts from 0; before, it has run since long ago.
    before_j = 5_000.0 if t < since_s else -_energy_j(_power_of(gpu), max(since_s, 0))
    return max(0, int((before_j + _energy_j(_power_of(gpu), stepped_s)) * 1000))


def nvmlDeviceGetPowerUsage(handle):
    gpu = _gpu(handle)
    if not gpu.get("has_power", True):
        raise NVMLError(_CODES["NOT_SUPPORTED"])
    return round(
        _power_w(_power_of(gpu), _stepped(elapsed_s(), gpu.get("power_period_s", 0))) * 1000
    )


def nvmlDeviceGetFieldValues(handle, fields):
    assert fields == [(NVML_FI_DEV_POWER_INSTANT, NVML_POWER_SCOPE_GPU)]
    return [Field(NVML_SUCCESS, Value(nvmlDeviceGetPowerUsage(handle)))]


def nvmlDeviceGetTemperature(handle, sensor):
    return 40 + _power_w(_power_of(_gpu(handle)), elapsed_s()) / 10


def nvmlDeviceGetTemperatureV(handle, sensor):
    return nvmlDeviceGetTemperature(handle, sensor)


def nvmlDeviceGetArchitecture(handle):
    return NVML_DEVICE_ARCH_VOLTA


def nvmlDeviceGetC2cModeInfoV(handle):
    raise NVMLError(_CODES["NOT_SUPPORTED"])


def _nvmlGetFunctionPointer(name):
    """Zeus takes a module without this for a wrong one."""


def nvmlDeviceGetUtilizationRates(handle):
    return Utilization(_gpu(handle).get("utilization", 90), 10)


def nvmlDeviceGetComputeRunningProcesses(handle):
    gpu = _gpu(handle)
    mine = [Process(os.getpid(), 1 << 30)]
    start_s, end_s = gpu.get("foreign_s", (math.inf, math.inf))
    # Process 1 always exists and is never a child of ours.
    return mine + [Process(1, 1)] * (start_s <= elapsed_s() < end_s)


def nvmlDeviceGetGraphicsRunningProcesses(handle):
    return []


def nvmlDeviceGetMemoryInfo(handle):
    return Memory(16 << 30, 15 << 30, 1 << 30)


def nvmlDeviceGetComputeMode(handle):
    return 0


def _limits_file():
    return Path(_settings["limits_file"]) if "limits_file" in _settings else None


def _limits():
    file = _limits_file()
    if file is None:
        return _limits_w
    return json.loads(file.read_text()) if file.exists() else {}


def nvmlDeviceGetPowerManagementLimit(handle):
    _gpu(handle)
    return _limits().get(str(handle), 350_000)


nvmlDeviceGetEnforcedPowerLimit = nvmlDeviceGetPowerManagementLimit


def nvmlDeviceGetPowerManagementLimitConstraints(handle):
    _gpu(handle)
    return [100_000, 350_000]


def nvmlDeviceSetPowerManagementLimit(handle, milliwatts):
    if not _gpu(handle).get("has_permission", True):
        raise NVMLError(_CODES["NO_PERMISSION"])
    limits = {**_limits(), str(handle): milliwatts}
    file = _limits_file()
    if file is None:
        _limits_w.update(limits)
    else:
        file.write_text(json.dumps(limits))


def _from_environment():
    given = os.environ.get("FAKE_NVML", '{"gpus": [{}]}')
    return json.loads(given if given.lstrip().startswith("{") else Path(given).read_text())


configure(_from_environment())
