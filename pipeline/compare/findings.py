"""What a comparison has to say beside the ranking, each worked out only if it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.choice import trained_among
from steps.errors import InputError
from steps.parsing import count

if TYPE_CHECKING:
    from pipeline.choice import Choice
    from pipeline.effects import Effects
    from pipeline.lifetime import Lifetime
    from pipeline.pareto import Axis, Front
    from pipeline.profiles import Profiles
    from pipeline.tracking import RecordedRun

MOST_INFERENCES = 10**18


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        axes: of a Pareto front; empty for none.
        inferences: of a model's life; None for nothing about that.
        profiles: whether to look at several datasets.
    """

    axes: "tuple[Axis, ...]" = ()
    inferences: int | None = None
    profiles: bool = False

    @classmethod
    def parse(cls, pareto: str, inferences: str, profiles: str) -> "Wanted":
        """From texts as typed.

        Raises:
            InputError: one of them is not allowed.
        """
        axes: tuple[Axis, ...] = ()
        if pareto:
            from pipeline.pareto import axes_of

            axes = axes_of(pareto)
        if profiles not in ("no", "yes"):
            raise InputError("--profiles", profiles, "choose yes or no")
        return cls(axes, _inferences(inferences), profiles == "yes")


def _inferences(text: str) -> int | None:
    if not text:
        return None
    number = count(text)
    if number is None or number > MOST_INFERENCES:
        raise InputError("--inferences", text, "must be a whole number from 0, such as 1000000")
    return number


@dataclass(frozen=True)
class Findings:
    """The answers; None for what was not asked for."""

    front: "Front | None" = None
    lifetime: "Lifetime | None" = None
    profiles: "Profiles | None" = None


def findings(
    wanted: Wanted, choice: "Choice", runs: "Sequence[RecordedRun]", metric: str
) -> Findings:
    """Work them out.

    Args:
        wanted: which.
        choice: the ranking.
        runs: all of the experiment, on whatever dataset, the parents of searches included.
        metric: cost that the profiles compare.
    """
    front = lifetime = profiles = None
    if wanted.axes:
        from pipeline.pareto import front_of

        front = front_of(choice.ranking, wanted.axes)
    if wanted.inferences is not None:
        from pipeline import lifetime as life

        shares = life.search_shares(choice.ranking, runs)
        lifetime = life.lifetime(choice.ranking, shares, wanted.inferences)
    if wanted.profiles:
        from pipeline.profiles import profiles_of

        trained, _ = trained_among(runs)
        profiles = profiles_of(trained, metric)
    return Findings(front, lifetime, profiles)


def effects_of(runs: "Sequence[RecordedRun]") -> "Effects":
    """What each hyperparameter does; takes a second or two where there are thousands of runs."""
    from pipeline import effects

    return effects.effects_of(runs)
