"""Options of the worker pool: models in this process, in one process for each device, or on a Ray cluster."""

from dataclasses import dataclass

from whisperbatch.options.checks import require

BACKENDS = ("local", "ray")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where the models run.

    Attributes:
        backend: ``local`` (this machine, see ``EngineOptions.device``) or ``ray``.
        ray_address: Address of a running cluster, as ``ray.init`` takes it; None starts one on this machine.
        n_actors: The number of actors; None means one for each GPU, or for each node if there are no GPUs.
        cpus_per_actor: Cores of each actor; None divides a node's cores among its GPUs.
    """

    backend: str = "local"
    ray_address: str | None = None
    n_actors: int | None = None
    cpus_per_actor: int | None = None

    def __post_init__(self) -> None:
        """Check that the options fit together."""
        require(self.backend in BACKENDS, f"unknown backend '{self.backend}'; choose from {', '.join(BACKENDS)}")
        require(self.n_actors is None or self.n_actors >= 1, "`actors` must be 1 or more")
        require(self.cpus_per_actor is None or self.cpus_per_actor >= 1, "`cpus_per_actor` must be 1 or more")
        is_ray = self.backend == "ray"
        for name, value in (
            ("ray_address", self.ray_address),
            ("actors", self.n_actors),
            ("cpus_per_actor", self.cpus_per_actor),
        ):
            require(is_ray or value is None, f"`{name}` needs `backend=ray`")
