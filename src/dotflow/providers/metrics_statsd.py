"""Counters and durations for StatsD, in one UDP packet each."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from typing import Any

from dotflow.abc.metrics import Metrics
from dotflow.core.exception import ConfigurationError


class MetricsStatsd(Metrics):
    """Send counters and timers to a StatsD server. Nothing is waited for, and nothing is sent twice.

    Args:
        host: The server. A name is looked up once, in the background; until then nothing is sent.
        port: Its port.
        prefix: What every name begins with.
        tags: Send the status as a tag (``|#status:failed``, as Datadog and others read it), not in the name.

    .. versionadded:: 2.0
    """

    masks = True

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8125, prefix: str = "dotflow", *, tags: bool = False
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
            raise ConfigurationError(f"MetricsStatsd(port=...) needs a port, got {port!r}")
        if not re.fullmatch(r"[\w.-]+", prefix):
            raise ConfigurationError(f"MetricsStatsd(prefix={prefix!r}) needs letters, digits, '.', '-' and '_'")
        self._prefix, self._tags, self._host, self._port = prefix, tags, host, port
        self._socket: socket.socket | None = None
        self._address: Any = None
        try:
            ipaddress.ip_address(host)
        except ValueError:
            threading.Thread(target=self._find, name="dotflow-statsd-name", daemon=True).start()
        else:
            self._find()

    def _find(self) -> None:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        except OSError:
            import logging

            logging.getLogger("dotflow").warning("no metrics are sent: %s cannot be found", self._host)
            return
        found = socket.socket(family, kind, protocol)
        found.setblocking(False)
        self._address, self._socket = address, found

    def close(self) -> None:
        """Release the socket."""
        found, self._socket = self._socket, None
        if found is not None:
            found.close()

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Count a run that begins."""
        self._send("workflow", "started", "1|c")

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that completed."""
        self._both("workflow", "completed", duration)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Count a run that did not."""
        self._both("workflow", "failed", duration)

    def task_completed(self, task: Any) -> None:
        """Count a task that completed."""
        self._both("task", "completed", task.duration)

    def task_failed(self, task: Any) -> None:
        """Count a task that failed."""
        self._both("task", "failed", task.duration)

    def task_retried(self, task: Any) -> None:
        """Count a failed attempt that another one follows."""
        self._send("task.retry", "", "1|c")

    def _both(self, name: str, status: str, duration: float | None) -> None:
        self._send(name, status, "1|c")
        if duration is not None:
            self._send(f"{name}.duration", status, f"{duration * 1000:.3f}|ms")

    def _send(self, name: str, status: str, value: str) -> None:
        if self._socket is None:
            return
        inside, behind = (f".{status}", "") if status and not self._tags else ("", f"|#status:{status}")
        text = f"{self._prefix}.{name}{inside}:{value}{behind if status else ''}"
        try:
            self._socket.sendto(text.encode(), self._address)
        except BlockingIOError:
            pass  # a full buffer loses a packet, as the network may
