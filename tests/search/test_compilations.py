"""XLA that alone takes more than the best training is not waited for."""

import pytest
from searches import recorded

from pipeline.search.compilations import LIKENESS, Compilations
from pipeline.search.objective import Objective

LAYERS = {"dataset": "digits", "model": "mlp", "hidden": "8"}
ON, OFF = {**LAYERS, "jit_compile": "on"}, {**LAYERS, "jit_compile": "off"}


def test_the_cheapest_known_compilation_counts_whichever_way_it_was_made():
    known = Compilations()
    assert known.cheapest == 0.0
    for parameters, cost in ((ON, 50.0), (OFF, 7.0), (OFF, 9.0)):
        known.learn(parameters, cost)
    assert known.cheapest == 7.0


def test_xla_is_foreseen_for_the_layers_that_it_has_compiled_and_by_half_of_the_least():
    known = Compilations()
    assert known.by_xla_at_least(ON) == 0.0
    for cost in (50.0, 30.0, 80.0):
        known.learn(ON, cost)
    known.learn(OFF, 1.0)
    assert known.by_xla_at_least({**ON, "lr": "0.1", "optimizer": "sgd"}) == LIKENESS * 30.0
    assert known.by_xla_at_least({**ON, "jit_compile": "auto"}) == 0.0
    assert known.by_xla_at_least(OFF) == 0.0
    for name, other in (("hidden", "9"), ("model", "cnn"), ("dataset", "iris")):
        assert known.by_xla_at_least({**ON, name: other}) == 0.0


@pytest.mark.parametrize("pruning", ["cap", "none"])
def test_what_xla_alone_would_make_too_dear_is_not_begun_and_says_so(
    search, store, greenest, monkeypatch, tmp_path, pruning
):
    # On the machine of these tests compiling is free. Here it takes as much as many trainings.
    monkeypatch.setattr(
        Objective, "compiling", lambda self, run: 1e6 * (run.parameters["jit_compile"] == "on")
    )
    space = tmp_path / "jit.yaml"
    space.write_text('purpose: "Of the test."\nparameters:\n  jit_compile: [off, on]\n'
                     "  lr: [0.05, 0.08]\n")  # fmt: skip
    typed = ("--space", str(space), "--sampler", "grid", "--repeats", "1", "--pruning", pruning)
    code, out, err = search(*typed)
    assert code == 0, err
    _, children = recorded(store)
    by_xla = [run for run in children if run.data.params["jit_compile"] == "on"]
    assert len(children) == 4 and len(by_xla) == 2
    if pruning == "none":
        assert {run.data.tags["outcome"] for run in children} == {"REACHED"}
        return
    first, second = sorted(by_xla, key=lambda run: int(run.data.tags["search.number"]))
    assert "epochs" in first.data.metrics  # nothing was known of it yet
    assert second.data.tags["outcome"] == "CAPPED"
    assert second.data.tags["search.given_up_by"] == "compilation"
    assert second.data.tags["training.caution"].startswith("not begun: XLA alone")
    assert "energy_spent_j" not in second.data.metrics
    assert second.info.status == "FINISHED"
    assert search(*typed, "--resume")[0] == 0
    assert len(recorded(store)[1]) == 4
    code, out, err = greenest("compare")
    assert code == 0, err
    assert "Left out, given up by its search before it began (CAPPED)" in out
