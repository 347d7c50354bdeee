"""What comes from elsewhere is data: it is never run, never leads out of its folder, is never HTML.

Each line of `docs/security.md` is held by a test here, or by one that it names.
"""

import ast
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest

from energy import calibration
from pipeline import greenest_file, serving
from pipeline.journal import Journal
from pipeline.quantize_grid import space_file
from pipeline.search.space import Space
from pipeline.tracking import open_run
from pipeline.tracking.earlier_steps import EarlierSteps
from steps.configuration import Configuration
from steps.errors import InputError
from steps.preprocess import preprocess

ROWS = np.arange(24.0).reshape(12, 2)
LABELS = np.array([0, 1, 2] * 4)


class Trap:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def sprung(path: Path) -> bytes:
    """An array of one trap, pickled as NumPy does."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(path)], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def test_a_trap_in_an_array_would_be_sprung_by_who_unpickles_it(tmp_path):
    """Else the tests below would show nothing."""
    np.load(io.BytesIO(sprung(tmp_path / "sprung")), allow_pickle=True)
    assert (tmp_path / "sprung").exists()


def test_a_pickle_in_an_npz_of_a_dataset_is_refused_and_never_loaded(tmp_path):
    members = {"X.npy": sprung(tmp_path / "sprung"), "y.npy": array(LABELS)}
    archive(tmp_path / "rows.npz", members)
    with pytest.raises(InputError, match="pickled Python objects, which are never loaded"):
        preprocess(Configuration(dataset=f"npz:{tmp_path / 'rows.npz'}"))
    assert not (tmp_path / "sprung").exists()


@pytest.fixture
def run_with(store, tmp_path):
    """A run whose artifacts somebody has written by hand; its id."""

    def run_with(folder: Path, path: str) -> str:
        experiment_id = store.create_experiment(path.replace("/", " "))
        run_id = store.create_run(experiment_id).info.run_id
        store.log_artifacts(run_id, str(folder), path)
        store.set_terminated(run_id)
        return str(run_id)

    return run_with


def test_a_pickle_in_a_run_s_partition_is_refused_and_never_loaded(run_with, tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    told = {"center": [0.0], "scale": [1.0], "fill": None, "duplicates": {}}
    (folder / "statistics.json").write_text(json.dumps(told))
    names = ("train", "validation", "test")
    archive(folder / "indices.npz", {f"{n}.npy": sprung(tmp_path / "sprung") for n in names})
    run = EarlierSteps(run_with(folder, "partition"))
    with pytest.raises(InputError, match="what its partition step left was changed since"):
        run.partition(12)
    assert not (tmp_path / "sprung").exists()


def kept(folder: Path, model: keras.Model, class_names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    """A model of two columns, as a run keeps it."""
    folder.mkdir()
    model.save(folder / serving.KERAS_FILE)
    serving.Interface(
        class_names=class_names,
        columns={"p": (), "q": ()},
        row_shape=(2,),
        dtype="float32",
        image_shape=None,
    ).save(folder)
    return folder


def with_a_lambda_layer(folder: Path) -> Path:
    """One whose layer runs any code."""
    left = str(folder.parent / "sprung")
    layers = keras.layers
    # The code travels in the file, so that it has to bring along whatever it calls.
    code = eval(f"lambda x: (__import__('pathlib').Path({left!r}).touch(), x)[1]")
    model = keras.Sequential(
        [keras.Input((2,)), layers.Lambda(code), layers.Dense(3, activation="softmax")]
    )
    (folder.parent / "sprung").unlink()
    return kept(folder, model)


def test_a_lambda_layer_would_run_where_keras_is_not_told_to_be_safe(tmp_path):
    folder = with_a_lambda_layer(tmp_path / "made")
    keras.saving.load_model(folder / serving.KERAS_FILE, safe_mode=False)(ROWS)
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("command", ["predict", "evaluate", "quantize"])
def test_a_kept_model_with_a_lambda_layer_is_refused_in_a_line_and_never_run(
    run_with, greenest, tmp_path, command
):
    run_id = run_with(with_a_lambda_layer(tmp_path / "made"), "model/data")
    (tmp_path / "rows.csv").write_text("p,q\n1,2\n")
    if command == "predict":
        code, out, err = greenest("predict", "--run-id", run_id, "rows.csv")
        assert (code, out) == (2, "")
        assert err.startswith(f"Error: --run-id {run_id}: ") and err.count("\n") == 1
        assert "safe" in err
    else:
        # Both take it from here.
        with pytest.raises(InputError, match="Keras does not load its model in safe mode"):
            EarlierSteps(run_id).model()
    assert not (tmp_path / "sprung").exists()


def test_a_model_with_a_lambda_layer_is_refused_where_mlflow_loads_it_by_our_loader(tmp_path):
    folder = with_a_lambda_layer(tmp_path / "made")
    mlflow.pyfunc.save_model(
        str(tmp_path / "model"),
        loader_module="serving",
        data_path=str(folder),
        code_paths=[serving.__file__],
        pip_requirements=[],
    )
    with pytest.raises(ValueError, match="Lambda"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert not (tmp_path / "sprung").exists()


def test_a_class_name_cannot_steer_the_terminal(run_with, greenest, tmp_path, monkeypatch):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="softmax")])
    run_id = run_with(kept(tmp_path / "made", model, ("\x1b[2J",) * 3), "model/data")
    (tmp_path / "rows.csv").write_text("p,q\n1,2\n")
    words = ("predict", "--run-id", run_id, "rows.csv")
    assert "0,\x1b[2J,0." in greenest(*words)[1]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, out, _ = greenest(*words)
    assert code == 0
    assert "0,\ufffd[2J,0." in out and "\x1b" not in out


READERS = {
    "space": lambda path: Space.load(path),
    "formats": lambda path: space_file.load(path),
    "configuration": lambda path: greenest_file.read(path),
    "calibration": lambda path: calibration.parse(str(path)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "tag", ["python/object/apply:pathlib.Path.touch", "python/object/new:pathlib.Path"]
)
def test_a_yaml_tag_makes_no_object_of_python_s(tmp_path, name, tag):
    (tmp_path / "any.yaml").write_text(f"gpu: !!{tag} ['{tmp_path / 'sprung'}']\n")
    with pytest.raises(ValueError, match=r"tags \(!\) are not allowed|could not determine"):
        READERS[name](tmp_path / "any.yaml")
    assert not (tmp_path / "sprung").exists()


OUTSIDE = ("../X.npy", "../../X.npy", "/tmp/greenest-was-here.npy", "a/../../X.npy", "..\\X.npy")


def test_no_member_of_an_npz_is_written_where_its_name_leads(tmp_path, monkeypatch):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    members = {"X.npy": array(ROWS), "y.npy": array(LABELS), **dict.fromkeys(OUTSIDE, b"gotcha")}
    archive(tmp_path / "rows.npz", members)
    dataset = preprocess(Configuration(dataset=f"npz:{tmp_path / 'rows.npz'}"))
    np.testing.assert_array_equal(dataset.features, ROWS)
    assert dataset.facts["files_ignored"] == len(OUTSIDE)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / "rows.npz"}
    assert not Path(OUTSIDE[2]).exists()


@pytest.mark.parametrize("run_id", ["../../x", "/etc/x", "", ".", "a/b", "a\n", "x" * 300])
def test_an_id_that_leads_out_of_the_folder_is_refused_before_a_file_is_called_so(run_id):
    with pytest.raises(InputError, match="is no id that MLflow gives to runs"):
        Journal(run_id)


def test_a_server_that_gives_a_path_for_an_id_writes_nowhere(store, tmp_path, monkeypatch):
    create = mlflow.MlflowClient.create_run

    def create_run(self, *words, **more):
        run = create(self, *words, **more)
        run.info._run_id = "../../elsewhere"
        return run

    experiment_id = store.create_experiment("green")
    monkeypatch.setattr(mlflow.MlflowClient, "create_run", create_run)
    with pytest.raises(InputError, match="is no id"):
        open_run.new_run(experiment_id, "any", {})
    assert not list(tmp_path.rglob("*elsewhere*"))


HTML = "<img src=x onerror=alert(1)>"
OPENING = "</script><script>alert(1)</script>"


class Tags(HTMLParser):
    """The elements of a page, as a browser sees them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs), attrs


