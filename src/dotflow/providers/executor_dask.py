"""Attempts on a Dask cluster."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError
from dotflow.providers._cluster import LOST_AGAIN, ClusterExecutor, Job, version
from dotflow.providers._remote import Parcel, make
from dotflow.providers._require import require
from dotflow.providers.executor_process import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

UNWANTED_KEPT = 10_000
CLOSE_PATIENCE = 10.0  # seconds for a cluster of our own to end
START = "start one with `dask scheduler` and `dask worker`, or leave the address out for a cluster on this machine"
KNOCK = "import sys, distributed; distributed.Client(sys.argv[1], timeout=float(sys.argv[2])).close()"


class ExecutorDask(ClusterExecutor):
    """Run plain steps on a Dask cluster. Needs the ``dask`` extra, on the workers too.

    Each attempt is made in a process of its own below the Dask worker, which is killed when the step's time is over
    or the run is cancelled, or when the process that drives the run is gone. When a worker is lost, Dask runs its
    steps again on another, as often as the scheduler's ``allowed-failures`` says (three times, unless it was changed);
    that does not count as one of the step's attempts.

    Args:
        cluster: The address of a scheduler, a ``distributed.Client``, or a cluster object; ``None`` starts workers
            on this machine, which ``close`` ends.
        workers: Workers to start, at least 1; ``None`` for one per usable core. Only without *cluster*.
        in_flight: Attempts that the cluster is given at once; ``None`` for two per thread that it has.
        patience: Seconds for the cluster to answer before a run is refused.

    Raises:
        ModuleNotFound: ``distributed`` is not installed.

    .. versionadded:: 2.0
    """

    def __init__(
        self, cluster: Any = None, *, workers: int | None = None, in_flight: int | None = None, patience: float = 15.0
    ) -> None:
        super().__init__(workers, in_flight, patience)
        self._dask = require("distributed", "dask")
        if cluster is not None and workers is not None:
            raise ConfigurationError("ExecutorDask(workers=...) is for a cluster that it starts; leave cluster out")
        if isinstance(cluster, self._dask.Client) and cluster.asynchronous:
            raise ConfigurationError("ExecutorDask needs a Client without asynchronous=True")
        known = (
            cluster is None or isinstance(cluster, (str, self._dask.Client)) or hasattr(cluster, "scheduler_address")
        )
        if not known:
            raise ConfigurationError(f"ExecutorDask needs an address, a Client or a cluster, got {cluster!r}")
        self._given = cluster
        self._client: Any = cluster if isinstance(cluster, self._dask.Client) else None
        self._own: Any = None

    def _connect(self, until: float) -> None:
        if self._given is None:
            self._own = self._start()
        if isinstance(self._given, str):
            self._ask(["-c", KNOCK, self._given, str(self.patience)], until, self._given, START)
        try:
            if self._client is None:
                self._client = self._dask.Client(
                    self._own or self._given, timeout=until - time.monotonic(), set_as_default=False
                )
            elif not self._alive():
                raise ConfigurationError("ExecutorDask: its Client was shut down; pass one that is connected")
            self._client.wait_for_workers(1, timeout=max(until - time.monotonic(), 0.1))
            found = self._client.submit(version, pure=False).result(timeout=max(until - time.monotonic(), 1.0))
        except TimeoutError as error:
            fix = "start a worker, or scale up" if self._client is not None else START
            self._disconnect()
            reason = f"the cluster {self._where()} has no worker that answers within {self.patience:g} s"
            raise self._refuse(reason, fix) from error
        except OSError as error:
            self._disconnect()
            reason = f"no scheduler at {self._where()} answered within {self.patience:g} s ({error})"
            raise self._refuse(reason, START) from error
        except ImportError as error:
            self._disconnect()
            raise self._refuse(f"a worker lacks a module ({error})", "install dotflow there") from error
        self._compare(found)

    def _start(self) -> Any:
        return self._dask.LocalCluster(
            n_workers=self.workers or usable_cores(),
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",  # a free port: the usual one may be taken
            security=True,  # keys of its own: other users of this machine cannot reach it
        )

    def _where(self) -> str:
        return str(self._given) if isinstance(self._given, str) else repr(type(self._given).__name__)

    def _alive(self) -> bool:
        return bool(self._client.status == "running")

    def _count_cores(self) -> int:
        try:
            return sum(self._client.nthreads().values())
        except (OSError, ValueError):  # the scheduler is gone; those in flight will tell
            return 0

    def _send(self, job: Job) -> None:
        key = f"{job.order.step.name}-{uuid.uuid4().hex}"
        try:
            future = self._client.submit(make_on_dask, job.parcel, key=key, pure=False, retries=0)
        except (OSError, RuntimeError, ValueError) as error:
            job.lost(error)
            return
        job.place = future
        future.add_done_callback(lambda done: self._receive(job, done))

    def _receive(self, job: Job, future: Any) -> None:
        if future.status == "finished":
            try:
                job.done(future.result())
            except (OSError, self._dask.CancelledError) as error:
                job.lost(error)
        elif future.status == "error":
            job.lost(self._why(future.exception()))
        else:
            job.lost("the connection to the scheduler is gone, or somebody cancelled it")
        job.place = None  # lets the result go

    def _why(self, error: BaseException) -> str:
        if isinstance(error, self._dask.KilledWorker):
            return f"it was run {LOST_AGAIN + 1} times, and each time its worker was lost ({error})"
        return f"{type(error).__name__}: {error}"

    def _stop(self, job: Job) -> None:
        future = job.place
        if future is None:
            return
        try:
            found = self._client.run(unwant, future.key, on_error="return")
            if not any(answer is True for answer in found.values()):
                future.cancel()  # it has not begun, and will not
        except (OSError, RuntimeError, ValueError):
            job.lost("stopped")

    def _disconnect(self) -> None:
        client, own = self._client, self._own
        self._own = None
        if client is not None and client is not self._given:
            self._client = None
            client.close(timeout=CLOSE_PATIENCE)
        if own is not None:
            own.close(timeout=CLOSE_PATIENCE)


# -- on the workers -------------------------------------------------------------------------------------------

_running: set[str] = set()
_unwanted: dict[str, None] = {}  # the last ones, also of attempts that have not come to this worker yet


def make_on_dask(parcel: Parcel) -> bytes:
    """Make an attempt for as long as its future is wanted. Called on a worker."""
    from distributed import get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    _running.add(key)
    try:
        return make(parcel, _watch(worker, key))
    finally:
        _running.discard(key)
        _unwanted.pop(key, None)


def unwant(key: str) -> bool:
    """Have that attempt killed, or not begun should it come; return whether this worker makes it."""
    _unwanted[key] = None
    while len(_unwanted) > UNWANTED_KEPT:
        del _unwanted[next(iter(_unwanted))]
    return key in _running


def _watch(worker: Any, key: str) -> Callable[[], bool]:
    def wanted() -> bool:
        task = worker.state.tasks.get(key)  # gone or cancelled when nobody holds the future: its client has ended
        return key not in _unwanted and task is not None and task.state != "cancelled"

    return wanted
