"""What the effects are about, and what they leave open."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.effects import Effect, Effects


def coverage(effects: "Effects") -> str:
    """Which runs tell them."""
    told = (
        f"Over {effects.configurations:,} configurations in {effects.runs:,} runs. Costs to the "
        f"target are those of the {effects.reached:,} runs that reached it"
    )
    if not effects.given_up:
        return f"{told}."
    return (
        f"{told}; {effects.given_up:,} were given up as too dear, so that differences between "
        "these costs look smaller than they are."
    )


def about(effect: "Effect") -> str:
    """Of one hyperparameter: what the data carry, and what may be another's doing."""
    told = effect.sentence or "The data carry no difference between its values."
    if not effect.inseparable_from:
        return told
    others = ", ".join(effect.inseparable_from)
    return f"{told} It changed together with {others}: a difference may be due to either."
