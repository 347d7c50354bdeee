"""Trials and standings to reason about, without training anything."""

from collections.abc import Sequence

from hypothesis import strategies as st

from pipeline.search.pruning import Pruning, Standing
from pipeline.search.sampling import Sampling
from pipeline.search.space import Space
from pipeline.search.trial import Trial
from steps.outcome import Outcome

MISSES = (Outcome.CAPPED, Outcome.BUDGET_EXHAUSTED, Outcome.DIVERGED, Outcome.FAILED)


def trial_of(
    space: Space, number: int, point, outcome=Outcome.REACHED, spent=1.0, figures=None
) -> Trial:
    config_id = space.configuration(point, {}).config_id
    return Trial(number, point, config_id, outcome, spent, 0.5, figures)


def search_through(sampling: Sampling, trials: int) -> list[Trial]:
    """A search whose trainings cost less from one to the next, every third one missing.

    Of a front, what they cost less is what they score less.
    """
    done: list[Trial] = []
    while len(done) < trials and (point := sampling.ask(done)) is not None:
        number = len(done)
        outcome = Outcome.CAPPED if number % 3 == 2 else Outcome.REACHED
        cost = 100.0 - number
        figures = (cost, -cost, 1.0)[: sampling.figures] if outcome == Outcome.REACHED else None
        done.append(trial_of(sampling.space, number, point, outcome, cost, figures))
    return done


def train(
    rule: Pruning,
    accuracies: Sequence[float],
    per_epoch: float,
    before: float = 0.0,
    target: float = 0.9,
    patience: int = 1,
) -> tuple[str, float]:
    """Why a training was given up (empty if it reached the target or its end), and its cost."""
    streak = 0
    best = 0.0
    for epoch, accuracy in enumerate(accuracies, 1):
        best = max(best, accuracy)
        streak = streak + 1 if accuracy > target else 0
        spent = before + epoch * per_epoch
        if streak == patience:
            rule.learn(spent, accuracies[:epoch])
            return "", spent
        told = rule.gives_up(Standing(spent, before, epoch, best, patience - streak))
        if told:
            return told, spent
    return "", spent


def curves(most: int = 12) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0.0, 1.0), min_size=1, max_size=most)
