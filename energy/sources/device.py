"""What a single GPU can be asked, whatever library asks it."""

from typing import Protocol


class DeviceError(Exception):
    """A reading failed this time; the next may succeed."""


class DeviceLostError(DeviceError):
    """The device is gone and will not come back to this process."""


class UnsupportedError(DeviceError):
    """The device can never tell this."""


class ForbiddenError(UnsupportedError):
    """This user may not do that."""


class Device(Protocol):
    """One GPU. Each method raises a `DeviceError` where it cannot tell."""

    @property
    def name(self) -> str:
        """The product's name."""
        ...

    @property
    def is_slice(self) -> bool:
        """Whether this process sees only a slice (MIG) of the GPU that is measured."""
        ...

    def energy_j(self) -> float:
        """Joules since some fixed moment, by the device's counter."""
        ...

    def power_w(self) -> float:
        """Power in watts at this moment."""
        ...

    def temperature_c(self) -> float:
        """Temperature in degrees Celsius."""
        ...

    def utilization(self) -> float:
        """Share of the last sensor period in which the device was busy, 0 to 1."""
        ...

    def has_foreign_process(self) -> bool:
        """Whether a process that is not ours has the device open."""
        ...
