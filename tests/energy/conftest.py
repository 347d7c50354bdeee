import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from virtual_clock import VirtualClock

from energy import EnergyMeter
from energy.sources.nvml import open_nvml

FAKE_NVML = Path(__file__).parent / "fake_nvml"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch, clock: VirtualClock) -> ModuleType:
    """The fake NVML in place of `pynvml`, on the virtual clock, with one GPU of 100 W."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("FAKE_NVML", raising=False)
    spec = importlib.util.spec_from_file_location("pynvml", FAKE_NVML / "pynvml.py")
    assert spec is not None and spec.loader is not None
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    fake.configure({"gpus": [{}]}, clock.now)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def gpu_meter(nvml: ModuleType, clock: VirtualClock) -> Callable[..., EnergyMeter]:
    """Makes a meter of the given fake GPUs on the virtual clock."""

    def make(*gpus: dict[str, Any]) -> EnergyMeter:
        nvml.configure({"gpus": list(gpus)}, clock.now)
        meter = EnergyMeter([open_nvml(clock)], clock=clock, background=False)
        clock.drive(meter)
        return meter

    return make
