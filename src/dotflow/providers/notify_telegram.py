"""Messages in Telegram."""

from __future__ import annotations

import json
import string
from typing import Any

from dotflow.core.exception import ConfigurationError, DeliveryFailed
from dotflow.core.redact import register
from dotflow.providers._http import checked_url, post_json
from dotflow.providers._message import Message, Messenger, fitted, in_code

SERVER = "https://api.telegram.org"
TOKEN = set(string.ascii_letters + string.digits + ":_-")


class NotifyTelegram(Messenger):
    """Send a message as a bot of Telegram.

    Args:
        token: The bot's token, a secret.
        chat_id: Where to.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        timeout: Seconds one request may take.
        runs: Also tell how each run ended.
        server: Where the Bot API is, for those who run one of their own.
    """

    def __init__(
        self,
        token: str,
        chat_id: int | str,
        notification_type: str | None = None,
        show_result: bool = False,
        timeout: float = 1.5,
        *,
        runs: bool = False,
        server: str = SERVER,
    ) -> None:
        super().__init__(notification_type, show_result, timeout, runs)
        if not isinstance(token, str) or not token or not set(token) <= TOKEN:
            raise ConfigurationError("NotifyTelegram(token=...) needs a bot's token, letters, digits, ':', '-' and '_'")
        if len(token) >= 8:
            register([token])
        self.token, self.chat_id = token, chat_id
        self.server = checked_url("NotifyTelegram(server=...)", server, secret=False).rstrip("/")

    def send(self, message: Message) -> Any:
        """Send *message*."""
        body = {"chat_id": self.chat_id, "text": text_of(message), "parse_mode": "markdown"}
        answer = post_json(f"{self.server}/bot{self.token}/sendMessage", body, self.timeout)
        try:
            accepted = json.loads(answer.text).get("ok")
        except (ValueError, AttributeError):
            accepted = None
        if accepted is not True:
            raise DeliveryFailed(f"Telegram did not accept the message: {answer.text[:200]!r}", answer.status)
        return answer


def escape(text: str) -> str:
    """Escape what means something in Telegram's Markdown."""
    return "".join(f"\\{char}" if char in "_*`[" else char for char in text)


def text_of(message: Message) -> str:
    """Return *message* in Telegram's Markdown, below its limit of 4,096."""
    lines = [message.title]
    if message.result is not None:
        lines.append(f"```json\n{fitted(message.result, 2400, in_code)}\n```")
    if message.error is not None:
        lines.append(f"`{fitted(message.error[0], 100, in_code)}`: {fitted(message.error[1], 1000, escape)}")
    lines += [fitted(line, 220, escape) for line in message.lines]
    place = f"`{fitted(message.workflow_id, 150, in_code)}`"
    lines.append(place if message.task_id is None else f"{place} — Task {fitted(message.task_id, 150, escape)}")
    return "\n".join(lines)
