"""GPUs by Zeus, where it is installed: AMD's, NVIDIA's Jetson and Apple silicon.

Only Zeus's device layer is used. Its `ZeusMonitor` would synchronize PyTorch or JAX by itself;
here the meter's own `sync` does that. Written against the sources of zeus 0.16.0.
"""

from collections.abc import Callable, Sequence
from typing import Any

from energy.clock import Clock
from energy.sources.base import Source
from energy.sources.device import Device, DeviceError, DeviceLostError, UnsupportedError
from energy.sources.gpu import GpuSource
from energy.sources.null import NullSource


class ZeusDevice:
    """One GPU of Zeus's `get_gpus`.

    Args:
        gpu: Zeus's object for it.
    """

    is_slice = False

    def __init__(self, gpu: Any) -> None:
        self._gpu = gpu
        self.name = str(_ask(gpu.get_name))

    def energy_j(self) -> float:
        """Joules since the driver was loaded."""
        return float(_ask(self._gpu.get_total_energy_consumption)) / 1000

    def power_w(self) -> float:
        """Power in watts."""
        return float(_ask(self._gpu.get_instant_power_usage)) / 1000

    def temperature_c(self) -> float:
        """Temperature in degrees Celsius."""
        return float(_ask(self._gpu.get_gpu_temperature))

    def utilization(self) -> float:
        """Zeus does not tell it."""
        raise UnsupportedError("Zeus tells no utilization")

    def has_foreign_process(self) -> bool:
        """Zeus does not tell it."""
        raise UnsupportedError("Zeus tells no processes")


class ZeusChip:
    """The GPU on a chip of Zeus's `get_soc`.

    Args:
        chip: Zeus's object for the chip.
    """

    is_slice = False

    def __init__(self, chip: Any) -> None:
        self._chip = chip
        self.name = type(chip).__name__

    def energy_j(self) -> float:
        """Joules since Zeus began to watch the chip."""
        totals = _ask(self._chip.get_total_energy_consumption)
        # Apple's measurement and Jetson's call it by different names.
        for field in ("gpu_mj", "gpu_energy_mj"):
            if (millijoules := getattr(totals, field, None)) is not None:
                return float(millijoules) / 1000
        raise UnsupportedError(f"Zeus tells no GPU energy of {self.name}")

    def power_w(self) -> float:
        """Zeus does not tell it."""
        raise UnsupportedError("Zeus tells no power of a chip")

    temperature_c = utilization = power_w

    def has_foreign_process(self) -> bool:
        """Zeus does not tell it."""
        raise UnsupportedError("Zeus tells no processes")


def open_zeus(clock: Clock) -> Source:
    """The GPUs that Zeus sees, or a source that says why there are none.

    Args:
        clock: The meter's clock.
    """
    try:
        from zeus.device import get_gpus, get_soc
    except ImportError:
        return NullSource(["gpu"], "Zeus is not installed")
    openers: Sequence[Callable[[], Sequence[Device]]] = (
        lambda: [ZeusDevice(gpu) for gpu in get_gpus().gpus],
        lambda: [ZeusChip(get_soc())],
    )
    reasons = []
    for opener in openers:
        try:
            if devices := opener():
                return GpuSource(devices, clock, library="Zeus")
        except Exception as error:
            # Zeus raises what the vendor's library raised, whichever that is.
            reasons.append(str(error))
    return NullSource(["gpu"], f"Zeus: {'; '.join(reasons)}")


def _ask(question: Callable[[], Any]) -> Any:
    from zeus.device import gpu as errors
    from zeus.exception import ZeusBaseError

    try:
        return question()
    except errors.ZeusGPUNotSupportedError as error:
        raise UnsupportedError(str(error)) from error
    except (errors.ZeusGPULostError, errors.ZeusGPUResetRequiredError) as error:
        raise DeviceLostError(str(error)) from error
    except ZeusBaseError as error:
        raise DeviceError(str(error)) from error
