"""Messages to any of the services that Apprise knows."""

from __future__ import annotations

from typing import Any

from dotflow.core.exception import ConfigurationError, DeliveryFailed
from dotflow.core.redact import register
from dotflow.providers._message import Message, Messenger
from dotflow.providers._require import require
from dotflow.providers.notify_email import body_of

KINDS = {"Completed": "success", "Failed": "failure", "Retry": "warning"}


class NotifyApprise(Messenger):
    """Send a message to more than a hundred services, by URL. Needs the extra ``apprise``.

    Args:
        *urls: Where to, as Apprise writes it (``ntfy://topic``, ``pover://user@token``); secrets.
        notification_type: The one status to tell; ``None`` for every one.
        show_result: Add the task as JSON.
        runs: Also tell how each run ended.
        client: An ``apprise.Apprise`` of your own, instead of *urls*.

    .. versionadded:: 2.0
    """

    def __init__(
        self,
        *urls: str,
        notification_type: str | None = None,
        show_result: bool = False,
        runs: bool = False,
        client: Any = None,
    ) -> None:
        super().__init__(notification_type, show_result, 1.5, runs)
        if client is None:
            client = require("apprise", extra="apprise").Apprise()
            if not urls:
                raise ConfigurationError("NotifyApprise needs at least one URL")
            for number, url in enumerate(urls):
                if not isinstance(url, str) or not client.add(url):
                    raise ConfigurationError(f"NotifyApprise URL number {number} is none that Apprise knows")
                tail = url.partition("://")[2]
                if len(tail) >= 8:
                    register([tail])
        elif urls:
            raise ConfigurationError("NotifyApprise needs URLs or client=, not both")
        self._client = client

    def send(self, message: Message) -> Any:
        """Send *message* to all; Apprise cuts and escapes for each service."""
        kind = KINDS.get(message.status, "info")
        if not self._client.notify(body=body_of(message), title=message.title, notify_type=kind, body_format="text"):
            raise DeliveryFailed("Apprise could not deliver to every service; its logger 'apprise' says why")
        return "delivered"
