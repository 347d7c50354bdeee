"""The answer in sentences."""

from collections.abc import Iterator, Sequence

from pipeline.choice import Choice, Ranked, by_reason, closest, provenance
from pipeline.choice.objectives import ENERGY_PARTS
from pipeline.compare.comparison import Comparison
from pipeline.units import epochs_in_a_row
from steps.outcome import Outcome

NAMED = 5
"""Of those that are tied, how many by their place."""

GREENEST, TIED, ONLY, UNREPEATED = "greenest", "tied", "the only one", "unrepeated"
ALONE = "first, and nothing is known of ties"


def verdict(comparison: Comparison) -> str | None:
    """Whether the first is the greenest beyond noise; None where nothing is ranked."""
    choice = comparison.choice
    if not choice.ranking:
        return None
    if comparison.winner_alone:
        return ALONE
    if len(choice.rivals) == 1:
        return ONLY
    if choice.tied_with is None:
        return UNREPEATED
    return TIED if choice.tied_with else GREENEST


def goal(comparison: Comparison) -> str:
    """Such as ``the least energy to a validation accuracy above 0.95 on digits``."""
    first = comparison.choice.ranking[0].runs[0].parameters
    linked = "with" if comparison.objective.spent is None else "to"
    return (
        f"{comparison.objective.words} {linked} a validation accuracy above "
        f"{first['target_accuracy']} on {first['dataset']}"
    )


def target(comparison: Comparison) -> str:
    """Such as ``a validation accuracy above 0.95 on digits, 3 epochs in a row``."""
    if not comparison.runs:
        return "a validation accuracy that no run was trained to"
    given = comparison.runs[0].parameters
    return (
        f"a validation accuracy above {given['target_accuracy']} on {given['dataset']}, "
        f"{epochs_in_a_row(given['patience'])}"
    )


def certainty(comparison: Comparison) -> Iterator[str]:
    """The winner, or those among whom it is, and how sure that is; one sentence or two a line."""
    choice = comparison.choice
    best = choice.ranking[0]
    named = f"{best.name} ({best.config_id})"
    told = verdict(comparison)
    if told == TIED:
        yield f"Tied, within the noise of the repeats (95 %): {named}{_places(choice)}."
        yield _to_decide(choice)
    else:
        is_green = ENERGY_PARTS in comparison.objective.rests_on
        # Whose difference from the next nobody knows is first, and no more than that.
        known = "Greenest" if is_green else "Best"
        is_known = told == GREENEST or (told == ONLY and not choice.behind)
        yield f"{known if is_known else 'First'}: {named}"
    if told == ONLY and not choice.behind:
        yield "It is the only configuration that reached the target."
    elif told == UNREPEATED:
        yield (
            "Nothing tells of the noise, since no configuration ran with a second seed, so this "
            "order may be luck: repeat the leaders with other seeds (-P seed=1, -P seed=2) to know."
        )
    elif told == ALONE:
        yield "Only the runs that name it were read: ties and intervals take all (--top 2)."
    elif told == GREENEST:
        yield "The difference from each other one is beyond the noise of the repeats (95 %)."
    if choice.behind:
        last = "the last" if choice.behind == 1 else f"the last {choice.behind}"
        yield (
            "Tried once by a search that trained others again, and no rivals to these, since one "
            f"run may be lucky: {last} of the ranking."
        )
    if any(ranked.share_reached < 1 for ranked in choice.ranking):
        yield (
            "Where repeats missed the target, the cost is that of reaching it once, misses paid; "
            "one that has not missed yet is taken never to."
        )


def worth(comparison: Comparison) -> Iterator[str]:
    """What the joules are worth, and whether they may be compared at all."""
    for part, told in provenance(comparison.choice).items():
        yield f"  {part.upper()} energy: {'; '.join(told)}"
    for caution in comparison.cautions:
        yield f"  Caution: {caution}"


def nothing(comparison: Comparison) -> str:
    """Why there is no winner, and what came closest."""
    trained = comparison.runs
    told = f"Nothing to choose from: no run of experiment {comparison.experiment}"
    if not trained:
        return f"{told} was trained to an end."
    if all(run.tags["outcome"] != Outcome.REACHED for run in trained):
        told = f"{told} reached its target."
    else:
        reasons = by_reason(comparison.excluded)
        told = f"{told} is ranked; most were left out because: {next(iter(reasons))}."
    attempt = closest(run for run in trained if run.tags["outcome"] != Outcome.REACHED)
    if attempt is None:
        return told
    return (
        f"{told} The closest that missed was {attempt.name} (run {attempt.run_id}): its validation "
        f"accuracy ended at {attempt.metrics['val_accuracy']:.4f}, the target is above "
        f"{attempt.parameters['target_accuracy']}."
    )


def _places(choice: Choice) -> str:
    tied: Sequence[Ranked] = choice.tied_with or ()
    of = {ranked.config_id: place for place, ranked in enumerate(choice.ranking, 1)}
    named = [f"#{of[ranked.config_id]}" for ranked in tied[:NAMED]]
    more = [f"{len(tied) - NAMED} more"] if len(tied) > NAMED else []
    *some, last = named + more
    return f"{''.join(f', {each}' for each in some)} and {last}"


def _to_decide(choice: Choice) -> str:
    if choice.repeats_to_decide is None:
        return "They are so close that a thousand more seeds would not decide it."
    seeds = "seed" if choice.repeats_to_decide == 1 else "seeds"
    return (
        f"{choice.repeats_to_decide} more {seeds} for each of them would decide it with a chance "
        "of 80 %, if the differences are what they seem."
    )
