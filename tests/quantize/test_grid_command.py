"""A grid as a user types it, on a model that was trained for real."""

import mlflow
import pytest

from pipeline import tracking
from pipeline.__main__ import cli
from pipeline.tracking.grid_log import walks_of

SPACE = """\
purpose: "Of the test."
data: [8.4, 4.2]
weights: {width: [2, 8], fraction: [2, 4]}
"""
TRAINED = ("--dataset", "iris", "--hidden", "8", "--lr", "0.05", "--batch-size", "16")
SHORT = ("--max-epochs", "20", "--target-accuracy", "0.8", "--country", "FRA")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a store and a run in it, for all tests; and the id of the run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        cli.main(["run", *TRAINED, *SHORT], standalone_mode=False)
        (run,) = tracking.runs_of("green")
        mlflow.set_tracking_uri(None)
    return folder, run.run_id


@pytest.fixture
def grid(trained, monkeypatch, greenest):
    """Type a grid of the small space: exit code, standard output, error output."""
    folder, run_id = trained
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    (folder / "formats.yaml").write_text(SPACE)

    def type_(*words: str) -> tuple[int, str, str]:
        words = words if "--run-id" in words else ("--run-id", run_id, *words)
        return greenest("quantize-grid", "--space", "formats.yaml", *words)

    yield type_
    mlflow.set_tracking_uri(None)


def grids(run_id):
    """Parents of a run's grids, each with its children; the newest first."""
    client = mlflow.MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id
    runs = client.search_runs([experiment], f"tags.`grid.run_id` = '{run_id}'")
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return [
        (parent, [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id])
        for parent in parents
    ]


def test_brute_force_scores_every_point_and_shows_them(grid, trained):
    _, run_id = trained
    code, out, _ = grid()
    assert code == 0
    (parent, children), *_ = grids(run_id)
    assert f"Grid: run {parent.info.run_id}" in out
    assert parent.data.metrics["grid_points"] == len(children) == 8
    assert {child.info.status for child in children} == {"FINISHED"}
    for child in children:
        bits, told = child.data.params, child.data.metrics
        assert set(bits) == {"data_width", "data_fraction", "weight_width", "weight_fraction"}
        assert told["average_bitwidth"] == float(bits["weight_width"])
        assert told["memory_density"] == 32 / told["average_bitwidth"]
        assert told["objective"] == pytest.approx(
            told["val_accuracy"] - 0.2 * told["average_bitwidth"]
        )
        assert {"val_loss", "test_accuracy", "test_loss"} < set(told)
    best = max(child.data.metrics["objective"] for child in children)
    assert parent.data.metrics["best_objective"] == best
    note = parent.data.tags["mlflow.note.content"]
    first = note.partition(", by val_accuracy:1")[0]
    assert first.startswith("Best: fixed:")
    assert set(first.removeprefix("Best: ").split(" = ")) == {
        child.info.run_name for child in children if child.data.metrics["objective"] == best
    }
    assert "8 of 8 points evaluated" in note
    assert "not of time or energy" in note
    assert note.count("| fixed:") == 8


def test_eight_bits_score_as_the_float_model_does(grid, trained):
    _, run_id = trained
    grid()
    (_, children), *_ = grids(run_id)
    float_model = mlflow.MlflowClient().get_run(run_id).data.metrics
    (wide,) = (child for child in children if child.info.run_name == "fixed:8.4/8.4")
    for part in ("val", "test"):
        accuracy = wide.data.metrics[f"{part}_accuracy"]
        assert accuracy == pytest.approx(float_model[f"{part}_accuracy"], abs=0.1)


def test_pictures_need_no_network(grid, trained):
    folder, run_id = trained
    grid()
    (parent, _), *_ = grids(run_id)
    for name in ("heat_map", "bars"):
        path = mlflow.artifacts.download_artifacts(
            run_id=parent.info.run_id, artifact_path=f"grid/{name}.html", dst_path=folder
        )
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            page = file.read()
        assert "Plotly.newPlot" in page
        assert '<script src="http' not in page


