"""One HTTP request, with a deadline, for notifiers and the server client; the standard library is enough."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.exception import ConfigurationError, DeliveryFailed
from dotflow.core.redact import mask, register

if TYPE_CHECKING:
    from collections.abc import Mapping

TRIES = 3
DEADLINE = 9.0  # seconds for all tries together, within the ten that one call of a network observer may take
READ_MOST = 65_536
BUSY = 429


class Answer(NamedTuple):
    """What the other side said."""

    status: int
    text: str


def checked_url(place: str, url: object, *, secret: bool = True) -> str:
    """Return *url* if it is one of HTTP; register what follows the host as a secret if it is."""
    from urllib.parse import urlsplit

    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{place} needs an http or https URL, got a {type(url).__name__} that is none")
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"{place} needs an http or https URL, got {where(url)!r}")
    tail = url.split(parts.netloc, 1)[1].lstrip("/")
    if secret and len(tail) >= 8:
        register([tail])
    return url


def checked_timeout(place: str, timeout: object) -> float:
    """Return *timeout* if it is a number of seconds above 0."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < 1e6:
        raise ConfigurationError(f"{place} needs seconds above 0, got {timeout!r}")
    return float(timeout)


def where(url: str) -> str:
    """Return *url* without what may be secret in it."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.scheme else mask(url)


def post_json(url: str, body: Any, timeout: float, **options: Any) -> Answer:
    """Send *body* as JSON; see ``send``."""
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return send("POST", url, data, {"Content-Type": "application/json; charset=utf-8"}, timeout, **options)


def send(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    *,
    tries: int = TRIES,
    deadline: float = DEADLINE,
) -> Answer:
    """Make a request, and again after 429, 5xx, or a connection that could not be made, as long as time is left.

    Redirects are not followed: what is sent is meant for that address only.

    Raises:
        DeliveryFailed: no answer, or one that is no success.
    """
    until = time.monotonic() + deadline
    number = 1
    while True:
        left = until - time.monotonic()
        failure, again, pause = _once(method, url, body, headers, min(timeout, max(left, 0.001)))
        if isinstance(failure, Answer):
            return failure
        pause = 0.25 * 2 ** (number - 1) if pause is None else pause
        if not again or number >= tries or time.monotonic() + pause >= until:
            raise failure
        time.sleep(pause)
        number += 1


def _once(
    method: str, url: str, body: bytes, headers: Mapping[str, str], timeout: float
) -> tuple[Answer | DeliveryFailed, bool, float | None]:
    """Make a request; return what came of it, whether to try again, and after how many seconds."""
    import http.client
    import urllib.error
    import urllib.request

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    place = where(url)
    request = urllib.request.Request(url, body, {"User-Agent": "dotflow", **headers}, method=method)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=timeout) as reply:
            data = reply.read(READ_MOST)
            if reply.length and len(data) < READ_MOST:
                raise http.client.IncompleteRead(data, reply.length)
            return Answer(reply.status, data.decode("utf-8", "replace")), False, None
    except urllib.error.HTTPError as error:
        with error:
            try:
                text = error.read(READ_MOST).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                text = ""
        if 300 <= error.code < 400:
            return DeliveryFailed(f"{place} redirects ({error.code}), which is not followed", error.code), False, None
        later = error.code >= 500 or error.code == BUSY
        failure = DeliveryFailed(f"{place} answered {error.code}: {mask(text[:300])}", error.code, later=later)
        return failure, later, _retry_after(error.headers.get("Retry-After"), text) if later else None
    except urllib.error.URLError as error:
        reason = error.reason
        connecting = not isinstance(reason, TimeoutError)
        return DeliveryFailed(f"{place} cannot be reached: {mask(str(reason))}", later=True), connecting, None
    except TimeoutError:
        return DeliveryFailed(f"{place} did not answer within {timeout:g} s", later=True), False, None
    except (OSError, http.client.HTTPException) as error:
        told = f"{type(error).__name__}: {mask(str(error))}"
        return DeliveryFailed(f"{place} broke the connection ({told})", later=True), False, None


def _retry_after(header: str | None, text: str) -> float | None:
    """Seconds that the other side asks to wait: in the header, or in the JSON of Discord and Telegram."""
    if header:
        try:
            return max(0.0, float(header))
        except ValueError:
            pass
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
        except ValueError:
            return None
    try:
        told = json.loads(text)
        found = told.get("retry_after", (told.get("parameters") or {}).get("retry_after"))
        return max(0.0, float(found)) if found is not None else None
    except (ValueError, TypeError, AttributeError):
        return None
