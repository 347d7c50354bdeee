import os
import signal

import pytest
from served_models import start


@pytest.fixture
def serve(tmp_path):
    """Starts `mlflow models serve` on a run; all of them end with the test."""
    processes = []

    def start_one(run_id: str, model: str = "model") -> str:
        process, address = start(run_id, model, tmp_path / "servers.log")
        processes.append(process)
        return address

    yield start_one
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