def test_samplers_are_compared_over_seeds_without_evaluating_anything_again(grid, trained):
    _, run_id = trained
    code, out, _ = grid("--sampler", "brute_force,tpe,random", "--repeats", "4")
    assert code == 0
    (parent, children), *_ = grids(run_id)
    assert len(children) == parent.data.metrics["grid_evaluations"] == 8
    until = {
        sampler: parent.data.metrics[f"{sampler}_evaluations_until_best"]
        for sampler in ("brute_force", "random")
    }
    assert all(1 <= evaluations <= 8 for evaluations in until.values())
    assert "met the best" in out and "4 of 4" in out
    objective, walks = walks_of(parent.info.run_id)
    assert objective == "val_accuracy:1,average_bitwidth:-0.2"
    assert len(walks) == 3 * 4
    scores = sorted(child.data.metrics["objective"] for child in children)
    for _, _, met in (walk for walk in walks if walk[0] == "brute_force"):
        assert sorted(met) == pytest.approx(scores)
    files = mlflow.MlflowClient().list_artifacts(parent.info.run_id, "grid")
    assert "grid/samplers.png" in {file.path for file in files}


def test_a_front_has_no_sum_to_order_by(grid, trained):
    _, run_id = trained
    code, out, _ = grid("--objective", "pareto:val_accuracy,average_bitwidth", "--trials", "5")
    assert code == 0
    (parent, children), *_ = grids(run_id)
    assert len(children) == 5
    assert "best_objective" not in parent.data.metrics
    assert "on the front" in out and "5 of 8 points evaluated" in out
    assert not any("objective" in child.data.metrics for child in children)


def test_a_layer_and_a_type_of_layers_can_have_formats_of_their_own(grid, trained):
    folder, run_id = trained
    (folder / "formats.yaml").write_text(
        "purpose: p\ntypes: {Dense: {data: 8.4, weights: 8.4, bias: 16.6}}\n"
        "layers: {probabilities: {data: 8.4, weights: [8.4, 2.2]}}\n"
    )
    code, _, err = grid()
    assert (code, err) == (0, err)
    (_, children), *_ = grids(run_id)
    widths = {
        int(child.data.params["probabilities.weight_width"]): child.data.metrics["average_bitwidth"]
        for child in children
    }
    # Iris: 4 x 8 weights of eight bits, and 8 x 3 of the layer's own.
    assert {child.data.params["Dense.bias_width"] for child in children} == {"16"}
    assert widths == {8: 8.0, 2: (4 * 8 * 8 + 8 * 3 * 2) / (4 * 8 + 8 * 3)}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--run-id", ""), "--run-id: is needed"),
        (("--run-id", "nowhere"), "--run-id nowhere: there is no such run"),
        (("--sampler", "grid"), "--sampler grid: choose of brute_force, tpe, random"),
        (("--objective", "speed:1"), "--objective speed:1: speed does not decide"),
        (("--trials", "0"), "--trials 0: must be a whole number from 1"),
        (("--repeats", "x"), "--repeats x: must be a whole number from 1"),
        (("--seed", "-1"), "--seed -1: must be"),
        (("--space", "none.yaml"), "--space none.yaml: cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_opens_no_run(grid, trained, words, told):
    _, run_id = trained
    before = len(grids(run_id))
    code, _, err = grid(*words)
    assert (code, told in err) == (2, True), err
    assert len(err.strip().splitlines()) == 1
    assert len(grids(run_id)) == before


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("layers: {conv: {data: 8.4, weights: 8.4}}", "line 2: conv is no layer of the model"),
        ("data: 24.1\nweights: [8.4,\n  24.x]", "line 4: weights 24.x: must be WIDTH.FRACTION"),
    ],
)
def test_a_bad_space_is_refused_with_its_line(grid, trained, lines, told):
    folder, run_id = trained
    (folder / "formats.yaml").write_text(f"purpose: p\n{lines}\n")
    before = len(grids(run_id))
    code, _, err = grid()
    assert (code, told in err) == (2, True), err
    assert len(grids(run_id)) == before


def test_a_run_without_a_model_is_refused(grid, trained, greenest):
    code, out, _ = greenest("preprocess", "--dataset", "iris")
    assert code == 0
    run_id = out.split()[-1].rstrip(")")
    code, _, err = grid("--run-id", run_id)
    assert code == 2
    assert "has nothing from the" in err


def test_compare_sees_the_training_and_nothing_of_the_grid(grid, greenest):
    grid()
    code, out, _ = greenest("compare", "--experiment", "green", "--json")
    assert code == 0
    assert '"n": 1' in out
