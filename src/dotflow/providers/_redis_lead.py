"""The lead of a workflow on a server of Redis: a key that names the connection of the one who leads."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import WorkflowBusy

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.05  # seconds between two tries to become the leader
SWAP = (  # ARGV[3], milliseconds to live, may be left out
    "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end "
    "if ARGV[3] then redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3]) else redis.call('set', KEYS[1], ARGV[2]) end "
    "return 1"
)
LEAVE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class Lead:
    """A claim on a key, which holds as long as its connection lives on the server that the claim was made on.

    Args:
        client: Gives the connection, one of the claim's own, which dies with the process.
        name: The key.
        ask: Calls a command, and turns errors into those of the storage.
    """

    def __init__(self, client: Any, name: bytes, ask: Callable[..., Any]) -> None:
        self._connection, self._name, self._ask = client.client(), name, ask
        self._mine, self._owner = b"", os.getpid()

    def take(self, workflow_id: Any, wait: float) -> None:
        """Wait up to *wait* seconds for it; raise ``WorkflowBusy`` if it does not come."""
        until = time.monotonic() + wait
        try:
            self._mine = self._ask(None, self._token)
            while not self._ask(None, self._connection.set, self._name, self._mine, nx=True):
                self._bury()
                if time.monotonic() >= until and not self._ask(
                    None, self._connection.set, self._name, self._mine, nx=True
                ):
                    raise WorkflowBusy(workflow_id, self._holder())
                time.sleep(POLL if time.monotonic() < until else 0)
                if self._ask(None, self._connection.get, self._name) == self._mine:
                    break
        except BaseException:
            self._connection.close()
            raise

    def take_again(self) -> bool:
        """Put the present connection in the place of one that is gone; return whether nobody came between."""
        if os.getpid() != self._owner:
            return True  # a forked child, which leads nothing
        held, now = self._connection.get(self._name), self._token()
        if json.loads(now)["client"] == json.loads(self._mine)["client"] and held == self._mine:
            return True
        if held == self._mine:
            kept = bool(self._connection.eval(SWAP, 1, self._name, held, now))
        else:
            kept = held is None and bool(self._connection.set(self._name, now, nx=True))
        self._mine = now if kept else self._mine
        return kept

    def give_up(self) -> None:
        """Let another one lead."""
        if os.getpid() != self._owner:
            return
        try:
            self._connection.eval(LEAVE, 1, self._name, self._mine)
        finally:
            self._connection.close()

    def _token(self) -> bytes:
        since, server = datetime.now(UTC).isoformat(timespec="seconds"), self._connection.info("server")["run_id"]
        client = f"{server}:{self._connection.client_id()}"  # a restarted server counts from the beginning
        return json.dumps({"client": client, "host": socket.gethostname(), "pid": os.getpid(), "since": since}).encode()

    def _bury(self) -> None:
        """Remove the claim of a leader whose connection is gone."""
        held = self._ask(None, self._connection.get, self._name)
        if held is None:
            return
        server, _, client = str(json.loads(held)["client"]).rpartition(":")
        alive = server == json.loads(self._mine)["client"].rpartition(":")[0]
        if not alive or not self._ask(None, self._connection.client_list, client_id=[client]):
            self._ask(None, self._connection.eval, LEAVE, 1, self._name, held)

    def _holder(self) -> str:
        held = self._ask(None, self._connection.get, self._name)
        if held is None:
            return "a process that has just ended"
        found = json.loads(held)
        return f"process {found['pid']} on host {found['host']}, since {found['since']}"
