"""Receivers that speak the documented rules of the services, on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from dotflow.core import dispatch


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Reply = tuple[int, dict[str, str], str]
Rule = Callable[[Request], Reply | None]


class Receiver:
    """An HTTP server that answers as ``rule`` says, and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[Request] = []
        self.arrived = threading.Condition()
        self.rule: Rule = lambda request: (200, {}, "ok")
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(self.command, self.path, dict(self.headers), self.rfile.read(length))
                with receiver.arrived:
                    receiver.got.append(request)
                    receiver.arrived.notify_all()
                reply = receiver.rule(request)
                if reply is None:  # hang up without an answer
                    self.close_connection = True
                    return
                status, headers, text = reply
                data = text.encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_PATCH = do_GET = _serve  # noqa: N815 - names of the standard library

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass  # a client that gave up

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def wait_for(self, count: int, seconds: float = 10) -> list[Request]:
        """Return what has come, as soon as that are *count* requests."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.got) >= count, seconds), f"{len(self.got)} of {count} came"
            return list(self.got)

    def hang(self) -> None:
        def rule(_: Request) -> Reply:
            self.released.wait(30)
            return 200, {}, "ok"

        self.rule = rule

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver whose messages have all come when a run ends, however slow the machine is."""
    monkeypatch.setattr(dispatch, "END_PATIENCE", 30)
    made = Receiver()
    yield made
    made.close()


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def slack(request: Request) -> Reply:
    """As https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks says."""
    try:
        body = request.json()
    except ValueError:
        return 400, {}, "invalid_payload"
    if not body.get("text"):
        return 400, {}, "no_text"
    if len(body["text"]) > 40_000:
        return 400, {}, "msg_too_long"
    return 200, {}, "ok"


def discord(request: Request) -> Reply:
    """As https://discord.com/developers/docs/resources/message#embed-object-embed-limits says."""
    body = request.json()
    for embed in body["embeds"]:
        fields = embed.get("fields", [])
        sizes = [
            (utf16(embed.get("title", "")), 256),
            (utf16(embed.get("description", "")), 4096),
            (len(fields), 25),
            *((utf16(field["name"]), 256) for field in fields),
            *((utf16(field["value"]), 1024) for field in fields),
        ]
        if any(size > most for size, most in sizes) or sum(size for size, _ in sizes) > 6000:
            return 400, {}, json.dumps({"code": 50035, "message": "Invalid Form Body"})
        if any(not field["name"] or not field["value"] for field in fields):
            return 400, {}, json.dumps({"code": 50035, "message": "This field is required"})
    return 204, {"Content-Length": "0"}, ""


def telegram(request: Request) -> Reply:
    """As https://core.telegram.org/bots/api#sendmessage says, with the parser of the old Markdown."""

    def refuse(code: int, why: str) -> Reply:
        return code, {}, json.dumps({"ok": False, "error_code": code, "description": why})

    if not request.path.startswith("/bot123456:right-token_0/"):
        return refuse(401, "Unauthorized")
    body = request.json()
    try:
        text = parse_markdown(body["text"])
    except ValueError as error:
        return refuse(400, f"Bad Request: can't parse entities: {error}")
    if not 0 < utf16(text) <= 4096:
        return refuse(400, "Bad Request: message is too long")
    return 200, {}, json.dumps({"ok": True, "result": {"message_id": 1, "text": text}})


def parse_markdown(text: str) -> str:
    """Return what is left when entities are taken out; raise for one that does not end."""
    out, i = "", 0
    while i < len(text):
        char = text[i]
        if char == "\\" and i + 1 < len(text) and text[i + 1] in "_*`[":
            out, i = out + text[i + 1], i + 2
            continue
        mark = "```" if text.startswith("```", i) else char if char in "_*`" else ""
        if mark:
            end = text.find(mark, i + len(mark))
            if end < 0:
                raise ValueError(f"can't find end of the entity starting at byte offset {i}")
            out, i = out + text[i + len(mark) : end], end + len(mark)
            continue
        if char == "[" and text.find("]", i) < 0:
            raise ValueError("can't find end of link")
        out, i = out + char, i + 1
    return out


def teams(request: Request) -> Reply:
    """As https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors says: 28 KB, a card."""
    if len(request.body) > 28 * 1024:
        return 413, {}, "RequestEntityTooLarge"
    [attachment] = request.json()["attachments"]
    if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
        return 400, {}, "Bad payload received by generic incoming webhook."
    assert attachment["content"]["type"] == "AdaptiveCard"
    return 202, {}, ""
