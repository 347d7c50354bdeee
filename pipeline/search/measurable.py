"""Whether what a search looks for, and what is to end it, can be told on this machine at all."""

from typing import TYPE_CHECKING

from pipeline.choice.objectives import ENERGY_PARTS, PLACE
from pipeline.search.goal import OPTION
from pipeline.search.plan import Plan
from steps import quantization_modes
from steps.errors import InputError

if TYPE_CHECKING:
    from energy import EnergyMeter

OF_SMALLER_MODELS = ("average_bitwidth", "memory_density", "bit_operations")
PER_INFERENCE = "energy_per_inference_j"


def require_recorded(plan: Plan) -> None:
    """See that the trainings of a search will have what it looks for.

    Raises:
        InputError: the step that would measure it does not come.
    """
    from pipeline.tracking.variants import OF_FLOAT32, QUANTIZED

    decided = {name for each in plan.space.parameters for name in each.hyperparameters}
    mode = plan.fixed.get("quantization", quantization_modes.NONE)
    quantizes = "quantization" in decided or mode != quantization_modes.NONE
    for metric in plan.goal.metrics:
        if metric.endswith(PER_INFERENCE):
            problem = f"{metric} is not measured in a search, which has no time for its windows"
            raise InputError(OPTION, plan.goal.name, problem)
        of_quantize = metric in OF_FLOAT32 or metric in OF_SMALLER_MODELS
        if not quantizes and (of_quantize or metric.startswith(QUANTIZED) or "/" in metric):
            problem = f"{metric} comes from the quantize step: give --quantization, such as int8"
            raise InputError(OPTION, plan.goal.name, problem)


def require_measured(plan: Plan, meter: "EnergyMeter", *, workers_elsewhere: bool) -> None:
    """See that the meter tells what is looked for, and what is to end the search.

    Args:
        plan: of the search.
        meter: of this machine.
        workers_elsewhere: whether trainings may run on other machines, whose energy only they know.

    Raises:
        InputError: it does not: nothing would ever be found, or the search would never end.
    """
    missing: dict[str, str] = {}
    if not (workers_elsewhere or _measures_energy(meter)):
        missing[ENERGY_PARTS] = "no energy is measured here: python -m pipeline doctor says why"
    if meter.carbon.intensity_g_per_kwh is None:
        problem = "no carbon intensity is known here: give --country or --carbon-intensity"
        missing[PLACE] = problem
    energy_j, emissions_kg = plan.limits.energy_j, plan.limits.emissions_kg
    asked = (
        ("--budget-kj", energy_j and f"{energy_j / 1000:g}", {ENERGY_PARTS}),
        ("--budget-g", emissions_kg and f"{emissions_kg * 1000:g}", {ENERGY_PARTS, PLACE}),
        (OPTION, plan.goal.name, plan.goal.rests_on),
    )
    for option, typed, rests_on in asked:
        for thing, problem in missing.items():
            if typed and thing in rests_on:
                raise InputError(option, typed, problem)


def _measures_energy(meter: "EnergyMeter") -> bool:
    with meter.window("whether anything is measured") as window:
        pass
    return not all(told.startswith("absent") for told in window.measurement.provenance.values())
