"""The lead of a workflow where nothing holds a lock open: an object that its holder writes anew every few seconds.

How old a lease is, is told by the server's clock alone: the clocks of two machines need not agree.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import StorageError, WorkflowBusy
from dotflow.core.identity import alive, identity
from dotflow.providers._bucket import ABSENT

if TYPE_CHECKING:
    from dotflow.providers._bucket import Bucket, Found

SOON, LATE = 0.05, 1.0  # seconds between two tries to become the leader: at first, and after a while
FREE = json.dumps({"token": None}).encode()


class Lease:
    """One lead, from ``take`` to ``give_up``.

    Args:
        bucket: Where the object is.
        name: Its name.
        seconds: How long it holds without being renewed.
    """

    def __init__(self, bucket: Bucket, name: str, seconds: float) -> None:
        self._bucket, self._name, self._seconds = bucket, name, seconds
        self._about = {
            "token": uuid.uuid4().hex,
            **identity(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "lease": seconds,
        }
        self._pid, self._beat = os.getpid(), 0
        self._version: Any = None
        self._renewed = (0.0, 0.0)
        self._lost = False
        self._clock: tuple[float, float] | None = None
        self._one_at_a_time, self._over = threading.Lock(), threading.Event()

    def take(self, workflow_id: Any, wait: float) -> None:
        """Become the holder, and stay it until ``give_up``.

        Raises:
            WorkflowBusy: another one holds it still after *wait* seconds.
        """
        until, pause = time.monotonic() + wait, SOON
        while True:
            found = self._bucket.read(self._name, dated=True)
            if (found is None or self._is_free(found)) and self._write(ABSENT if found is None else found.version):
                break
            if (left := until - time.monotonic()) <= 0:
                raise WorkflowBusy(workflow_id, _holder(self._bucket.read(self._name)))
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LATE)
        threading.Thread(target=self._keep, name=f"dotflow-lease-{workflow_id}", daemon=True).start()

    def prove(self) -> None:
        """Raise unless the lease is still held, now."""
        age = max(time.monotonic() - self._renewed[0], time.time() - self._renewed[1])  # the first stops in sleep
        if not self._lost and age > self._seconds * 2 / 3:
            self._renew()
        if self._lost:
            raise StorageError("this process no longer leads the workflow: another one took over; it saves nothing")

    def give_up(self) -> None:
        """Let others take it; does nothing the second time, or in a forked child."""
        if os.getpid() != self._pid or self._over.is_set():
            return
        self._over.set()
        with self._one_at_a_time:
            if not self._lost:
                try:
                    self._bucket.write(self._name, FREE, self._version)
                except StorageError:
                    pass  # it ends by itself

    def _keep(self) -> None:
        pause = self._seconds / 3
        while not self._over.wait(pause) and not self._lost:
            try:
                self._renew()
                pause = self._seconds / 3
            except StorageError:
                pause = self._seconds / 30

    def _renew(self) -> None:
        with self._one_at_a_time:
            if self._lost or self._over.is_set() or self._write(self._version):
                return
            found = self._bucket.read(self._name)
            if found is None or _about(found).get("token") != self._about["token"]:
                self._lost = True
            else:  # a renewal came through whose answer did not
                self._version = found.version

    def _write(self, version: Any) -> bool:
        self._beat += 1  # so that no two versions have the same content, which would make them one to S3
        now = time.monotonic(), time.time()
        written = self._bucket.write(self._name, json.dumps({**self._about, "beat": self._beat}).encode(), version)
        if written is None:
            return False
        self._version, self._renewed = written, now
        return True

    def _is_free(self, found: Found) -> bool:
        about = _about(found)
        if "token" in about and about["token"] is None:
            return True
        lives = alive(about)
        if lives is not None:
            return not lives
        try:
            seconds = float(about["lease"])
        except (KeyError, TypeError, ValueError):  # it is not of ours: let it have the time that ours would have
            seconds = self._seconds
        return self._now() - found.modified >= seconds

    def _now(self) -> float:
        """Return the server's time, or a little less."""
        if self._clock is None:
            trial = f"{self._name}.{self._about['token']}"
            self._bucket.write(trial, b"what time is it?")
            after = time.monotonic()
            found = self._bucket.read(trial, dated=True)
            self._bucket.remove(trial)
            if found is None:
                raise StorageError("an object that was just written is not there")
            self._clock = found.modified, after
        return self._clock[0] + time.monotonic() - self._clock[1]


def _about(found: Found) -> dict[str, Any]:
    try:
        about = json.loads(found.data)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _holder(found: Found | None) -> str:
    about = _about(found) if found else {}
    if not about.get("token"):
        return "a process that has just ended"
    return f"process {about.get('pid')} on host {about.get('host')}, since {about.get('since')}"
