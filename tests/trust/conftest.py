import shutil

import pytest
from extent import COUNTED, TALLY

from pipeline.tracking import patience


@pytest.fixture(autouse=True)
def _patience_anew():
    """What one test waited for in vain, the next is given time for."""
    patience.patience._until = None


@pytest.fixture
def after_epoch(monkeypatch):
    """Has something happen when an epoch of a training ends."""
    from steps.train.rule import TrainToAccuracy

    def plan(number, happen):
        end = TrainToAccuracy.on_epoch_end

        def on_epoch_end(self, epoch, logs=None):
            end(self, epoch, logs)
            if epoch + 1 == number:
                happen()

        monkeypatch.setattr(TrainToAccuracy, "on_epoch_end", on_epoch_end)

    return plan


@pytest.fixture(scope="session")
def tracking_servers(tmp_path_factory, empty_database):
    """Starts a real tracking server with an empty database; its port."""
    from contextlib import ExitStack

    from faulty_server import tracking_server

    with ExitStack() as running:

        def start() -> int:
            folder = tmp_path_factory.mktemp("server")
            shutil.copy(empty_database, folder)
            return running.enter_context(tracking_server(folder, folder / empty_database.name))

        yield start


def pytest_terminal_summary(terminalreporter):
    if TALLY:
        told = ", ".join(f"{what} {TALLY[what]}" for what in COUNTED)
        terminalreporter.write_line(f"trust: {told}")
