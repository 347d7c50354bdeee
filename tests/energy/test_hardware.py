from types import ModuleType

import psutil
from virtual_clock import VirtualClock

from energy.hardware import describe


def test_the_machine_is_described_in_one_line_with_its_visible_gpus(
    nvml: ModuleType, clock: VirtualClock
) -> None:
    nvml.configure({"gpus": [{"name": "NVIDIA A"}, {"name": "NVIDIA B"}]}, clock.now)
    hardware = describe()
    assert hardware.gpus == ("NVIDIA A", "NVIDIA B")
    assert hardware.ram_bytes == psutil.virtual_memory().total
    assert "\n" not in hardware.name
    assert all(part in hardware.name for part in (hardware.cpu, "NVIDIA A", hardware.os))


def test_a_machine_without_gpu_says_so(nvml: ModuleType, clock: VirtualClock) -> None:
    nvml.configure({"gpus": []}, clock.now)
    assert "no GPU" in describe().name
