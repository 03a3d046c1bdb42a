"""What the notifiers of services share: which changes are told, and how their parts become text."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.notify import Notify
from dotflow.core.calling import explained
from dotflow.core.exception import ConfigurationError
from dotflow.core.redact import mask, masked
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.providers._http import checked_timeout, checked_url

if TYPE_CHECKING:
    from collections.abc import Callable

NAMED_MOST = 10  # failed tasks that the message about a run names
SYMBOLS = {WorkflowStatus.COMPLETED: "✅", WorkflowStatus.FAILED: "❌"}


class Message(NamedTuple):
    """The parts of a message, clean, masked, and in no service's dialect yet.

    Attributes:
        title: Symbol and status.
        place: Which workflow and task.
        status: The status alone.
        error: ``(exception, message)`` of the last error of a failed task.
        result: The task as JSON.
        lines: More of it: the failed tasks of a run.
        event_id: The same each time the same change is told.
    """

    title: str
    workflow_id: str
    task_id: str | None
    status: str
    error: tuple[str, str] | None = None
    result: str | None = None
    lines: tuple[str, ...] = ()
    event_id: str = ""

    def short(self) -> str:
        """Return the message as one line."""
        place = self.workflow_id if self.task_id is None else f"{self.workflow_id} — Task {self.task_id}"
        return f"{self.title} {place}"


class Messenger(Notify):
    """A notifier that turns changes into messages.

    Attributes:
        result_size: Characters of the result's JSON at most.
    """

    result_size = 3000

    def __init__(self, notification_type: str | None, show_result: bool, timeout: float, runs: bool) -> None:
        name = type(self).__name__
        if notification_type is not None and notification_type not in list(TypeStatus):
            raise ConfigurationError(
                f"{name}(notification_type={notification_type!r}) is no status; use one of {', '.join(TypeStatus)}"
            )
        self.notification_type = notification_type
        self.show_result = show_result
        self.timeout = checked_timeout(f"{name}(timeout=...)", timeout)
        self.runs = runs

    def hook_status_task(self, task: Any) -> None:
        """Send a message, if that status is wanted."""
        if self.notification_type is None or task.status == self.notification_type:
            self.send(self.message_of(task))

    def hook_status_workflow(self, run: Any) -> None:
        """Send a message about the whole run, if ``runs`` asks for it."""
        if self.runs:
            self.tell_run(run)

    def tell_run(self, run: Any) -> None:
        """Send one message about the whole run."""
        self.send(message_of_run(run))

    def message_of(self, task: Any) -> Message:
        """Return the message about *task*."""
        task = masked(task) if hasattr(task, "_errors") else task
        symbol = TypeStatus.get_symbol(task.status) or ""
        error = None
        if task.status == TypeStatus.FAILED and task.errors:
            error = clean(task.errors[-1].exception), clean(task.errors[-1].message)
        result = json_of(task, self.result_size) if self.show_result else None
        title = f"{symbol} {task.status}".strip()
        known = getattr(task, "event_id", "")
        return Message(title, flat(task.workflow_id), flat(task.task_id), str(task.status), error, result, (), known)

    @abstractmethod
    def send(self, message: Message) -> Any:
        """Send *message*; return the answer."""


class WebhookMessenger(Messenger):
    """A notifier that posts its messages to a webhook, whose address is a secret."""

    @explained
    def __init__(
        self,
        webhook_url: str,
        notification_type: str | None = None,
        show_result: bool = False,
        timeout: float = 1.5,
        *,
        runs: bool = False,
    ) -> None:
        super().__init__(notification_type, show_result, timeout, runs)
        self.webhook_url = checked_url(f"{type(self).__name__}(webhook_url=...)", webhook_url)


def message_of_run(run: Any) -> Message:
    """Return the message about a run that ended."""
    done = sum(task.status == TypeStatus.COMPLETED for task in run.tasks)
    failed = [task for task in run.tasks if task.status == TypeStatus.FAILED]
    lines = [f"{done} of {len(run.tasks)} tasks completed in {run.duration:.1f} s"]
    for task in failed[:NAMED_MOST]:
        last = task.errors[-1] if task.errors else None
        told = f": {flat(last.exception)}: {flat(last.message)}" if last else ""
        lines.append(cut(f"{flat(task.task_id)}{told}", 300))
    if len(failed) > NAMED_MOST:
        lines.append(f"and {len(failed) - NAMED_MOST} more")
    title = f"{SYMBOLS.get(run.status, '◼️')} {run.status}"
    known = getattr(run, "event_id", "")
    return Message(title, flat(run.workflow_id), None, str(run.status), None, None, tuple(lines), known)


def clean(value: Any) -> str:
    """Return *value* as masked text without lone surrogates and control characters, line breaks and tabs excepted."""
    text = mask(str(value)).replace("\r\n", "\n")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" or _joins(c) else "\ufffd" for c in text)


def _joins(char: str) -> bool:
    return char in "\u200d\xa0\u3000" or "\u2000" <= char <= "\u200a"


def flat(value: Any) -> str:
    """Return *value* as one clean line."""
    return clean(value).replace("\n", " ").replace("\t", " ")


def json_of(task: Any, most: int) -> str:
    """Return the task as JSON of at most *most* characters."""
    result = task.result(max=most)
    text = clean(json.dumps(result, ensure_ascii=False))
    if len(text) <= most:
        return text
    known = {name: result.get(name) for name in ("task_id", "workflow_id", "status", "duration", "retry_count")}
    text = clean(json.dumps(known, ensure_ascii=False))
    return text if len(text) <= most else "{}"


def units(text: str) -> int:
    """Return the length of *text* in UTF-16 code units, as most services count."""
    return len(text) + sum(char > "\uffff" for char in text)


def cut(text: str, most: int, measure: Callable[[str], int] = units) -> str:
    """Return *text*, or its beginning and an ellipsis, with a measure of at most *most*."""
    if measure(text) <= most:
        return text
    low, high = 0, min(len(text), most)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle]) < most else (low, middle - 1)
    return text[:low] + "…" if most else ""


def fitted(text: str, most: int, escape: Callable[[str], str]) -> str:
    """Return *text* escaped and cut to *most* units, never in the middle of an escape."""
    return escape(cut(text, most, lambda part: units(escape(part))))


def in_code(text: str) -> str:
    """Return *text* for a code span or block: nothing in it can end that."""
    return text.replace("`", "ˋ")
