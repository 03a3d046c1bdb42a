"""Messages in Discord."""

from __future__ import annotations

from typing import Any

from dotflow.providers._http import post_json
from dotflow.providers._message import Message, WebhookMessenger, fitted, in_code

COLOURS = {
    "Completed": 0x4CAF50,
    "Failed": 0xF44336,
    "Retry": 0xFF9800,
    "In progress": 0x2196F3,
    "Not started": 0x9E9E9E,
    "Paused": 0x607D8B,
}
FIELD = 1024  # characters of a field's value at most
SPECIAL = "\\*_~`|>#-+[]()<:@"


class NotifyDiscord(WebhookMessenger):
    """Post a message to a webhook of Discord.

    Args:
        webhook_url: The address, which is a secret.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        timeout: Seconds one request may take.
        runs: Also tell how each run ended.
    """

    result_size = 1000

    def send(self, message: Message) -> Any:
        """Post *message*; nobody is mentioned by it."""
        body = {"embeds": [embed_of(message)], "allowed_mentions": {"parse": []}}
        return post_json(self.webhook_url, body, self.timeout)


def escape(text: str) -> str:
    """Escape what means something in Discord's Markdown."""
    return "".join(f"\\{char}" if char in SPECIAL else char for char in text)


def embed_of(message: Message) -> dict[str, Any]:
    """Return *message* as an embed, within the limits of each part and of 6,000 characters in all."""
    fields: list[dict[str, Any]] = []
    if message.result is not None:
        fields.append({"name": "Result", "value": f"```json\n{fitted(message.result, FIELD - 12, in_code)}```"})
    if message.error is not None:
        kind = f"`{fitted(message.error[0], 100, in_code)}`: "
        fields.append({"name": "Error", "value": kind + fitted(message.error[1], FIELD - 120, escape)})
    place = f"`{fitted(message.workflow_id, 200, in_code)}`"
    if message.task_id is not None:
        place += f" — Task {fitted(message.task_id, 200, escape)}"
    if message.lines:
        place += "\n" + "\n".join(fitted(line, 300, escape) for line in message.lines)
    colour = COLOURS.get(message.status, COLOURS["Paused"])
    return {"title": fitted(message.title, 256, escape), "color": colour, "description": place, "fields": fields}
