"""What is trained once the trials are over: the leaders with other seeds, the first with more.

One training of each configuration names a lucky one, so the leaders are trained again. The first
of them was chosen by few seeds, which may be luck again: what happens once in ten trainings, such
as missing the target, three of them seldom show. So the first has to prove itself with further
seeds before it is named. If it misses, or another is first by then, that one has to.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.choice import Choice, choose, comparable
from pipeline.search.plan import Plan
from pipeline.tags import CONFIRMATION
from pipeline.tracking.search_log import Child
from steps.outcome import Outcome

if TYPE_CHECKING:
    from pipeline.search.trial import Trial


def leaders(plan: Plan, trials: Sequence["Trial"], children: Sequence[Child]) -> list["Trial"]:
    """The trials to train again, the best first; all of them where that was asked for.

    One that missed the target in a repeat was lucky before: it cannot win any more, and makes
    room for the next. That happens as often as there are leaders, and then no more. Where only
    training decides, those that differ in what is made of the model after it are one.
    """
    top = plan.confirm_top
    if top is None:
        return list(trials)
    training = {trial.config_id: trial.training_id for trial in trials}
    lucky = {training[child.run.tags["config_id"]] for child in _missed(children)}
    cheapest: dict[str, Trial] = {}
    for trial in sorted(trials, key=lambda trial: trial.cost):
        if trial.training_id not in lucky:
            cheapest.setdefault(trial.training_id, trial)
    most = max(0, min(top, 2 * top - len(lucky)))
    return plan.goal.to_confirm(list(cheapest.values()), most)


def choice_of(plan: Plan, children: Sequence[Child]) -> Choice:
    """The ranking by what was trained so far.

    Of the configurations with as many seeds as were asked for, none of them in vain, or of all
    where there is none: a leader's first run was chosen for being cheap, so one that was not
    repeated is not to win by it.
    """
    trained, _ = comparable([child.run for child in children])
    seeds: dict[str, set[str]] = {}
    for run in trained:
        seeds.setdefault(run.tags["config_id"], set()).add(run.parameters["seed"])
    lost = {config_id for config_id, _ in map(_training, _missed(children))}
    confirmed = {name for name, known in seeds.items() if len(known) >= plan.repeats} - lost
    of_confirmed = [run for run in trained if run.tags["config_id"] in confirmed]
    return choose(of_confirmed or trained, plan.goal.sought)


def missing_repeats(
    plan: Plan,
    trials: Sequence["Trial"],
    children: Sequence[Child],
    under_way: Iterable[tuple[str, int]] = (),
) -> Iterator[tuple["Trial", int]]:
    """Whom to train again and with which seed, in this order, if none of them misses.

    Args:
        plan: of the search.
        trials: of it, so far.
        children: all its trainings that have ended.
        under_way: config_id and seed of those that have not.
    """
    begun = set(under_way)
    done = {_training(child) for child in children} | begun
    repeats = range(plan.seed + 1, plan.seed + plan.repeats)
    for seed in repeats:
        for leader in leaders(plan, trials, children):
            if (leader.config_id, seed) not in done:
                yield leader, seed
    if not plan.prove or any(seed in repeats for _, seed in begun):
        return  # Of the repeats that are under way, one may yet become the first.
    ranking = choice_of(plan, children).ranking
    named = ranking[0].config_id if ranking and ranking[0].repeats >= plan.repeats else None
    first = next((trial for trial in trials if trial.config_id == named), None)
    if first is None:
        return
    # A seed draws the parts of the data, too: where others missed, this one may as well.
    misses = Counter(seed for _, seed in map(_training, _missed(children)))
    seeds = range(plan.seed + plan.repeats, plan.seed + plan.repeats + plan.prove)
    for seed in sorted(seeds, key=lambda seed: -misses[seed]):
        if (first.config_id, seed) not in done:
            yield first, seed


def _missed(children: Iterable[Child]) -> list[Child]:
    """Trainings of leaders with other seeds that did not come to the target."""
    return [
        child
        for child in children
        if child.role == CONFIRMATION and child.run.tags.get("outcome") != Outcome.REACHED
    ]


def _training(child: Child) -> tuple[str, int]:
    return child.run.tags["config_id"], int(child.run.parameters["seed"])
