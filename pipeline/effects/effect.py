"""What is told of a hyperparameter."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.choice import Interval


@dataclass(frozen=True)
class Level:
    """One value of a hyperparameter, or a range of them.

    Attributes:
        value: as typed, empty for "not given"; ``LOW to HIGH`` where numbers were grouped.
        configurations: that have it.
        runs: of these.
        reached: runs that reached their target.
        given_up: runs that a search stopped; they might have reached it.
        means: by the name of a measure, its mean over configurations with this value, all else
            being as over all configurations; a measure that no such run tells is absent.
    """

    value: str
    configurations: int
    runs: int
    reached: int
    given_up: int
    means: Mapping[str, Interval]

    @property
    def share_reached(self) -> float | None:
        """Of the runs that were not given up; None where all were."""
        known = self.runs - self.given_up
        return self.reached / known if known else None


@dataclass(frozen=True)
class Effect:
    """A hyperparameter with more than one value.

    Attributes:
        parameter: its name.
        importance: share in the variation of the energy to accuracy (of the time where no energy
            was measured) over the configurations that reached the target; None where there are
            too few, and of a parameter that another one alone decides.
        importance_for_reaching: share in whether the target was reached; None where all did, or
            none.
        levels: numbers ascending, then words.
        inseparable_from: parameters that changed with it, so that a difference between some of its
            values may be theirs.
        sentence: what the data carry; None where they carry nothing.
    """

    parameter: str
    importance: float | None
    importance_for_reaching: float | None
    levels: tuple[Level, ...]
    inseparable_from: tuple[str, ...]
    sentence: str | None


@dataclass(frozen=True)
class Effects:
    """Which hyperparameters matter, and what the answer covers.

    Attributes:
        effects: the most important first.
        configurations: that were trained; one on two machines counts twice.
        runs: of these.
        reached: runs that the costs to the target are about.
        given_up: runs of unknown cost. A cap gives up the dear ones, which makes differences in
            the cost to the target look smaller than they are; those per epoch it leaves alone.
        weighed: configurations that the importances rest on.
    """

    effects: tuple[Effect, ...]
    configurations: int
    runs: int
    reached: int
    given_up: int
    weighed: int
