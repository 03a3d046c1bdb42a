"""Messages in Microsoft Teams."""

from __future__ import annotations

from typing import Any

from dotflow.core.exception import DeliveryFailed
from dotflow.providers._http import post_json
from dotflow.providers._message import Message, WebhookMessenger, fitted

COLOURS = {"Completed": "Good", "Failed": "Attention", "Retry": "Warning"}
SPECIAL = "\\*_`[]()#~-+>|<"


class NotifyTeams(WebhookMessenger):
    """Post an adaptive card to a workflow webhook of Microsoft Teams.

    Args:
        webhook_url: The address, which is a secret.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        timeout: Seconds one request may take.
        runs: Also tell how each run ended.

    .. versionadded:: 2.0
    """

    result_size = 4000  # a message may have 28 KB, and each escaped character takes up to four

    def __init__(
        self,
        webhook_url: str,
        notification_type: str | None = None,
        show_result: bool = False,
        timeout: float = 5,
        *,
        runs: bool = False,
    ) -> None:
        super().__init__(webhook_url, notification_type, show_result, timeout, runs=runs)

    def send(self, message: Message) -> Any:
        """Post *message*; an old connector answers 200 and tells a failure in the text."""
        content = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": blocks_of(message),
        }
        card = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
        answer = post_json(self.webhook_url, {"type": "message", "attachments": [card]}, self.timeout)
        if "failed with error" in answer.text:
            raise DeliveryFailed(f"Teams answered {answer.text[:200]!r}", answer.status)
        return answer


def escape(text: str) -> str:
    """Escape what means something in the Markdown of a card."""
    return "".join(f"\\{char}" if char in SPECIAL else char for char in text)


def blocks_of(message: Message) -> list[dict[str, Any]]:
    """Return *message* as the blocks of a card."""

    def block(text: str, **style: Any) -> dict[str, Any]:
        return {"type": "TextBlock", "text": text, "wrap": True, **style}

    colour = COLOURS.get(message.status, "Default")
    found = [block(fitted(message.title, 200, escape), weight="Bolder", size="Medium", color=colour)]
    place = fitted(message.workflow_id, 300, escape)
    if message.task_id is not None:
        place += f" — Task {fitted(message.task_id, 300, escape)}"
    found.append(block(place, isSubtle=True))
    if message.error is not None:
        found.append(block(fitted(": ".join(message.error), 2000, escape), fontType="Monospace"))
    found += [block(fitted(line, 400, escape)) for line in message.lines]
    if message.result is not None:
        found.append(block(fitted(message.result, 6000, escape), fontType="Monospace"))
    return found
