"""A bucket through ``obstore``.

obstore has threads of its own, which do not survive a fork: a request in a forked child would hang for ever. There
the requests are made by a helper, a process that is started afresh.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError, StorageError, StorageUnavailable
from dotflow.providers._bucket import Absent, Found
from dotflow.providers._common import tell_of_forks
from dotflow.providers._require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WORKERS = 32  # requests at a time
BULK = 1000  # objects of one request
AT_ONCE = {"max_retries": 0}  # whoever calls a storage tries again; a retried create would find its own object
LIMITS = {"timeout": "60s", "connect_timeout": "5s"}


def open_store(kind: str, provider: str, extra: str, bucket: str, endpoint: str | None, **options: Any) -> Any:
    """Return a store of obstore for *bucket*; no request is made.

    Raises:
        ModuleNotFound: obstore is not installed.
        ConfigurationError: an option that obstore does not know, or an empty bucket.
    """
    obstore = require("obstore.store", extra)
    if not bucket:
        raise ConfigurationError(f"{provider}(bucket=...) needs the name of a bucket, got {bucket!r}")
    plain = {"allow_http": True} if endpoint is not None and endpoint.startswith("http://") else {}
    given = {name: value for name, value in {**options, "endpoint": endpoint}.items() if value is not None}
    given["client_options"] = {**LIMITS, **plain, **given.get("client_options", {})}
    given["retry_config"] = {**AT_ONCE, **given.get("retry_config", {})}
    try:
        return getattr(obstore, kind)(bucket, **given)
    except (_errors().BaseError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{provider}: {_first_line(error)}") from error


def ready_made(store: Any, kind: str, provider: str, extra: str, others: dict[str, Any]) -> Any:
    """Return *store* if it is one of that *kind*, and nothing else was said about the bucket.

    Raises:
        ConfigurationError: it is something else, or *others* has an argument that would not be used.
    """
    obstore = require("obstore.store", extra)
    if not isinstance(store, getattr(obstore, kind)):
        raise ConfigurationError(f"{provider}(store=...) needs an obstore.store.{kind}, got {type(store).__name__}")
    unused = [name for name, value in others.items() if value is not None]
    if unused:
        raise ConfigurationError(f"{provider}(store=...) has its bucket and options already; leave out {unused[0]}=")
    return store


class ObstoreBucket:
    """A bucket of S3 or Azure."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._helper: Helper | None = None
        self._starting = threading.Lock()

    def read(self, name: str, *, dated: bool = False) -> Found | None:
        """Return the object, ``None`` if there is none."""
        found: Found | None = self._do("read", name)
        return found

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of every object."""
        found: list[bytes | None] = self._do("read_many", names)
        return found

    def write(self, name: str, data: bytes, version: Any = None) -> Any:
        """Write the object and return its version, or ``None`` if it does not have *version*."""
        return self._do("write", name, data, "create" if isinstance(version, Absent) else version)

    def remove(self, name: str) -> bool:
        """Remove the object; return whether it was there."""
        return bool(self._do("remove", name))

    def remove_many(self, names: Sequence[str]) -> None:
        """Remove objects."""
        self._do("remove_many", names)

    def names(self, start: str) -> list[str]:
        """Return the names that begin with *start*."""
        found: list[str] = self._do("names", start)
        return found

    def check(self) -> None:
        """Raise unless the bucket is there and may be listed."""
        self._do("check")

    def close(self) -> None:
        """End the helper, if there is one."""
        helper, self._helper = self._helper, None
        if helper is not None:
            helper.close()

    def after_fork(self) -> None:
        """Leave the helper to the parent."""
        self._starting = threading.Lock()
        if self._helper is not None:
            self._helper.forget()
        self._helper = None

    def _do(self, operation: str, *args: Any) -> Any:
        if not _this.forked:
            return OPERATIONS[operation](self._store, *args)
        with self._starting:
            if self._helper is None or self._helper.ended:
                self._helper = Helper(self._store)
            helper = self._helper
        return helper.ask(operation, args)


# -- requests ---------------------------------------------------------------------------------------------


def _read(store: Any, name: str) -> Found | None:
    with _blamed(store):
        try:
            found = store.get(name)
            data = bytes(found.bytes())
        except FileNotFoundError:
            return None
        return Found(data, found.meta["e_tag"], found.meta["last_modified"].timestamp())


def _read_many(store: Any, names: Sequence[str]) -> list[bytes | None]:
    with ThreadPoolExecutor(min(WORKERS, len(names)), "dotflow-read") as pool:
        return [found.data if found else None for found in pool.map(lambda name: _read(store, name), names)]


def _write(store: Any, name: str, data: bytes, condition: str | None) -> str | None:
    errors = _errors()
    mode: Any = {"e_tag": condition} if condition not in (None, "create") else condition
    with _blamed(store):
        try:
            return str(store.put(name, data, mode=mode, use_multipart=False)["e_tag"])
        except (errors.AlreadyExistsError, errors.PreconditionError):
            return None
        except FileNotFoundError as error:
            if isinstance(mode, dict):  # S3 says so of an object that is gone
                return None
            raise StorageError("there is no such bucket") from error


def _remove(store: Any, name: str) -> bool:
    with _explained(store):
        try:
            if _is_s3(store):
                store.head(name)  # S3 does not tell whether what it deleted was there
            store.delete(name)
        except FileNotFoundError:
            return False
    return True


def _remove_many(store: Any, names: Sequence[str]) -> None:
    if not _is_s3(store):  # one that is gone would keep the rest of a batch from being removed
        with ThreadPoolExecutor(min(WORKERS, len(names)), "dotflow-remove") as pool:
            for _ in pool.map(lambda name: _remove(store, name), names):
                pass
        return
    with _explained(store):
        try:
            for start in range(0, len(names), BULK):
                store.delete(list(names[start : start + BULK]))
        except FileNotFoundError as error:
            raise StorageError("there is no such bucket") from error


def _names(store: Any, start: str) -> list[str]:
    """List what sorts after *start*, and stop where the names begin otherwise: obstore's prefixes are folders."""
    folder = start.rpartition("/")[0]
    found: list[str] = []
    with _explained(store):
        for some in store.list(folder or None, offset=_before(start), chunk_size=BULK):
            for item in some:
                name = item["path"]
                if name.startswith(start):
                    found.append(name)
                elif name > start:
                    return found
    return found


