"""`mlflow models serve` in a process of its own, and questions to it."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pandas as pd

BIN = Path(sys.executable).parent
SECONDS_TO_START = 120


def start(run_id: str, model: str, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server of a run's model and its address, where nothing answers before `wait_for`."""
    port = _free_port()
    words = ("mlflow", "models", "serve", "-m", f"runs:/{run_id}/{model}", "-h", "127.0.0.1")
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*words, "-p", str(port), "--env-manager", "local"],
            env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return process, f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(server: str) -> None:
    """Until it answers."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urllib.request.urlopen(f"{server}/ping"):
                return
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)


def ask(server: str, question: dict[str, Any]) -> pd.DataFrame:
    """A column per class, a row per row."""
    request = urllib.request.Request(
        f"{server}/invocations",
        json.dumps(question).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return pd.DataFrame(json.load(answer)["predictions"])
