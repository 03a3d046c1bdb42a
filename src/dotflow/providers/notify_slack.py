"""Messages in Slack."""

from __future__ import annotations

from typing import Any

from dotflow.core.exception import DeliveryFailed
from dotflow.providers._http import post_json
from dotflow.providers._message import Message, WebhookMessenger, fitted, in_code

MOST = 4000  # what Slack recommends; from 40,000 on it cuts
PART = 1200


class NotifySlack(WebhookMessenger):
    """Post a message to an incoming webhook of Slack.

    Args:
        webhook_url: The address, which is a secret.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        timeout: Seconds one request may take.
        runs: Also tell how each run ended.

    .. versionadded:: 2.0
    """

    result_size = 2000

    def send(self, message: Message) -> Any:
        """Post *message*; Slack answers ``ok``."""
        answer = post_json(self.webhook_url, {"text": text_of(message)}, self.timeout)
        if answer.text.strip() not in ("ok", ""):
            raise DeliveryFailed(f"Slack answered {answer.text[:200]!r}", answer.status)
        return answer


def escape(text: str) -> str:
    """Escape the three characters that mean something to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    return escape(in_code(text))


def text_of(message: Message) -> str:
    """Return *message* in Slack's ``mrkdwn``."""
    lines = [message.title]
    if message.result is not None:
        lines.append(f"```{fitted(message.result, 2400, _code)}```")
    if message.error is not None:
        lines.append(f"`{fitted(message.error[0], 100, _code)}`: {fitted(message.error[1], PART, escape)}")
    lines += [fitted(line, 300, escape) for line in message.lines[:4]]
    place = f"`{fitted(message.workflow_id, 100, _code)}`"
    lines.append(place if message.task_id is None else f"{place} — Task {fitted(message.task_id, 80, escape)}")
    return "\n".join(lines)
