"""The machine in a few words."""

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

from energy.sources.nvml import visible_gpu_names


@dataclass(frozen=True)
class Hardware:
    """What a measurement was taken on.

    Attributes:
        cpu: The processor's name, with the number of threads.
        gpus: Names of the GPUs that this process can see, as NVML tells them.
        ram_bytes: Size of the memory in bytes.
        os: Operating system, without its version: an update makes no other machine.
    """

    cpu: str
    gpus: tuple[str, ...]
    ram_bytes: int
    os: str

    @property
    def name(self) -> str:
        """All of it in one line."""
        gpus = ", ".join(self.gpus) or "no GPU"
        return f"{self.cpu}; {gpus}; {self.ram_bytes / 2**30:.0f} GiB; {self.os}"


def describe() -> Hardware:
    """Describe this machine."""
    return Hardware(
        cpu=f"{_cpu_name()} ({psutil.cpu_count()} threads)",
        gpus=visible_gpu_names(),
        ram_bytes=psutil.virtual_memory().total,
        os=platform.system(),
    )


def _cpu_name() -> str:
    """The processor's marketing name, which `platform` does not know on Linux."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        described = ""
    names = [line for line in described.splitlines() if line.startswith("model name")]
    named = names[0].partition(":")[2].strip() if names else platform.processor()
    return named or platform.machine()
