"""Where a run's models are: in this process, in one a device, or on a Ray cluster."""

from dataclasses import dataclass

from whisperbatch.options.checks import require

BACKENDS = ("local", "ray")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Who transcribes.

    Attributes:
        backend: ``local`` (this machine, see ``EngineOptions.device``) or ``ray``.
        ray_address: Of a cluster that runs, as ``ray.init`` takes it; None starts one on this machine.
        n_actors: How many actors; None is one a GPU, or one a CPU node where there is no GPU.
        cpus_per_actor: Cores of each; None is those of its node, shared out among the GPUs.
    """

    backend: str = "local"
    ray_address: str | None = None
    n_actors: int | None = None
    cpus_per_actor: int | None = None

    def __post_init__(self) -> None:
        """Check that the parts go together."""
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
