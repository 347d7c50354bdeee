"""Where the trainings of a search run: each in a fresh process, with its GPU for itself."""

import contextlib
import dataclasses
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pipeline
from pipeline.search.job import Job
from steps.errors import InputError

PROJECT = Path(pipeline.__file__).parent.parent

SECONDS_TO_TIDY_UP = 15.0
"""For a worker that is told to end: its run gets what was measured."""

LAST_WORDS = 20
"""Lines of a worker's error stream that are kept."""


@dataclass(frozen=True)
class Ended:
    """A worker is gone.

    Attributes:
        number: of its training.
        failure: how it ended, in a line; empty if well. Whether the training counts is for its run
            to say.
    """

    number: int
    failure: str


class Engine(Protocol):
    """Runs several trainings at a time."""

    @property
    def workers(self) -> int:
        """How many at most."""
        ...

    def free(self) -> int:
        """How many more can be started now."""
        ...

    def start(self, job: Job) -> None:
        """Begin a training; only where one is free."""
        ...

    def ended(self, timeout_s: float) -> list[Ended]:
        """Those that ended since the last call: waits for one, but no longer than `timeout_s`."""
        ...

    def close(self) -> None:
        """End all that are under way."""
        ...


class LocalProcesses:
    """Workers on this machine."""

    def __init__(self, workers: int, *, energy_shared: bool) -> None:
        """See what the machine has.

        Args:
            workers: trainings at a time.
            energy_shared: whether the user insists on trainings that are measured together.

        Raises:
            InputError: two trainings would share a GPU, or a CPU that nobody insisted on sharing.
        """
        gpus = whole_gpus()
        require_own_energy(workers, len(gpus), energy_shared=energy_shared)
        self.workers = workers
        self._gpus = list(gpus[:workers])
        self._shared = shared_energy(workers, has_gpu=bool(gpus))
        self._running: dict[int, subprocess.Popen[str]] = {}
        self._ended: queue.Queue[tuple[Ended, str]] = queue.Queue()

    def free(self) -> int:
        """How many more can be started now."""
        return self.workers - len(self._running)

    def start(self, job: Job) -> None:
        """Begin a training on a GPU that is free."""
        gpu = self._gpus.pop() if self._gpus else ""
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu} if gpu else os.environ
        told = dataclasses.replace(job, energy_shared=self._shared)
        process = start_worker(told.to_json(), environment)
        self._running[job.number] = process
        waiting = threading.Thread(target=self._wait, args=(job.number, process, gpu), daemon=True)
        waiting.start()

    def ended(self, timeout_s: float) -> list[Ended]:
        """Those that ended since the last call."""
        ended: list[Ended] = []
        with contextlib.suppress(queue.Empty):
            while True:
                one, gpu = self._ended.get(timeout=0 if ended else timeout_s)
                ended.append(one)
                del self._running[one.number]
                if gpu:
                    self._gpus.append(gpu)
        return ended

    def close(self) -> None:
        """Ask all to end, and kill those that do not."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(SECONDS_TO_TIDY_UP)
            except subprocess.TimeoutExpired:
                process.kill()

    def _wait(self, number: int, process: "subprocess.Popen[str]", gpu: str) -> None:
        self._ended.put((Ended(number, end_of(process)), gpu))


def start_worker(
    job: str, environment: Mapping[str, str], folder: Path | None = None
) -> "subprocess.Popen[str]":
    """Start a worker with its job, as `Job.to_json` wrote it; `end_of` waits for it.

    Its standard input stays open, since a worker ends with whoever started it.
    """
    paths = (str(PROJECT), environment.get("PYTHONPATH", ""))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.search.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(job + "\n")
        process.stdin.flush()
    return process


def end_of(process: "subprocess.Popen[str]") -> str:
    """Wait for a worker; how it ended, in a line, empty if well."""
    assert process.stderr is not None
    last_words = deque((line.strip() for line in process.stderr if line.strip()), LAST_WORDS)
    code = process.wait()
    if not code:
        return ""
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"{how}, having said: {last_words[-1]}" if last_words else how


def whole_gpus() -> Sequence[str]:
    """Of the GPUs that this process can see, those whose energy is no other's: as UUIDs.

    A slice of a GPU shares its counter with the other slices.
    """
    from energy.sources.device import DeviceError
    from energy.sources.nvml import visible_devices

    try:
        devices, _ = visible_devices()
    except DeviceError:
        return ()
    return [device.uuid for device in devices if not device.is_slice]


def leave_gpus_to_workers() -> None:
    """Keep TensorFlow in this process off the GPUs, whose memory it would take."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def require_own_energy(workers: int, gpus: int, *, energy_shared: bool) -> None:
    """See that each training's energy can be told from its neighbours'.

    Raises:
        InputError: it cannot, and nobody insisted.
    """
    if gpus and workers > gpus:
        problem = f"trainings never share a GPU, and this machine has {gpus}"
        raise InputError("--workers", workers, problem)
    if not gpus and workers > 1 and not energy_shared:
        problem = (
            "without a GPU each, trainings on one machine are measured together; "
            "--shared-energy yes insists on that"
        )
        raise InputError("--workers", workers, problem)


def shared_energy(trainings: int, *, has_gpu: bool) -> str:
    """What a run says of the energy that it shared; empty if none."""
    if trainings == 1:
        return ""
    part = "CPU and RAM: " if has_gpu else ""
    return f"{part}up to {trainings} trainings at once on this machine"
