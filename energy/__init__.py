"""Energy and carbon of any block of Python, measured or honestly estimated.

    from energy import EnergyMeter

    with EnergyMeter.for_this_machine(country="FRA") as meter:
        with meter.window("work") as window:
            do_the_work()
        print(window.measurement.energy_j, window.measurement.provenance)

The package knows nothing of what it measures. Joules that nobody measured are None, never 0.
"""

from energy.calibration import Calibration
from energy.carbon import Carbon
from energy.idle import IdlePower
from energy.measurement import Measurement
from energy.meter import EnergyMeter
from energy.sources.base import Part, Source
from energy.window import Window

__all__ = [
    "Calibration",
    "Carbon",
    "EnergyMeter",
    "IdlePower",
    "Measurement",
    "Part",
    "Source",
    "Window",
]