def _check(store: Any) -> None:
    with _explained(store):
        for _ in store.list(None, chunk_size=1):
            return


OPERATIONS: dict[str, Callable[..., Any]] = {
    "read": _read,
    "read_many": _read_many,
    "write": _write,
    "remove": _remove,
    "remove_many": _remove_many,
    "names": _names,
    "check": _check,
}


def _before(start: str) -> str | None:
    """Return something that sorts before *start* and after almost all that does."""
    return f"{start[:-1]}{chr(ord(start[-1]) - 1)}~" if start and start[-1] != "/" else None


# -- errors -----------------------------------------------------------------------------------------------


@contextmanager
def _blamed(store: Any) -> Iterator[None]:
    errors = _errors()
    try:
        yield
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise StorageError(f"the server refuses: {_first_line(error)}; check the credentials") from error
    except errors.GenericError as error:
        if problem := getattr(store.credential_provider, "problem", ""):
            raise StorageError(problem) from error
        raise StorageUnavailable(_first_line(error)) from error
    except (errors.BaseError, ValueError) as error:
        raise StorageError(_first_line(error)) from error


@contextmanager
def _explained(store: Any) -> Iterator[None]:
    """Tell why a list or a batch fails, which obstore does not: ask for a single object, where it does."""
    try:
        with _blamed(store):
            yield
    except StorageUnavailable:
        trial = ".dotflow/no-object"
        with _blamed(store):
            try:
                store.head(trial)
            except FileNotFoundError as error:  # the server answers, and lets us in
                if _is_absent(store, trial):
                    raise StorageError("there is no such bucket") from error
        raise


def _is_absent(store: Any, trial: str) -> bool:
    """Whether the bucket is missing, by a request that it would refuse or take without a change."""
    try:
        if _is_s3(store):
            store.delete(trial)
        else:
            store.put(trial, b"", mode={"e_tag": '"0x0"'}, use_multipart=False)
    except FileNotFoundError:
        return True
    except _errors().BaseError:
        pass
    return False


def _errors() -> Any:
    import obstore.exceptions

    return obstore.exceptions


def _is_s3(store: Any) -> bool:
    return type(store).__name__ == "S3Store"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].partition(": <?xml")[0]


# -- forked processes -------------------------------------------------------------------------------------


class _Process:
    """Whether this process was forked from one that had this module."""

    def __init__(self) -> None:
        self.forked = False
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Note it."""
        self.forked = True


_this = _Process()


class Helper:
    """Makes the requests of a forked process. It ends with the pipe to it."""

    def __init__(self, store: Any) -> None:
        try:
            blob = pickle.dumps(store)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise StorageError(
                f"this process was forked, which obstore does not survive, and the store cannot be sent to a new "
                f"one ({error}); start processes with spawn"
            ) from error
        code = f"import sys; sys.path[:] = {sys.path!r}; from dotflow.providers._obstore import serve; serve()"
        self._process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._one_at_a_time = threading.Lock()
        self.ended = False
        self._send(blob)

    def ask(self, operation: str, args: tuple[Any, ...]) -> Any:
        """Have it done, and return the answer."""
        with self._one_at_a_time:
            self._send((operation, args))
            try:
                kind, answer = pickle.load(self._process.stdout)  # type: ignore[arg-type]  # PIPE was asked for
            except (EOFError, OSError, pickle.UnpicklingError) as error:
                self.close()
                raise StorageUnavailable("the helper of this forked process has ended") from error
            except BaseException:  # an answer half read, which no later question may take for its own
                self.close()
                raise
        if kind is not None:
            raise kind(answer)
        return answer

    def close(self) -> None:
        """End it."""
        self.ended = True
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()  # type: ignore[union-attr]  # PIPE was asked for
            except OSError:
                pass
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """Leave it to the process that started it."""
        self._process.returncode = 0

    def _send(self, value: Any) -> None:
        try:
            pickle.dump(value, self._process.stdin)  # type: ignore[arg-type]  # PIPE was asked for
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError as error:
            self.close()
            raise StorageUnavailable("the helper of this forked process has ended") from error


def serve() -> None:
    """Be a helper: do what comes in, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints does not disturb the answers
    store = pickle.loads(pickle.load(asked))
    while True:
        try:
            operation, args = pickle.load(asked)
        except EOFError:
            return
        try:
            answer: tuple[Any, Any] = (None, OPERATIONS[operation](store, *args))
        except StorageError as error:
            answer = (type(error), str(error))
        pickle.dump(answer, answers)
        answers.flush()
