"""What `compare` takes for many runs, beside MLflow's own search of them.

    python benchmarks/compare.py [--quick] [--json FILE] [--runs 10000]

A store of runs with 40 metrics, 20 parameters and 25 tags each, the description of MLflow's page
among them, is read in one process, in turns: by a bare `mlflow.search_runs`, by `compare --json`
with all that it works out, and by `compare --json --top 1`, which only names the winner. Once as an
SQLite file, and once through a server process of MLflow's over the same file.
"""

import argparse
import contextlib
import gc
import io
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "compare"), str(ROOT)]
# The bare search asks for ten thousand runs at once, and a server takes its time for them.
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "1200"

from _rows import Row, in_turns, ratios, report, row  # noqa: E402
from bulk_store import write_runs  # noqa: E402

from pipeline import tracking  # noqa: E402
from pipeline.compare.command import compare  # noqa: E402
from pipeline.tracking import RecordedRun  # noqa: E402

EXPERIMENT = "many"
METRIC = "energy_to_accuracy_j"
SEEDS = 3
MISSES = 0.1
NOISE = 0.2
METRICS, PARAMETERS = 40, 20
MANY = 10_000
WRITTEN_AT_A_TIME = 1000
MEGABYTE = 1e6

CHOICES = {
    "preprocessing": ("none", "standardization", "minmax"),
    "activation": ("relu", "gelu", "sigmoid"),
    "optimizer": ("adam", "sgd", "lion"),
    "batch_size": ("32", "64", "128", "256"),
    "hidden": ("64", "128", "256", "256,64"),
}
TAGS = {
    "mlflow.user": "somebody",
    "mlflow.source.name": "/home/somebody/greenest/pipeline/__main__.py",
    "mlflow.source.type": "LOCAL",
    "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
    "mlflow.source.git.branch": "main",
    "dataset_digest": "d39d7d11a6df",
    "dataset.rows": "1797 of shape (64,)",
    "dataset.classes": "10, of 174 to 183 rows",
    "dataset.parts": "1437 train, 180 validation, 180 test",
    "hardware": "Some Processor (8 threads); Some GPU; 64 GiB; Linux",
    "carbon.place": "FRA",
    "carbon.source": "CodeCarbon's data for FRA, 2023 (country given by the user)",
    "carbon.pue": "1",
    "carbon.intensity_g_per_kwh": "56.039",
    "energy.gpu": "measured (NVML: total energy counter)",
    "energy.cpu": "estimated (CodeCarbon: load x 65 W TDP)",
    "energy.ram": "estimated (CodeCarbon: 20 W by the size of the memory)",
    "energy.flags": "too_short",
    "training.engine": "graph (920064 bytes of data fit in memory)",
    "training.jit_compile": "off (--jit-compile off)",
    "training.graph": "compiled by this run",
}
DESCRIPTION = "**Reached** the target, and all that there is to say of how. " * 18


def recorded_runs(count: int) -> Iterator[RecordedRun]:
    """A search of `count` runs, with three seeds for each configuration."""
    draw = random.Random(7)
    for number in range(count):
        configuration, seed = divmod(number, SEEDS)
        own = random.Random(configuration)
        parameters = {
            "dataset": "digits",
            "target_accuracy": "0.95",
            "patience": "3",
            "seed": str(seed),
            "lr": f"{10 ** own.uniform(-4, -1):.6g}",
            **{name: own.choice(values) for name, values in CHOICES.items()},
        }
        parameters |= {f"option_{n}": "default" for n in range(PARAMETERS - len(parameters))}
        energy_j = math.exp(own.gauss(5, 1) + draw.gauss(0, NOISE))
        time_s = energy_j / 30
        metrics = {
            "energy_spent_j": energy_j,
            "time_spent_s": time_s,
            "emissions_kg": energy_j * 1.6e-8,
            "epochs": float(draw.randint(5, 50)),
            "val_accuracy": draw.uniform(0.9, 1),
            "test_accuracy": draw.uniform(0.9, 1),
        }
        has_reached = draw.random() > MISSES
        if has_reached:
            metrics |= {METRIC: energy_j, "time_to_accuracy_s": time_s}
        metrics |= {f"figure_{n}": draw.random() for n in range(METRICS - len(metrics))}
        name = f"{parameters['optimizer']}-lr{parameters['lr']}-s{seed}"
        yield RecordedRun(
            run_id=uuid.UUID(int=draw.getrandbits(128)).hex,
            name=name,
            status="FINISHED",
            started_at_ms=1_700_000_000_000 + 1000 * number,
            parameters=parameters,
            metrics=metrics,
            tags={
                **TAGS,
                "config_id": f"{configuration:010x}",
                "outcome": "REACHED" if has_reached else "BUDGET_EXHAUSTED",
                "mlflow.note.content": f"`{name}`: {DESCRIPTION}",
            },
        )


