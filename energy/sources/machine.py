"""All the sources of this machine."""

from energy.clock import Clock
from energy.sources.base import Source
from energy.sources.codecarbon import open_codecarbon
from energy.sources.null import NullSource
from energy.sources.nvml import open_nvml
from energy.sources.zeus import open_zeus


def open_all(clock: Clock) -> list[Source]:
    """Open all that can be measured here: GPUs by NVML, else by Zeus; the rest by CodeCarbon.

    Args:
        clock: The meter's clock.
    """
    nvml = open_nvml(clock)
    zeus = [open_zeus(clock)] if isinstance(nvml, NullSource) else []
    return [nvml, *zeus, open_codecarbon()]
