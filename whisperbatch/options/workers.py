"""Options of the workers: where the models run, and on how many actors."""

from dataclasses import dataclass

from whisperbatch.options.checks import require

BACKENDS = ("local", "ray")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where the models run.

    Attributes:
        backend: ``local`` (this machine, see ``EngineOptions.device``) or ``ray``.
        ray_address: Address of a running cluster, as for ``ray.init``; None starts one on this machine.
        n_actors: Number of actors; None means one per GPU, or one per node if there is no GPU.
        cpus_per_actor: Cores of each; None divides a node's cores among its GPUs.
    """

    backend: str = "local"
    ray_address: str | None = None
    n_actors: int | None = None
    cpus_per_actor: int | None = None

    def __post_init__(self) -> None:
        """Check that the options go together."""
        require(self.backend in BACKENDS, f"unknown backend '{self.backend}'; choose from {', '.join(BACKENDS)}")
        require(self.n_actors is None or self.n_actors >= 1, "--actors must be 1 or more")
        require(self.cpus_per_actor is None or self.cpus_per_actor >= 1, "--cpus-per-actor must be 1 or more")
        is_ray = self.backend == "ray"
        for flag, value in (
            ("--ray-address", self.ray_address),
            ("--actors", self.n_actors),
            ("--cpus-per-actor", self.cpus_per_actor),
        ):
            require(is_ray or value is None, f"{flag} needs --backend ray")
