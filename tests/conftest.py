import os
import shutil
from pathlib import Path

# Before anything imports TensorFlow or MLflow.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.pop("MLFLOW_TRACKING_URI", None)

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """MLflow takes a second to lay its tables; the tests copy them."""
    import mlflow

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path, monkeypatch, empty_database):
    """A fresh MLflow store of this test's own, in a fresh working directory."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(None)


@pytest.fixture
def greenest(capfd, monkeypatch):
    """The command line in this process: exit code, standard output, error output."""
    import signal

    from pipeline import terminal
    from pipeline.__main__ import cli

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def type_(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["pipeline", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            terminal.main(cli, "python -m pipeline")
        return ended.value.code, *capfd.readouterr()

    yield type_
    for number, handler in handlers.items():
        signal.signal(number, handler)