def outside_code(markdown: str) -> str:
    """Markdown without its inline code, and without what a backslash keeps from being HTML."""
    return re.sub(r"`[^`]*`|\\<", "", markdown)


def test_html_in_every_name_is_text_in_every_page_and_description(store, greenest, tmp_path):
    name = f"{HTML}{OPENING}.csv".replace("/", "\u2044")
    rows = [f"{n}.5,{n % 3},{HTML}{'ab'[n % 2]}" for n in range(60)]
    header = f"{HTML}x,{OPENING}y,{HTML}label"
    Path(name).write_text("\n".join([header, *rows]), encoding="utf-8")
    experiment = f"{HTML}{OPENING}".replace("/", "-")
    words = ("--experiment", experiment, "--dataset", f"csv:{name}")
    training = ("--max-epochs", "2", "--hidden", "4", "--country", "FRA")
    easy = ("--target-accuracy", "0.1", "--patience", "1")
    for lr in ("0.01", "0.02"):
        code, _, err = greenest("run", *words, *training, *easy, "--lr", lr)
        assert code == 0, err
    (found,) = [each for each in store.search_experiments() if each.name == experiment]
    for run in store.search_runs([found.experiment_id]):
        store.set_tag(run.info.run_id, "mlflow.runName", f"{HTML} {run.info.run_name}")
        store.set_tag(run.info.run_id, "hardware", f"machine {HTML}")
        store.log_param(run.info.run_id, "note", f"{HTML}{OPENING}{run.data.params['lr']}")
    code, _, err = greenest("compare", "--experiment", experiment, "--record", "yes")
    assert code == 0, err
    assert not err, err
    pages = [path for path in tmp_path.rglob("*.html") if path.is_file()]
    assert {path.name for path in pages} >= {"report.html", "curves.html"}
    for path in pages:
        tags = Tags(path.read_text(encoding="utf-8")).found
        assert "img" not in tags, path
    runs = store.search_runs([found.experiment_id])
    told = [run.data.tags["mlflow.note.content"] for run in runs]
    (version,) = store.search_model_versions()
    registered = store.get_registered_model(version.name)
    assert len(told) == 3
    for text in (*told, version.description, registered.description):
        assert "img src" in text
        assert "<" not in outside_code(text), text


LISTENING = {"bind", "create_server", "serve_forever", "start_server", "socketserver"}
SERVERS = {"socketserver", "http.server", "wsgiref", "uvicorn", "flask", "gunicorn"}


def test_nothing_of_ours_listens_on_the_network(project):
    """Servers are MLflow's, and the user's to start."""
    for floor in ("energy", "steps", "pipeline"):
        for file in (project / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in LISTENING, f"{file}:{node.lineno}"
                if isinstance(node, ast.Import | ast.ImportFrom):
                    names = {alias.name for alias in node.names}
                    names.add(getattr(node, "module", None) or "")
                    assert not names & SERVERS, f"{file}:{node.lineno}"


def test_the_servers_that_tests_start_are_on_loopback_only(project):
    commands = re.compile(r'"--host", "([^"]+)"|"-h", "([^"]+)"|create_server\(\("([^"]+)"')
    hosts = {
        host
        for file in (project / "tests").rglob("*.py")
        if file != Path(__file__)
        for found in commands.findall(file.read_text(encoding="utf-8"))
        for host in found
        if host
    }
    assert hosts == {"127.0.0.1"}
