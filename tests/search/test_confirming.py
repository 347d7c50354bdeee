"""What is trained again once the trials are over, and who may be named first."""

import pytest
from paper_engine import SPACE, Bench, PaperEngine
from searches import recorded, seeds_by_configuration

from pipeline.search.confirming import choice_of, missing_repeats
from pipeline.search.goal import goal
from pipeline.search.plan import Limits, Plan
from pipeline.search.space import Space
from pipeline.search.trial import Trial
from pipeline.tags import CONFIRMATION, TRIAL
from pipeline.tracking import RecordedRun
from pipeline.tracking.search_log import Child
from steps.outcome import Outcome

REPEATS, PROVE = 2, 3


@pytest.fixture
def bench(store, tmp_path):
    return lambda **choices: Bench(tmp_path, **choices)


def again(engine: PaperEngine) -> list[tuple[str, str]]:
    return [
        (job.parameters["lr"], job.parameters["seed"])
        for job in engine.begun
        if job.role == CONFIRMATION
    ]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_of_the_leaders_proves_itself_with_further_seeds(bench, workers):
    engine = PaperEngine(workers=workers)
    bench(repeats=REPEATS, confirm_top=2, prove=PROVE).run(engine)
    repeats, proofs = [("0.006", "1"), ("0.005", "1")], ["2", "3", "4"]
    assert again(engine) == [*repeats, *(("0.006", seed) for seed in proofs)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_first_that_misses_in_its_proof_is_not_named_and_the_next_has_to_prove_itself(
    bench, workers
):
    engine = PaperEngine(workers=workers, lucky=(("0.006", "3"),))
    on = bench(repeats=REPEATS, confirm_top=2, prove=PROVE)
    on.run(engine)
    seeds = {lr: [seed for each, seed in again(engine) if each == lr] for lr, _ in again(engine)}
    assert sorted(seeds["0.005"]) == ["1", "2", "3", "4"]
    assert seeds["0.004"] == ["1"]  # there was room for it
    assert choice_of(on.plan, on.last.children).ranking[0].parameters["lr"] == "0.005"
    if workers == 1:
        # No energy is spent on a proof that has failed, and what failed another comes first.
        assert seeds["0.006"] == ["1", "2", "3"]
        assert seeds["0.005"] == ["1", "3", "2", "4"]


def test_a_proof_is_taken_up_where_it_was_left(bench):
    on, engine = bench(repeats=REPEATS, confirm_top=1, prove=PROVE), PaperEngine(workers=1)
    trained = engine.train

    def interrupted(job):
        if len(engine.begun) == 9:
            raise KeyboardInterrupt
        trained(job)

    engine.train = interrupted
    with pytest.raises(KeyboardInterrupt):
        on.run(engine)
    on.run(fresh := PaperEngine(workers=1))
    assert again(fresh) == [("0.006", "3"), ("0.006", "4")]


def test_without_repeats_nothing_is_proven(bench):
    engine = PaperEngine(workers=1)
    bench(repeats=3, confirm_top=0, prove=PROVE).run(engine)
    assert again(engine) == []


def planned(tmp_path, **choices) -> Plan:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    given = {
        "space": Space.load(path),
        "fixed": {},
        "sampler": "grid",
        "pruning": "cap",
        "slack": 1.2,
        "goal": goal("energy"),
        "limits": Limits(None, None, None, None),
        "repeats": REPEATS,
        "confirm_top": 2,
        "prove": PROVE,
        "seed": 0,
    }
    return Plan(**{**given, **choices})


def trained(
    plan: Plan, lr: float, seed: int, spent_j: float, outcome: str = Outcome.REACHED
) -> Child:
    configuration = plan.space.configuration({"lr": lr}, plan.fixed)
    parameters = configuration.parameters() | {"seed": str(seed)}
    metrics = {"energy_spent_j": spent_j, "energy_to_accuracy_j": spent_j, "epochs": 3.0}
    tags = {"config_id": configuration.config_id, "outcome": str(outcome)}
    run = RecordedRun(f"{lr} {seed}", "name", "FINISHED", 0, parameters, metrics, tags)
    return Child(run, 0, CONFIRMATION if seed else TRIAL, {"lr": lr})


def trial(child: Child) -> Trial:
    config_id = child.run.tags["config_id"]
    spent_j = child.run.metrics["energy_spent_j"]
    return Trial(0, child.point, config_id, "REACHED", spent_j, 1.0, (spent_j,), config_id)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return planned(tmp_path_factory.mktemp("space"))


def test_each_is_proven_once_its_repeats_are_over_and_not_while_one_is_under_way(plan):
    children = [trained(plan, 0.006, seed, 5.0) for seed in range(REPEATS)]
    first, other = trial(children[0]), trial(trained(plan, 0.005, 0, 9.0))
    children.append(trained(plan, 0.005, 0, 9.0))
    proofs = [(first, seed) for seed in range(REPEATS, REPEATS + PROVE)]
    missing = list(missing_repeats(plan, [first, other], children))
    assert missing == [(other, 1), *proofs]
    under_way = [(other.config_id, 1)]
    assert list(missing_repeats(plan, [first, other], children, under_way)) == []
    children.append(trained(plan, 0.005, 1, 9.0))
    assert list(missing_repeats(plan, [first, other], children)) == proofs


@pytest.mark.parametrize("outcome", ["BUDGET_EXHAUSTED", "FAILED"])
def test_a_first_whose_proof_did_not_come_to_the_target_is_no_longer_ranked(plan, outcome):
    children = [trained(plan, 0.006, seed, 5.0) for seed in range(REPEATS)]
    children += [trained(plan, 0.005, seed, 6.0) for seed in range(REPEATS)]
    assert [each.parameters["lr"] for each in choice_of(plan, children).ranking] == [
        "0.006",
        "0.005",
    ]
    children.append(trained(plan, 0.006, REPEATS, 5.0, outcome))
    (ranked,) = choice_of(plan, children).ranking
    assert ranked.parameters["lr"] == "0.005"


def test_another_that_has_become_the_first_has_to_prove_itself_too(plan):
    children = [trained(plan, 0.006, seed, 5.0) for seed in range(REPEATS)]
    children += [trained(plan, 0.005, seed, 6.0) for seed in range(REPEATS)]
    trials = [trial(children[0]), trial(children[REPEATS])]
    children += [trained(plan, 0.006, REPEATS, 11.0)]
    assert next(missing_repeats(plan, trials, children)) == (trials[1], REPEATS)


@pytest.mark.parametrize(
    ("words", "seeds"),
    [
        (("--repeats", "2"), [*"0123456"]),
        (("--repeats", "2", "--prove", "1"), [*"012"]),
        (("--repeats", "2", "--prove", "0"), [*"01"]),
        (("--repeats", "1"), ["0"]),
        (("--repeats", "2", "--sampler", "grid"), [*"01"]),
    ],
)
def test_five_further_seeds_prove_the_first_where_nothing_else_is_said(search, store, words, seeds):
    code, out, err = search("--trials", "3", "--confirm-top", "1", *words)
    assert code == 0, err
    (parent,), children = recorded(store)
    most = max(seeds_by_configuration(children).items(), key=lambda each: len(each[1]))
    assert sorted(most[1]) == seeds
    if len(seeds) > 2:
        assert most[0] == parent.data.tags["search.greenest"]
        assert f"over {len(seeds)} seeds" in out
