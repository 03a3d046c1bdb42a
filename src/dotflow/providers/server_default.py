"""Reports to a server that keeps a picture of workflows."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.server import Server
from dotflow.core.exception import DeliveryFailed

if TYPE_CHECKING:
    import sqlite3

CREDENTIALS = Path("~/.dotflow/config.json")
SPOOL = Path("~/.dotflow/spool.db")
SPOOL_MOST = 10_000  # requests kept while the server is away; the oldest are dropped beyond that
BATCH = 100
LEASE = 60.0  # seconds for which a request that one process is sending is left alone by the others
PAUSES = (1.0, 5.0, 30.0)  # seconds after a failure for which requests are only kept
BUDGET = 6.0  # seconds that one call may spend on sending what was kept
DENIED = (401, 403)  # a token that is wrong now may be put right

TABLE = """
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT, base TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    body TEXT NOT NULL, leased REAL NOT NULL DEFAULT 0
)
"""


class ServerDefault(Server):
    """Report to the server that is configured; do nothing if none is.

    What cannot be delivered is kept in a file, and sent in order as soon as the server answers again, by this process
    or the next one. Of several updates of one task or workflow that wait there, the last one is sent.

    Args:
        base_url: The server; by default ``SERVER_BASE_URL``, else what ``~/.dotflow/config.json`` says.
        user_token: The token; by default ``SERVER_USER_TOKEN``, else the same file's.
        timeout: Seconds one request may take, at most 9.
        user_token_header: Send the token as ``X-User-Token`` rather than as a bearer token.
        spool: The file for what waits.
    """

    MAX_RESULT_SIZE: ClassVar[int] = 5_000_000
    TIMEOUT: ClassVar[float] = 15.0
    CREATE_WORKFLOW: ClassVar[str] = "/cli/workflows"
    UPDATE_WORKFLOW: ClassVar[str] = "/cli/workflows/{workflow_id}"
    CREATE_TASK: ClassVar[str] = "/cli/workflows/{workflow_id}/tasks"
    UPDATE_TASK: ClassVar[str] = "/cli/workflows/{workflow_id}/tasks/{task_id}"

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        timeout: float | None = None,
        *,
        user_token_header: bool = False,
        spool: str | Path = SPOOL,
    ) -> None:
        saved = {} if base_url and user_token else _saved()
        base = base_url or os.environ.get("SERVER_BASE_URL") or saved.get("base_url") or ""
        token = user_token or os.environ.get("SERVER_USER_TOKEN") or saved.get("token") or ""
        self.silent = not (base and token)
        self._spool = Path(spool).expanduser()
        if self.silent:
            return
        from dotflow.core.redact import register
        from dotflow.providers._http import checked_timeout, checked_url

        self._base = checked_url("ServerDefault(base_url=...)", base, secret=False).rstrip("/")
        limit = checked_timeout("ServerDefault(timeout=...)", self.TIMEOUT if timeout is None else timeout)
        self._timeout = min(limit, 9.0)
        if len(token) >= 4:
            register([token])
        proof = {"X-User-Token": token} if user_token_header else {"Authorization": f"Bearer {token}"}
        self._headers = {**proof, "Content-Type": "application/json"}
        self._lock = threading.RLock()
        self._failures, self._until = 0, 0.0

    def create_workflow(self, workflow: Any) -> None:
        """Report the workflow that is about to run."""
        if not self.silent:
            known, name = str(workflow.workflow_id), workflow.name
            tasks = [task.result(max=self.MAX_RESULT_SIZE) for task in workflow.task.queue]
            body = {"workflow_id": known, "workflow_name": name, "id": known, "name": name, "tasks": tasks}
            self._report("POST", self.CREATE_WORKFLOW, body)

    def update_workflow(self, workflow: Any, status: str = "") -> None:
        """Report the status of the workflow with that id."""
        if not self.silent:
            self._report("PATCH", self.UPDATE_WORKFLOW.format(workflow_id=_quoted(workflow)), {"status": str(status)})

    def create_task(self, task: Any) -> None:
        """Report a task that is about to run."""
        if not self.silent:
            path = self.CREATE_TASK.format(workflow_id=_quoted(task.workflow_id))
            self._report("POST", path, task.result(max=self.MAX_RESULT_SIZE))

    def update_task(self, task: Any) -> None:
        """Report a task that ended."""
        if not self.silent:
            path = self.UPDATE_TASK.format(workflow_id=_quoted(task.workflow_id), task_id=_quoted(task.task_id))
            self._report("PATCH", path, task.result(max=self.MAX_RESULT_SIZE))

    @property
    def waiting(self) -> int:
        """How many requests wait for the server."""
        if not self._spool.exists():
            return 0
        with self._lock, self._open() as kept:
            return int(kept.execute("SELECT count(*) FROM spool WHERE base = ?", (self._base,)).fetchone()[0])

    def _report(self, method: str, path: str, body: Any) -> None:
        from dotflow.core.redact import mask

        text = mask(json.dumps(body))
        with self._lock:
            if time.monotonic() < self._until:
                self._keep(method, path, text)
                return
            try:
                if self.waiting:
                    self._keep(method, path, text)
                    self._deliver()
                else:
                    self._attempt(method, path, text)
            except DeliveryFailed as error:
                if error.later or error.status in DENIED:
                    self._until = time.monotonic() + PAUSES[min(self._failures, len(PAUSES) - 1)]
                    self._failures += 1
                raise
            self._failures = 0

    def _attempt(self, method: str, path: str, text: str) -> None:
        try:
            self._send(method, path, text)
        except DeliveryFailed as error:
            if error.later or error.status in DENIED:
                self._keep(method, path, text)
            raise

    def _send(self, method: str, path: str, text: str) -> None:
        from dotflow.providers._http import send

        send(method, self._base + path, text.encode(), self._headers, self._timeout, tries=1)

    def _keep(self, method: str, path: str, text: str) -> None:
        with self._open() as kept:
            if method == "PATCH":
                kept.execute(
                    "DELETE FROM spool WHERE base = ? AND method = 'PATCH' AND path = ? AND leased < ?",
                    (self._base, path, time.time() - LEASE),
                )
            kept.execute("INSERT INTO spool (base, method, path, body) VALUES (?, ?, ?, ?)",
                         (self._base, method, path, text))  # fmt: skip
            kept.execute(
                "DELETE FROM spool WHERE id <= (SELECT max(id) FROM spool) - ?",
                (SPOOL_MOST,),
            )

    def _deliver(self) -> None:
        """Send what was kept, oldest first; refused requests are dropped."""
        until = time.monotonic() + BUDGET
        refused: DeliveryFailed | None = None
        while time.monotonic() < until:
            with self._open() as kept:
                rows = kept.execute(
                    "UPDATE spool SET leased = ? WHERE id IN (SELECT id FROM spool WHERE base = ? AND leased < ? "
                    "ORDER BY id LIMIT ?) RETURNING id, method, path, body",
                    (time.time(), self._base, time.time() - LEASE, BATCH),
                ).fetchall()
            if not rows:
                break
            done: list[int] = []
            try:
                for number, method, path, body in sorted(rows):
                    if time.monotonic() >= until:
                        break
                    try:
                        self._send(method, path, body)
                    except DeliveryFailed as error:
                        if error.later or error.status in DENIED:
                            raise
                        refused = error
                    done.append(number)
            finally:
                with self._open() as kept:
                    kept.executemany("DELETE FROM spool WHERE id = ?", [(number,) for number in done])
                    kept.executemany("UPDATE spool SET leased = 0 WHERE id = ?", [(row[0],) for row in rows])
        if refused is not None:
            raise refused

    def _open(self) -> _Spool:
        return _Spool(self._spool)


class _Spool:
    """A transaction on the file of what waits; the file is private to the user."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        import sqlite3

        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        self._connection = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(TABLE)
        return self._connection

    def __exit__(self, kind: object, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        self._connection.close()


def _saved() -> dict[str, str]:
    try:
        found = json.loads(CREDENTIALS.expanduser().read_text(encoding="utf-8")).get("cloud") or {}
        return {name: value for name, value in found.items() if isinstance(value, str)}
    except (OSError, ValueError, AttributeError, RuntimeError):
        return {}


def _quoted(value: Any) -> str:
    from urllib.parse import quote

    from dotflow.core.redact import mask

    text = quote(mask(str(value)), safe="", errors="replace")
    return text.replace(".", "%2E") if set(text) == {"."} else text
