"""What the tests of the examples share: the folder, a process, and the output that a README promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 60  # seconds for anything to happen that must
PRINTED = re.compile(r"<!-- prints -->\n```text\n(.*?)```", re.DOTALL)


class Server(ThreadingHTTPServer):
    """An HTTP server on any free port, which waits for no request at its end."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that did not wait for the answer is none
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Quiet(BaseHTTPRequestHandler):
    """Answers every method by ``reply``, without a word on standard error."""

    def reply(self) -> None:
        raise NotImplementedError

    def _reply(self) -> None:
        self.reply()

    do_GET = do_HEAD = do_POST = _reply  # noqa: N815  # named by http.server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(handler: type[Quiet]) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def start(*command: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start Python with *command* in *folder*."""
    return subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def run(*command: str, folder: Path, code: int = 0, **environment: str) -> str:
    """Run Python with *command* in *folder* to its end; return what it printed."""
    process = start(*command, folder=folder, **environment)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert process.returncode == code, output
    return output


def wait_until(claim: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not claim():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.005)


def assert_promised(example: str, output: str) -> None:
    """Check that *output* is what the README of *example* says is printed, where ``…`` stands for anything."""
    [promised] = PRINTED.findall((EXAMPLES / example / "README.md").read_text())
    pattern = "".join(".*?" if part == "…" else re.escape(part) for part in re.split("(…)", promised.strip()))
    assert re.fullmatch(pattern, output.strip()), f"the README of {example} promises\n{promised}\nbut it is\n{output}"
