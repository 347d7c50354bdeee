"""What the figures of a ranking are worth, and whether they compare at all."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.choice.comparable import hardware_of
from pipeline.choice.objectives import ENERGY_PARTS, MACHINE, PLACE, Objective
from pipeline.choice.ranking import Choice
from pipeline.units import PARTS, flags_in_words
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.tracking import RecordedRun


def places(runs: Iterable["RecordedRun"]) -> set[str]:
    """Carbon intensities (and what they are multiplied by) that the emissions rest on."""
    return {
        f"{run.tags.get('carbon.place', 'unknown')} at "
        f"{run.tags.get('carbon.intensity_g_per_kwh', 'unknown')} g/kWh"
        + ("" if run.tags.get("carbon.pue", "1") == "1" else f", PUE {run.tags['carbon.pue']}")
        for run in runs
    }


def provenance(choice: Choice) -> dict[str, list[str]]:
    """By part of the energy, what its joules are worth in the ranked runs."""
    runs = _ranked_runs(choice)
    return {
        part: sorted({run.tags.get(f"energy.{part}") or "absent" for run in runs}) for part in PARTS
    }


def refuse_mixed(choice: Choice, objective: Objective) -> None:
    """Refuse to rank what does not compare.

    A machine that draws half the power, or a part of the energy that was absent in some runs,
    would win by what it is and not by its configuration, and no repeat would tell.

    Raises:
        InputError: runs of the ranking differ in what the objective rests on; it says how to pick.
    """
    runs = _ranked_runs(choice)
    machines = sorted({hardware_of(run) for run in runs})
    if MACHINE in objective.rests_on and len(machines) > 1:
        problem = f"is needed, since the runs are of several; choose one of {' | '.join(machines)}"
        raise InputError("--hardware", "", problem)
    if ENERGY_PARTS in objective.rests_on:
        for part, told in provenance(choice).items():
            kinds = _kinds(told)
            if len(kinds) > 1:
                problem = (
                    f"is needed, since {part.upper()} energy is {' or '.join(kinds)}, which do not "
                    f'compare; pick, such as by \'tags."energy.{part}" LIKE "{kinds[-1]}%"\''
                )
                raise InputError("--where", "", problem)
    if PLACE in objective.rests_on and len(recorded := places(runs)) > 1:
        problem = f"runs were recorded at {' and '.join(sorted(recorded))}; rank by energy"
        raise InputError(
            "--objective", objective.name, f"{problem}, and see --country for emissions"
        )


def cautions(choice: Choice) -> list[str]:
    """What to know of figures of the ranking, such as those that the objective does not rest on."""
    runs = _ranked_runs(choice)
    told = [
        f"{part.upper()} energy is {' and '.join(kinds)}: these do not compare"
        for part, worth in provenance(choice).items()
        if len(kinds := _kinds(worth)) > 1
    ]
    if len(machines := {hardware_of(run) for run in runs}) > 1:
        told.append(f"measured on {len(machines)} machines, whose joules do not compare")
    if len(recorded := places(runs)) > 1:
        told.append(f"CO2e was recorded at {' and '.join(sorted(recorded))}")
    flags = {flag for run in runs for flag in run.tags.get("energy.flags", "").split(", ")} - {""}
    if flags:
        told.append(f"in some runs {flags_in_words(', '.join(sorted(flags)))}")
    return told


def _kinds(told: Iterable[str]) -> list[str]:
    """``absent``, ``estimated`` or ``measured``, without how or why."""
    return sorted({provenance.split(" ", 1)[0] for provenance in told})


def _ranked_runs(choice: Choice) -> list["RecordedRun"]:
    return [run for ranked in choice.ranking for run in ranked.runs]
