"""Pool workers as Ray actors, one per device of a cluster: how they start, and how many. Only this module uses Ray.

Every node must see the recordings at the same path; names, journal and transcripts stay with the driver. Not yet tried
with GPU nodes.
"""

import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whisperbatch.backends.messages import FromWorker, Over, PoolWorkerDiedError, ToWorker
from whisperbatch.backends.worker import Worker, options_of_worker
from whisperbatch.backends.worker_pool import WorkerHandle, WorkerPool
from whisperbatch.errors import RunError, UsageError
from whisperbatch.options import RunOptions, load_workers_for
from whisperbatch.pipeline import WorkerEvent
from whisperbatch.processes import n_cores

INSTALL = "--backend ray needs Ray; in a clone of whisperbatch: pip install '.[ray]'"
POLL_S = 1.0  # that an actor waits for a message to send
N_THREADS = 4  # of an actor: one works, one answers polls, one receives, one is spare
PLACEMENT_S = 60.0  # for an actor to find its node before a notice says that it waits
CONNECT_S = 10.0  # for a cluster to answer
GROWTH_S = 5.0  # between two checks whether the cluster has grown
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}  # no telemetry
WorkerFactory = Callable[[RunOptions], Worker]


def pool_of(options: RunOptions) -> "RayPool":
    """Return a pool with an actor for each GPU of the cluster, or ``n_actors``; a run starts or joins Ray.

    Raises:
        UsageError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(INSTALL)
    return RayPool(options, folder_checking_worker)


def folder_checking_worker(options: RunOptions) -> Worker:
    """Return a worker that reports when it cannot see a folder."""
    return Worker(options, checks_folders=True)


class RayPool(WorkerPool):
    """A pool of actors that grows with the cluster unless the options set their number."""

    def __init__(self, options: RunOptions, worker: WorkerFactory) -> None:
        """Connect to nothing yet."""
        super().__init__(self._start_actor, [])
        self._options, self._worker = options, worker
        self._is_mine = False  # whether Ray was started here
        self._plan: _ActorPlan | None = None
        self._over = threading.Event()

    def open(self) -> None:
        """Begin a run, connected to the cluster."""
        if self._plan is None:
            self._connect()
        super().open()

    def close(self) -> None:
        """End the actors, and Ray if it was started here."""
        self._over.set()
        super().close()
        if self._is_mine:
            import ray

            ray.shutdown()

    def _connect(self) -> None:
        import ray

        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        if not ray.is_initialized():
            self._is_mine = True
            address = self._options.workers.ray_address
            n_asked = (self._options.workers.n_actors or 1) * (self._options.workers.cpus_per_actor or 1)
            local = {} if address else {"num_cpus": max(n_cores(), n_asked), "include_dashboard": False}
            try:
                _check_listening(address or "")
                on_sigterm = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
                ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **local)
                if threading.current_thread() is threading.main_thread():  # Ray has replaced the handler there
                    signal.signal(signal.SIGTERM, on_sigterm)
            except (OSError, RuntimeError, ValueError) as err:
                reason = str(err).strip().partition("\n")[0]
                raise RunError(f"no Ray cluster can be reached at {address or 'this machine'} ({reason})") from err
        self._plan = _plan_of(self._options, _nodes())
        for _ in range(self._plan.n_actors):
            self._add()
        if self._options.workers.n_actors is None:
            threading.Thread(target=self._grow, name="whisperbatch-growth", daemon=True).start()

    def _add(self) -> None:
        self.add(f"actor {len(self._names) + 1}")

    def _grow(self) -> None:
        """Add an actor for each device that joins the cluster; if the cluster does not answer, try again later."""
        import ray

        while not self._over.wait(GROWTH_S):
            n_actors = 0
            with suppress(ray.exceptions.RayError, OSError, RuntimeError, ValueError):
                n_actors = _plan_of(self._options, _nodes()).n_actors
            for _ in range(n_actors - len(self._names)):
                self._add()

    def _start_actor(self, name: str) -> WorkerHandle:
        assert self._plan is not None
        return RayWorker(self._options, self._plan, self._worker)


@dataclass(frozen=True, slots=True)
class _ActorPlan:
    """The resources of one actor, and the number of actors."""

    n_actors: int
    n_cpus: float
    n_gpus: int


def _plan_of(options: RunOptions, nodes: list[dict[str, float]]) -> _ActorPlan:
    """One actor per GPU, or per node without GPUs; each has its share of the node's cores, unless an option sets it."""
    wanted = options.workers
    n_gpus = sum(int(node.get("GPU", 0)) for node in nodes) if options.engine.device != "cpu" else 0
    smallest = min((node.get("CPU", 1.0) for node in nodes if node.get("CPU", 0.0) >= 1), default=1.0)
    if n_gpus:
        share = min(node.get("CPU", 0.0) // node["GPU"] for node in nodes if node.get("GPU"))
        return _ActorPlan(wanted.n_actors or n_gpus, wanted.cpus_per_actor or max(1.0, share), 1)
    if wanted.cpus_per_actor is not None:
        room = sum(int(node.get("CPU", 0) // wanted.cpus_per_actor) for node in nodes)
        return _ActorPlan(wanted.n_actors or max(1, room), wanted.cpus_per_actor, 0)
    if wanted.n_actors is None:
        return _ActorPlan(max(1, len([node for node in nodes if node.get("CPU", 0) >= 1])), smallest, 0)
    a_node = -(-wanted.n_actors // max(1, len(nodes)))
    return _ActorPlan(wanted.n_actors, max(1.0, smallest // a_node), 0)


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_listening(address: str) -> None:
    """Raise OSError if nothing listens at an address with a port, which Ray would retry for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_S).close()


class RayWorker:
    """An actor, as the driver sees it; ``messages`` is for one thread, the rest for any."""

    def __init__(self, options: RunOptions, plan: _ActorPlan, worker: WorkerFactory) -> None:
        """Request it from the cluster; it starts when a node has room."""
        import ray

        device = "auto" if plan.n_gpus else "cpu"
        n_load_workers = options.load.n_workers or load_workers_for(int(plan.n_cpus), beside_gpu=bool(plan.n_gpus))
        own = options_of_worker(options, device=device, n_load_workers=n_load_workers)
        kind = ray.remote(_Actor).options(
            num_cpus=plan.n_cpus,
            num_gpus=plan.n_gpus,
            max_concurrency=N_THREADS,
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(max(1, int(plan.n_cpus)))}},
        )
        gpu = f" and {plan.n_gpus} GPU" if plan.n_gpus else ""
        self._waits = f"an actor waits for a node with {plan.n_cpus:g} free cores{gpu}; the run continues without it"
        self._actor: Any = kind.remote(own, worker, Path.cwd())

    def send(self, message: ToWorker) -> None:
        """Send a message; does nothing when the actor is gone."""
        self._actor.receive.remote(message)

    def messages(self) -> Iterator[FromWorker]:
        """Yield its messages, up to ``Over``; PoolWorkerDiedError when the actor or its node dies."""
        import ray

        message: FromWorker | None = None
        is_placed = False
        while not isinstance(message, Over):
            poll = self._actor.messages_within.remote(POLL_S)
            try:
                if not is_placed and not ray.wait([poll], timeout=PLACEMENT_S)[0]:
                    yield WorkerEvent(None, "notice", {"text": self._waits})
                messages = ray.get(poll)
            except ray.exceptions.RayError as err:
                raise PoolWorkerDiedError(_why(err)) from err
            is_placed = True
            for message in messages:
                yield message

    def kill(self) -> None:
        """Kill it."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):  # Ray itself may be gone
            ray.kill(self._actor)


class _Actor:
    """The code inside the actor: a worker and its threads."""

    def __init__(self, options: RunOptions, worker: WorkerFactory, folder: Path) -> None:
        with suppress(OSError):
            os.chdir(folder)  # relative paths start there: a model's, a spool's
        self._worker = worker(options)
        threading.Thread(target=self._worker.work, daemon=True).start()

    def receive(self, message: ToWorker) -> None:
        """Pass a message on."""
        self._worker.receive(message)

    def messages_within(self, seconds: float) -> list[FromWorker]:
        """The worker's new messages; waits up to ``seconds`` for the first."""
        return self._worker.messages_within(seconds)


def _why(error: Exception) -> str:
    """The first line of Ray's error that is not blank."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
