"""``dotflow notify test``: send one message and show what the other side answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError, DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.abc.notify import Notify
    from dotflow.core.task import Task

PATIENCE = 9.0


def _telegram(url: str) -> Notify:
    from dotflow.providers import NotifyTelegram

    token, _, chat = url.partition("://")[2].rstrip("/").rpartition("/")
    return NotifyTelegram(token, chat, timeout=PATIENCE)


def _email(url: str) -> Notify:
    from urllib.parse import parse_qs, unquote, urlsplit

    from dotflow.providers import NotifyEmail

    parts = urlsplit(url)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return NotifyEmail(
        parts.hostname or "",
        asked.get("from", ""),
        asked.get("to", asked.get("from", "")),
        parts.port,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        security=asked.get("security", "starttls"),
        timeout=PATIENCE,
    )


def _made(name: str) -> Callable[[str], Notify]:
    def make(url: str) -> Notify:
        from dotflow import providers

        options: dict[str, Any] = {} if name == "NotifyApprise" else {"timeout": PATIENCE}
        return getattr(providers, name)(url, **options)  # type: ignore[no-any-return]  # a lazy module

    return make


SERVICES: dict[str, Callable[[str], Notify]] = {
    "slack": _made("NotifySlack"),
    "discord": _made("NotifyDiscord"),
    "teams": _made("NotifyTeams"),
    "telegram": _telegram,
    "email": _email,
    "webhook": _made("NotifyWebhook"),
    "apprise": _made("NotifyApprise"),
}
HOSTS = {
    "hooks.slack.com": "slack",
    "discord.com": "discord",
    "discordapp.com": "discord",
    "webhook.office.com": "teams",
    "logic.azure.com": "teams",
    "api.powerplatform.com": "teams",
}
SCHEMES = {"tgram": "telegram", "smtp": "email", "http": "webhook", "https": "webhook"}


def service_of(url: str) -> str:
    """Return the name of the service that *url* belongs to."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if not parts.scheme:
        raise ConfigurationError("this is no URL; it begins with https://, smtp://, tgram:// or a scheme of Apprise")
    for host, name in HOSTS.items():
        if parts.hostname is not None and (parts.hostname == host or parts.hostname.endswith(f".{host}")):
            return name
    return SCHEMES.get(parts.scheme, "apprise")


def send_test(url: str, service: str | None) -> int:
    """Send a message to *url* and write the answer; return the exit code."""
    from dotflow.core.redact import mask
    from dotflow.views.progress import escape, write

    name = service or service_of(url)
    notify = SERVICES[name](url)
    try:
        answer = _send(notify, _task())
    except DeliveryFailed as error:
        write(sys.stderr, escape(mask(f"Error: {name}: {error}")))
        return 1
    told = f"{answer.status} {answer.text[:300]}".strip() if hasattr(answer, "status") else str(answer or "sent")
    write(sys.stdout, escape(mask(f"{name}: {told}")))
    return 0


def _send(notify: Any, task: Task) -> Any:
    if hasattr(notify, "message_of"):
        return notify.send(notify.message_of(task))
    return notify.post(task)


def _task() -> Task:
    from dotflow.core.action import action
    from dotflow.core.task import Task
    from dotflow.core.types import TypeStatus

    @action
    def notify_test() -> None:
        """Stand for a step."""

    task = Task("notify-test", notify_test, workflow_id="dotflow")
    task.status, task.duration = TypeStatus.COMPLETED, 0.0
    return task
