"""Trainings on a cluster, by Ray Core (https://docs.ray.io), an optional extra."""

import dataclasses
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.search.engines import (
    PROJECT,
    Ended,
    require_own_energy,
    shared_energy,
    whole_gpus,
)
from pipeline.search.job import Job
from steps.errors import InputError, one_line

OF_ONE_MACHINE = ("sqlite:", "file:", "/")
"""How the address of a store begins that other machines do not have."""

LONGEST_REASON = 200


class RayCluster:
    """Workers on the machines of a Ray cluster: one per GPU, or one per machine without.

    A machine that is lost takes its trainings with it; one that joins is used at once.
    """

    def __init__(
        self, workers: int | None, address: str, *, energy_shared: bool, tracking_uri: str
    ) -> None:
        """Connect.

        Args:
            workers: trainings at a time; None for as many as the cluster has room for.
            address: of the cluster, ``auto`` for the one that this machine belongs to; empty to
                start Ray on this machine alone.
            energy_shared: whether the user insists on trainings that are measured together.
            tracking_uri: of the store.

        Raises:
            InputError: there is no Ray, no such cluster, no room in it, or no store that all of
                it can reach.
        """
        self._ray = _ray()
        self._insists = energy_shared
        self._most = workers
        self._running: dict[Any, tuple[int, str]] = {}
        self._connect(address, workers)
        self._train = self._ray.remote(max_retries=0)(_trainer())
        try:
            self._check(address, tracking_uri)
        except InputError:
            self._ray.shutdown()
            raise

    @property
    def workers(self) -> int:
        """How many at most, of the machines that are there now."""
        room = sum(self._room(node) for node in self._nodes())
        return room if self._most is None else min(self._most, room)

    def free(self) -> int:
        """How many more can be started now."""
        return max(0, self.workers - len(self._running))

    def start(self, job: Job) -> None:
        """Begin a training on the machine with the most room."""
        busy = Counter(node_id for _, node_id in self._running.values())
        node = max(self._nodes(), key=lambda each: self._room(each) - busy[each["NodeID"]])
        room, has_gpu = self._room(node), bool(_amount(node, "GPU"))
        at_once = room if self._most is None else min(room, self._most)
        told = dataclasses.replace(job, energy_shared=shared_energy(at_once, has_gpu=has_gpu))
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        task = self._train.options(
            # All of the machine, or its share: what else the cluster runs is not to be measured.
            num_cpus=_amount(node, "CPU") // room,
            num_gpus=1 if has_gpu else 0,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(
                node["NodeID"], soft=False
            ),
        )
        reference = task.remote(told.to_json(), str(Path.cwd()), str(PROJECT))
        self._running[reference] = job.number, node["NodeID"]

    def ended(self, timeout_s: float) -> list[Ended]:
        """Those that ended since the last call, lost ones included."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        return [Ended(self._running.pop(each)[0], self._failure(each)) for each in ready]

    def close(self) -> None:
        """End all that are under way; the cluster stays, unless it was started for this search."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def _connect(self, address: str, workers: int | None) -> None:
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        if address:
            try:
                self._ray.init(address=address, **quiet)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError("--address", address, one_line(error)) from None
            return
        gpus = len(whole_gpus())
        cpus = max(workers or 1, os.cpu_count() or 1)
        self._ray.init(
            address="local", num_cpus=cpus, num_gpus=gpus, include_dashboard=False, **quiet
        )

    def _check(self, address: str, tracking_uri: str) -> None:
        nodes = self._nodes()
        if not self.workers:
            raise InputError("--address", address, "no machine of the cluster has CPUs to give")
        if len(nodes) > 1 and tracking_uri.startswith(OF_ONE_MACHINE):
            problem = "needs a tracking server that all machines reach: set MLFLOW_TRACKING_URI"
            raise InputError("--engine", "ray", problem)
        if self._most is not None and self._most > self.workers:
            gpus = int(sum(_amount(node, "GPU") for node in nodes))
            if gpus or len(nodes) == 1:
                require_own_energy(self._most, gpus, energy_shared=self._insists)
            problem = f"the cluster has room for {self.workers}"
            raise InputError("--workers", self._most, problem)

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines to use: joules on a GPU and without one do not compare."""
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        return [node for node in alive if _amount(node, "GPU")] or alive

    def _room(self, node: dict[str, Any]) -> int:
        if gpus := _amount(node, "GPU"):
            return gpus
        return _amount(node, "CPU") if self._insists else min(1, _amount(node, "CPU"))

    def _failure(self, reference: Any) -> str:
        try:
            return str(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            reason = getattr(error, "cause", None) or error
            return f"was lost by Ray: {one_line(reason)[:LONGEST_REASON]}"


def _amount(node: dict[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))


def _trainer() -> Callable[[str, str, str], str]:
    """What runs on a machine of the cluster.

    A function of a function travels as it is; one of a module would be looked for over there, where
    Python does not know the way to this project yet.
    """

    def train(job: str, folder: str, project: str) -> str:
        sys.path.insert(0, project)
        from pipeline.search.engines import end_of, start_worker

        here = Path(folder) if Path(folder).is_dir() else None
        return end_of(start_worker(job, os.environ, here))

    return train


def _ray() -> Any:
    # By name: with its own types or without, Ray looks the same to mypy.
    try:
        return importlib.import_module("ray")
    except ImportError:
        problem = "needs Ray, which is not installed: pip install 'greenest[ray]'"
        raise InputError("--engine", "ray", problem) from None