def make_store(uri: str, count: int) -> None:
    import mlflow

    experiment_id = mlflow.MlflowClient(uri).create_experiment(EXPERIMENT)
    runs: list[RecordedRun] = []
    for run in recorded_runs(count):
        runs.append(run)
        if len(runs) == WRITTEN_AT_A_TIME:
            write_runs(uri, experiment_id, runs)
            runs.clear()
    write_runs(uri, experiment_id, runs)


@contextlib.contextmanager
def served(uri: str, folder: Path) -> Iterator[str]:
    """A tracking server over the store, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options, "--backend-store-uri", uri],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None:
                raise RuntimeError("mlflow server did not start")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def bare_search() -> object:
    import mlflow

    return mlflow.search_runs(experiment_names=[EXPERIMENT])


def printed(*options: str) -> str:
    """What ``compare --json`` prints with these options."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        compare.main(["--experiment", EXPERIMENT, "--json", *options], standalone_mode=False)
    return text.getvalue()


def winner() -> tuple[str, float, int]:
    """Configuration, mean and repeats, as ``compare --top 1`` names them."""
    greenest = json.loads(printed("--top", "1"))["greenest"]
    return greenest["config_id"], greenest["ranked_by"]["mean"], greenest["n"]


SIDES: dict[str, Callable[[], object]] = {
    "mlflow.search_runs": bare_search,
    "compare --json": printed,
    "compare --top 1": winner,
}
GOALS = {"compare --json": 1.0, "compare --top 1": 0.2}


def seconds(side: Callable[[], object]) -> float:
    # What one side leaves behind is not swept up in the time of the next.
    gc.collect()
    started_s = time.perf_counter()
    side()
    return time.perf_counter() - started_s


def times(store: str, turns: int) -> Iterator[Row]:
    """Over whatever store MLflow is set to; a first turn opens connections and is thrown away."""
    winner()
    results = in_turns(
        {name: lambda side=side: seconds(side) for name, side in SIDES.items()}, turns
    )
    for name, samples in results.items():
        yield row(f"{store}: {name}", samples, "s")
    for name, goal in GOALS.items():
        over = ratios(results, name, "mlflow.search_runs")
        yield row(f"{store}: {name} over mlflow.search_runs", over, "ratio", at_most=goal)


def memory(store: str, count: int) -> Iterator[Row]:
    """Beside the size of the data frame, in which texts take no more than their letters.

    A page of runs is in memory whole, however few there are: the highest has its goal for many.
    """
    frame_bytes = float(bare_search().memory_usage(deep=True).sum())  # type: ignore[attr-defined]
    gc.collect()
    tracemalloc.start()
    runs = tracking.runs_of(EXPERIMENT)
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    del runs
    gc.collect()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    printed()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    yield row(f"{store}: data frame of mlflow.search_runs", [frame_bytes / MEGABYTE], "MB")
    yield row(f"{store}: runs as read, over the frame", [held / frame_bytes], "ratio", at_most=2)
    yield row(
        f"{store}: highest of compare --json, over the frame",
        [peak / frame_bytes],
        "ratio",
        at_most=2 if count >= MANY else None,
    )


def start_up(uri: str, turns: int) -> Iterator[Row]:
    """Of a new process: the answer of a store, and what of it is MLflow's own import."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}

    def process(*arguments: str) -> Callable[[], object]:
        command = [sys.executable, *arguments]
        return lambda: subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True
        )

    sides = {
        "import mlflow": process("-c", "import mlflow"),
        "compare --help": process("-m", "pipeline.compare", "--help"),
        "compare --json": process("-m", "pipeline.compare", "--experiment", EXPERIMENT, "--json"),
    }
    results = in_turns(
        {name: lambda side=side: seconds(side) for name, side in sides.items()}, turns
    )
    for name, samples in results.items():
        yield row(f"new process: {name}", samples, "s")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, too")
    parser.add_argument("--runs", type=int, default=None, help="default: 10000, or 300 if quick")
    return parser.parse_args()


def main() -> None:
    import mlflow

    options = parsed()
    count = options.runs or (300 if options.quick else MANY)
    turns = 2 if options.quick else 3
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        make_store(uri, count)
        mlflow.set_tracking_uri(uri)
        whole = winner()
        rows += times("SQLite", turns)
        rows += memory("SQLite", count)
        rows += start_up(uri, turns)
        with served(uri, Path(folder)) as server:
            mlflow.set_tracking_uri(server)
            if winner() != whole:
                raise RuntimeError("the server's few runs name another winner than all of them")
            rows += times("server", turns)
            rows += memory("server", count)
    print(f"{count} runs")
    report(rows, options.json)


if __name__ == "__main__":
    main()
