"""What executors on clusters share: connecting before a run, and attempts that are on their way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.executor import Executor
from dotflow.core.attempt import failure
from dotflow.core.exception import ClusterUnreachable, ConfigurationError, UnsupportedOption, WorkerLost
from dotflow.core.messages import Outcome
from dotflow.providers._common import whole_number
from dotflow.providers._remote import Packer, Parcel, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.action import Action
    from dotflow.core.messages import Attempt

LOST_AGAIN = 3  # times that an attempt is made again when its worker or node is lost
COUNT_AGAIN = 2.0  # seconds after which the cluster's cores are counted anew
AHEAD = 2  # attempts for each core: the next one waits where it will run


class Job:
    """One attempt on its way."""

    __slots__ = ("losses", "order", "parcel", "place", "report", "stopped")

    def __init__(self, order: Attempt, parcel: Parcel, report: Callable[[Outcome], None]) -> None:
        self.order, self.parcel, self.report = order, parcel, report
        self.losses, self.stopped = 0, False
        self.place: Any = None  # the future, or the reference, that the library gave for it

    def done(self, blob: bytes) -> None:
        """Report the outcome that came back."""
        self.report(unpacked(self.order, blob))

    def lost(self, reason: object) -> None:
        """Report that no outcome will come: it was stopped, or its worker is lost."""
        if self.stopped:
            self.report(Outcome(self.order.position, self.order.number, interrupted=True))
            return
        error = WorkerLost(f"the cluster lost step {self.order.step.name!r}: {reason}")
        self.report(failure(self.order, error))


class ClusterExecutor(Executor):
    """Makes attempts on a cluster, each in a worker process that its node can kill."""

    stops: ClassVar[bool] = True

    def __init__(self, workers: int | None, in_flight: int | None, patience: float) -> None:
        self._kind = type(self).__name__
        self.workers = whole_number(f"{self._kind}(workers=...)", workers)
        self._in_flight = whole_number(f"{self._kind}(in_flight=...)", in_flight)
        if isinstance(patience, bool) or not isinstance(patience, (int, float)) or not patience > 0:
            raise ConfigurationError(f"{self._kind}(patience=...) needs seconds, more than 0, got {patience!r}")
        self.patience = float(patience)
        self._packer = Packer()
        self._lock = threading.RLock()
        self._cores, self._counted = 1, 0.0
        self._open = self._closed = False

    @property
    def slots(self) -> int:  # type: ignore[override]  # the cluster grows and shrinks
        """Attempts it takes at once."""
        return self._in_flight or AHEAD * max(self._cores, 1)

    def check(self, step: Action[..., Any]) -> None:
        """Connect, if that has not been done, and see that *step* can travel.

        Raises:
            ConfigurationError: this was closed, or what it was given was shut down.
            ClusterUnreachable: the cluster does not answer in time, has no worker, or no dotflow of this version.
            StepNotPortable: *step* cannot be sent to another process.
        """
        with self._lock:
            if self._closed:
                raise ConfigurationError(f"this {self._kind} is closed; make a new one")
            if not self._open:
                self._connect(time.monotonic() + self.patience)
                self._open = True
                self._count()
            elif not self._alive():
                raise ConfigurationError(f"{self._kind}: the connection to the cluster was shut down; make a new one")
        self._packer.step(step)

    def submit(self, order: Attempt, report: Callable[[Outcome], None]) -> Callable[[], None]:
        """Send the attempt to the cluster."""
        parcel = self._packer.parcel(order, killable=True)
        if isinstance(parcel, Outcome):
            report(parcel)
            return lambda: None
        if time.monotonic() - self._counted > COUNT_AGAIN:
            self._counted = time.monotonic()
            threading.Thread(target=self._count, name="dotflow-count", daemon=True).start()
        job = Job(order, parcel, report)
        self._send(job)

        def stop() -> None:
            job.stopped = True
            # In a thread, since a node may take its time to answer.
            threading.Thread(target=self._stop, args=(job,), name="dotflow-stop", daemon=True).start()

        return stop

    def close(self) -> None:
        """Let the cluster go; one that this started ends."""
        with self._lock:
            was_open, self._open, self._closed = self._open, False, True
        if was_open:
            self._disconnect()

    def _count(self) -> None:
        self._counted = time.monotonic()
        self._cores = self._count_cores() or self._cores

    def _ask(self, words: list[str], until: float, where: str, fix: str) -> None:
        """Have another Python process reach the cluster, since the libraries themselves may try for ever."""
        reason = f"no cluster at {where} answered within {self.patience:g} s"
        try:
            subprocess.run(
                [sys.executable, *words],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=max(until - time.monotonic(), 0.1),
            )
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise self._refuse(f"{reason} ({said})", fix) from error
        except subprocess.TimeoutExpired as error:
            raise self._refuse(reason, fix) from error

    def _refuse(self, reason: object, fix: str) -> ClusterUnreachable:
        return ClusterUnreachable(f"{self._kind}: {reason}; {fix}")

    def _compare(self, found: object) -> None:
        if found != version():
            raise UnsupportedOption(
                f"{self._kind}: the workers have dotflow {found}, this process has {version()}; "
                "install the same version on both"
            )

    @abstractmethod
    def _connect(self, until: float) -> None:
        """Reach the cluster before the monotonic time *until*, and see that a worker has this dotflow."""

    @abstractmethod
    def _alive(self) -> bool:
        """Whether the connection still stands."""

    @abstractmethod
    def _count_cores(self) -> int:
        """How many attempts the cluster can make at once, 0 if it does not say."""

    @abstractmethod
    def _send(self, job: Job) -> None:
        """Start *job*; report its outcome when it is there."""

    @abstractmethod
    def _stop(self, job: Job) -> None:
        """Have what *job* runs killed."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Release what ``_connect`` made."""


def version() -> str:
    """Return dotflow's version here."""
    return str(sys.modules["dotflow"].__version__)  # the root is above this layer
