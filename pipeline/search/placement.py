"""Where the trainings of a search run, as the user asked for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.search import plan as plans
from pipeline.search.plan import Plan
from steps.errors import InputError

if TYPE_CHECKING:
    from pipeline.search.engines import Engine

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Placement:
    """How many trainings at a time, and where.

    Attributes:
        workers: None for one, or with Ray for as many as there is room for.
        ray: on a cluster rather than in processes of this machine.
        address: of the cluster; empty for one that is started here.
        energy_shared: whether trainings may run together where their energy cannot be told apart.
    """

    workers: int | None
    ray: bool
    address: str
    energy_shared: bool

    @classmethod
    def parse(cls, workers: str, engine: str, address: str, shared_energy: str) -> Self:
        """From texts as typed.

        Raises:
            InputError: a value is not allowed, or two do not go together.
        """
        if engine not in ENGINES:
            raise InputError("--engine", engine, f"choose one of {', '.join(ENGINES)}")
        if shared_energy not in ("no", "yes"):
            raise InputError("--shared-energy", shared_energy, "choose yes or no")
        if address and engine != "ray":
            raise InputError("--address", address, "works only with --engine ray")
        count = plans.whole("--workers", workers, 1) if workers else None
        return cls(count, engine == "ray", address, shared_energy == "yes")

    @property
    def is_parallel(self) -> bool:
        """Whether trainings run in processes of their own."""
        return self.ray or (self.workers or 1) > 1

    def require_fit(self, plan: Plan) -> None:
        """See that the plan can be carried out like this.

        Raises:
            InputError: it needs one process.
        """
        if not self.is_parallel:
            return
        if plan.pruning == "halving":
            problem = "compares trainings one after the other; several at a time need cap or none"
            raise InputError("--pruning", plan.pruning, problem)
        decided = {name for each in plan.space.parameters for name in each.hyperparameters}
        limit = "power_limit_w"
        if limit in plan.fixed or limit in decided:
            problem = "one process sets it and puts it back: leave out --workers and --engine"
            raise InputError("--power-limit-w", plan.fixed.get(limit, ""), problem)

    def engine(self, tracking_uri: str) -> "Engine":
        """Ready to train. Raises: InputError if that cannot be had here."""
        if self.ray:
            from pipeline.search.ray_engine import RayCluster

            return RayCluster(
                self.workers,
                self.address,
                energy_shared=self.energy_shared,
                tracking_uri=tracking_uri,
            )
        from pipeline.search.engines import LocalProcesses

        return LocalProcesses(self.workers or 1, energy_shared=self.energy_shared)
