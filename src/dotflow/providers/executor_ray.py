"""Attempts on a Ray cluster."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

from dotflow.core.attempt import failure
from dotflow.core.exception import ConfigurationError
from dotflow.providers._cluster import LOST_AGAIN, ClusterExecutor, Job, version
from dotflow.providers._remote import make
from dotflow.providers._require import require

STOP_PATIENCE = 5.0  # seconds for a worker to kill its step before it is killed itself
START = "start one with `ray start --head`, or leave the address out for a cluster on this machine"


class ExecutorRay(ClusterExecutor):
    """Run plain steps on a Ray cluster. Needs the ``ray`` extra, and dotflow on the nodes too.

    Each attempt is made in a process of its own below the Ray worker, which is killed when the step's time is over
    or the run is cancelled, or when the process that drives the run is gone. When a worker or a node is lost, its
    steps are run again, three times each at most; that does not count as one of the step's attempts.

    Ray has one cluster per process: if ``ray.init`` was called, that one is used.

    Args:
        address: ``host:port`` of a cluster's head, or ``auto``; ``None`` starts one on this machine, which ``close``
            ends.
        workers: Cores of the cluster to start, at least 1; ``None`` for all. Only without *address*.
        in_flight: Attempts that the cluster is given at once; ``None`` for two per core that it has.
        patience: Seconds for the cluster to answer before a run is refused.

    Raises:
        ModuleNotFound: ``ray`` is not installed.

    .. versionadded:: 2.0
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        in_flight: int | None = None,
        patience: float = 60.0,
    ) -> None:
        super().__init__(workers, in_flight, patience)
        if address is not None and not isinstance(address, str):
            raise ConfigurationError(f"ExecutorRay(address) needs a text like 'host:6379', got {address!r}")
        if address is not None and workers is not None:
            raise ConfigurationError("ExecutorRay(workers=...) is for a cluster that it starts; leave address out")
        if address is not None and "://" in address:
            raise ConfigurationError(
                f"ExecutorRay({address!r}): call ray.init({address!r}) first, and leave it out here"
            )
        self._ray = require("ray", "ray")
        self._address = address
        self._owned = False
        self._remote: Any = None

    def _connect(self, until: float) -> None:
        ray, address = self._ray, self._address
        if address is not None and ":" in address:
            self._knock(address, until)
        if not ray.is_initialized():
            self._owned = True
            self._start()
        elif address not in (None, "auto", ray.get_runtime_context().gcs_address):
            raise ConfigurationError(
                f"ExecutorRay({address!r}): this process is connected to another cluster already, "
                f"{ray.get_runtime_context().gcs_address}; leave the address out, or call ray.shutdown() first"
            )
        self._remote = ray.remote(max_retries=0)(make)
        try:
            found = ray.get(ray.remote(version).remote(), timeout=max(until - time.monotonic(), 1.0))
        except ray.exceptions.GetTimeoutError as error:
            self._disconnect()
            reason = f"no worker of the cluster answered within {self.patience:g} s"
            raise self._refuse(reason, "see `ray status`: it needs a node with a free CPU") from error
        except ray.exceptions.RayError as error:
            self._disconnect()
            raise self._refuse(f"a worker cannot run dotflow ({error})", "install dotflow there") from error
        self._compare(found)

    def _start(self) -> None:
        """Join the cluster, or start one; leave the handler of SIGTERM as it was, which Ray replaces."""
        address = self._address
        main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM) if main else None
        try:
            if address is None:
                self._ray.init(address="local", num_cpus=self.workers, include_dashboard=False)
            else:
                self._ray.init(address=address)
        except ConnectionError as error:
            raise self._refuse(f"no cluster at {address!r} ({error})", START) from error
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)

    def _knock(self, address: str, until: float) -> None:
        """Refuse an address that does not answer; ``ray.init`` itself would try for minutes."""
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=max(until - time.monotonic(), 0.1)).close()
        except ValueError as error:
            raise ConfigurationError(f"ExecutorRay({address!r}) needs an address like 'host:6379'") from error
        except OSError as error:
            raise self._refuse(
                f"no cluster at {address} answered within {self.patience:g} s ({error})", START
            ) from error
        self._ask(["-m", "ray.scripts.scripts", "health-check", "--address", address], until, address, START)

    def _alive(self) -> bool:
        return bool(self._ray.is_initialized())

    def _count_cores(self) -> int:
        try:
            return int(self._ray.cluster_resources().get("CPU", 0))
        except (self._ray.exceptions.RayError, ConnectionError, RuntimeError):
            return 0  # it is gone; the attempts in flight will tell

    def _send(self, job: Job) -> None:
        ray = self._ray
        try:
            job.place = self._remote.options(name=job.order.step.name).remote(job.parcel)
            future = job.place.future()
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            job.lost(error)
            return
        future.add_done_callback(lambda done: self._receive(job, done))

    def _receive(self, job: Job, future: Any) -> None:
        error = future.exception()
        job.place = None  # lets the result go
        if error is None:
            job.done(future.result())
        elif job.stopped:
            job.lost(error)
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            job.report(failure(job.order, error))
        elif job.losses < LOST_AGAIN:
            job.losses += 1
            self._send(job)
        else:
            job.lost(f"it was run {LOST_AGAIN + 1} times, and each time its worker was lost ({error})")

    def _stop(self, job: Job) -> None:
        place = job.place
        if place is None:
            return
        self._ray.cancel(place)  # the worker kills what it runs, and answers
        done, _ = self._ray.wait([place], timeout=STOP_PATIENCE)
        if not done:
            self._ray.cancel(place, force=True)

    def _disconnect(self) -> None:
        if self._owned and self._ray.is_initialized():
            self._ray.shutdown()
        self._owned = False
