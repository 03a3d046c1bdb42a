"""Messages as signed JSON, for programs."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.notify import Notify
from dotflow.core.exception import ConfigurationError
from dotflow.core.record import event_id
from dotflow.core.redact import mask, mask_value, masked, register
from dotflow.core.types import TypeStatus
from dotflow.providers._http import Answer, checked_timeout, checked_url, send

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE, EVENT_ID = "X-Dotflow-Signature", "X-Dotflow-Event-Id"
RESULT_MOST = 100_000


class NotifyWebhook(Notify):
    """Post each change as JSON to an address of yours, signed if there is a key.

    The body has ``id``, ``event`` (``task`` or ``workflow``), ``sent_at`` (seconds since the epoch), ``workflow_id``,
    ``status``, and ``task`` (as ``task.result()`` gives it) or ``duration`` and ``tasks``. The id, which is also in the
    header ``X-Dotflow-Event-Id``, is the same when the same change is told again, by this process or by one that took
    over the run. The header ``X-Dotflow-Signature`` is ``t=<sent_at>,v1=<hex>``, the HMAC-SHA256 of
    ``<sent_at>.<body>``; see ``NotifyWebhook.verify``.

    Args:
        url: The address.
        key: Signs the messages; a secret.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Whether contexts are sent too.
        timeout: Seconds one request may take.
        headers: Sent with each request; their values are secrets.

    .. versionadded:: 2.0
    """

    def __init__(
        self,
        url: str,
        key: str | bytes | None = None,
        notification_type: str | None = None,
        show_result: bool = True,
        timeout: float = 5,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = checked_url("NotifyWebhook(url=...)", url, secret=False)
        if key is not None and (not isinstance(key, (str, bytes)) or len(key) < 16):
            raise ConfigurationError("NotifyWebhook(key=...) needs at least 16 characters")
        if notification_type is not None and notification_type not in list(TypeStatus):
            raise ConfigurationError(f"NotifyWebhook(notification_type={notification_type!r}) is no status")
        if isinstance(key, str):
            register([key])
        self.notification_type, self.show_result = notification_type, show_result
        self.timeout = checked_timeout("NotifyWebhook(timeout=...)", timeout)
        self._key = key.encode() if isinstance(key, str) else key
        self._headers = dict(headers or {})
        register([value for value in self._headers.values() if len(value) >= 8])

    def hook_status_task(self, task: Any) -> None:
        """Post the change."""
        if self.notification_type is None or task.status == self.notification_type:
            self.post(task)

    def post(self, task: Any) -> Answer:
        """Post *task*; return the answer."""
        result = masked(task).result(max=RESULT_MOST)
        if not self.show_result:
            for name in ("initial_context", "previous_context", "current_context"):
                del result[name]
        known = getattr(task, "event_id", "") or event_id(
            *map(str, (task.workflow_id, task.idempotency_key, task.task_id, task.status, task.retry_count))
        )
        return self._post("task", known, workflow_id=result["workflow_id"], status=result["status"], task=result)

    def hook_status_workflow(self, run: Any) -> None:
        """Post how the run ended, unless one status of tasks was asked for."""
        if self.notification_type is None:
            tasks = {task.task_id: str(task.status) for task in run.tasks}
            about = {"workflow_id": str(run.workflow_id), "status": str(run.status)}
            known = getattr(run, "event_id", "") or event_id(*about.values())
            self._post("workflow", known, **about, duration=run.duration, tasks=tasks)

    def _post(self, event: str, known: str, **body: Any) -> Answer:
        now = int(time.time())
        text = mask(json.dumps({"id": known, "event": event, "sent_at": now, **mask_value(body)}))
        data = text.encode()
        headers = {**self._headers, "Content-Type": "application/json", EVENT_ID: known}
        if self._key is not None:
            headers[SIGNATURE] = f"t={now},v1={_sign(self._key, now, data)}"
        return send("POST", self.url, data, headers, self.timeout)

    @staticmethod
    def verify(key: str | bytes, signature: str, body: bytes, tolerance: float = 300) -> bool:
        """Whether *signature* is that of *body* under *key*, made at most *tolerance* seconds ago."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        made, given = parts.get("t", ""), parts.get("v1", "")
        if not (made.isascii() and made.isdigit()) or abs(time.time() - int(made)) > tolerance:
            return False
        wanted = _sign(key.encode() if isinstance(key, str) else key, int(made), body)
        return hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))


def _sign(key: bytes, made: int, body: bytes) -> str:
    return hmac.new(key, b"%d.%s" % (made, body), hashlib.sha256).hexdigest()
