"""What the storages in buckets share: names of objects, and every ability by way of a few requests."""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.context import Context
from dotflow.core.exception import (
    ConfigurationError,
    CorruptCheckpoint,
    MissingAbility,
    StorageError,
    StorageUnavailable,
)
from dotflow.providers._bucket import ABSENT
from dotflow.providers._common import needs_prefix, swapped, tell_of_forks
from dotflow.providers._lease import Lease
from dotflow.providers._saved import document_of, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dotflow.core.task import Task
    from dotflow.providers._bucket import Bucket, Found

LOCKS = ".locks/"  # no key has a name that begins so
SEEN = 10.0  # seconds for which a bucket that was there is taken to be there still
LONGEST = 700  # characters of an escaped key; with prefix and digest a name stays under the 1,024 of all three
LONGEST_PREFIX = 200
UNSAFE = re.compile(r"[^A-Za-z0-9._-]|^\.|\.\Z")
ESCAPED = re.compile(rb"!([0-9a-f]{2})")
PREFIX = re.compile(r"(?:(?!\.{1,2}/)[A-Za-z0-9._ =-]+/)*(?!\.{1,2}\Z)[A-Za-z0-9._ =-]*")


class ObjectStorage(Storage):
    """Keep contexts as objects of a bucket; says what a provider need not.

    Args:
        bucket: The backend.
        where: The place, for errors and ``repr``.
        prefix: Put before every name.
        lease: Seconds after which the lead of a killed leader is free.
    """

    faithful: ClassVar[bool] = True

    def __init__(self, bucket: Bucket, where: str, prefix: str, lease: float) -> None:
        self._provider = type(self).__name__
        if not PREFIX.fullmatch(prefix) or len(prefix) > LONGEST_PREFIX:
            raise ConfigurationError(
                f"{self._provider}(prefix={prefix!r}): use at most {LONGEST_PREFIX} letters, digits and '._=- ', "
                "in parts with one '/' between them, none of them '.' or '..', and no '/' in front"
            )
        self._lease = float(lease)
        if not 1 <= self._lease <= 3600:
            raise ConfigurationError(f"{self._provider}(lease={lease!r}): give between 1 and 3600 seconds")
        self._bucket, self._where, self._prefix = bucket, f"{where}/{prefix}", prefix
        self._seen = -SEEN
        self._leases: dict[str, Lease] = {}
        tell_of_forks(self)

    def __repr__(self) -> str:
        return f"{self._provider}({self._where!r})"

    def post(self, key: str, context: Context, ttl: None = None) -> None:
        """Save *context* under *key*: one request. No bucket removes an object after so many seconds: no *ttl*."""
        self._keeps_for_ever(ttl)
        self._still_leads(key)
        self._ask(key, self._bucket.write, self._name(key), document_of(key, context, self._provider))

    def get(self, key: str) -> Context:
        """Return what was saved under *key*, or an empty context."""
        return self._read(key)[0]

    def key(self, task: Task) -> str:
        """Return ``<workflow_id>-<task_id>``."""
        return default_key(task)

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """Return the contexts of those *keys* that exist, with several requests at a time."""
        some = list(dict.fromkeys(keys))
        if not some:
            return {}
        contents = self._ask(None, self._bucket.read_many, [self._name(key) for key in some])
        if None in contents:
            self._verify_bucket()
        return {key: self._decoded(key, data) for key, data in zip(some, contents, strict=True) if data is not None}

    def delete(self, key: str) -> bool:
        """Remove *key*; return whether it was there."""
        self._still_leads(key)
        gone: bool = self._ask(key, self._bucket.remove, self._name(key))
        if not gone:
            self._verify_bucket()
        return gone

    def delete_prefix(self, prefix: str) -> int:
        """Remove every key that starts with *prefix*; return how many there were."""
        needs_prefix(prefix)
        return self._remove(list(self._found(prefix).values()))

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """Return the keys that start with *prefix*."""
        return sorted(self._found(prefix))

    def clear(self, workflow_id: Any) -> None:
        """Remove the keys of *workflow_id*, and no others."""
        known = str(workflow_id)
        self._still_leads(f"{known}-")
        self._remove([name for key, name in self._found(f"{known}-").items() if workflow_of(key) == known])

    def create(self, key: str, context: Context, ttl: None = None) -> bool:
        """Save *context* if *key* is absent; return whether it was."""
        self._keeps_for_ever(ttl)
        self._still_leads(key)
        name, document = self._name(key), document_of(key, context, self._provider)
        while self._ask(key, self._bucket.write, name, document, ABSENT) is None:
            if self._ask(key, self._bucket.read, name) is not None:  # not just a writer who was in the way
                return False
        return True

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: None = None) -> bool:
        """Replace the value of *key* by *new* if it equals *expected*; return whether it did."""
        self._keeps_for_ever(ttl)
        self._still_leads(key)
        while True:
            context, version = self._read(key)
            if context.storage != expected:
                return False
            document = document_of(key, swapped(context, new), self._provider)
            if self._ask(key, self._bucket.write, self._name(key), document, version) is not None:
                return True

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """Become the one leader of *workflow_id*, by a lease that a thread renews until it is given up.

        A leader that was killed holds the lead for ``lease`` seconds at most, 30 by default; on Linux, where another
        process of the same machine can see that it is gone, it holds it no longer. A leader that could not renew
        its lease, so that another one took it over, can save nothing more: ``post`` raises ``StorageError``.

        A small object stays in ``<prefix>.locks/`` for every workflow id; those older than a day may be removed.
        """
        known = str(workflow_id)
        name = f"{self._prefix}{LOCKS}{object_name(known)}"
        lease = Lease(self._bucket, name, self._lease)
        self._ask(None, lease.take, workflow_id, wait)
        self._leases[known] = lease

        def release() -> None:
            if self._leases.get(known) is lease:
                del self._leases[known]
            lease.give_up()

        return release

    def healthcheck(self) -> None:
        """Raise if the bucket cannot be listed, or is not there."""
        self._ask(None, self._bucket.check)

    def close(self) -> None:
        """Let go of the connections; the next use opens some again."""
        self._bucket.close()

    def after_fork(self) -> None:
        """Drop, in a forked child, what belongs to its parent."""
        self._leases = {}
        self._bucket.after_fork()

    def can(self, ability: str) -> bool:
        """Whether this storage has *ability*; ``ttl`` is taken only to say what to do instead."""
        return ability != "ttl" and super().can(ability)

    # -- inside -------------------------------------------------------------------------------------------

    def _keeps_for_ever(self, ttl: Any) -> None:
        if ttl is not None:
            raise MissingAbility(
                self._provider, "ttl", f"give the bucket a lifecycle rule that removes what is old in {self._where!r}"
            )

    def _ask(self, key: str | None, request: Callable[..., Any], *args: Any) -> Any:
        try:
            return request(*args)
        except StorageUnavailable as error:
            raise StorageUnavailable(
                f"{self._where!r} cannot be reached: {error}", provider=self._provider, key=key
            ) from error.__cause__
        except StorageError as error:
            raise StorageError(f"{self._where!r}: {error}", provider=self._provider, key=key) from error.__cause__

    def _name(self, key: str) -> str:
        return self._prefix + object_name(key)

    def _read(self, key: str) -> tuple[Context, Any]:
        found: Found | None = self._ask(key, self._bucket.read, self._name(key))
        if found is None:
            self._verify_bucket()
            return Context(), ABSENT
        return self._decoded(key, found.data), found.version

    def _decoded(self, key: str, data: bytes) -> Context:
        return read_document(data, self._provider, f"{self._where}{object_name(key)}", key)[1]

    def _found(self, prefix: str) -> dict[str, str]:
        """Return the names of the keys that start with *prefix*, by key."""
        start = len(self._prefix)
        begin = object_name(prefix.rstrip("."))[:LONGEST] if prefix.rstrip(".") else ""
        begin = begin[: begin.rindex("!!")] if "!!" in begin else begin
        names = self._ask(None, self._bucket.names, self._prefix + begin)
        found, shortened = {}, []
        for name in names:
            short = name[start:]
            if short.startswith(LOCKS):
                continue
            if "!!" in short:
                shortened.append(name)
            elif (key := key_of(short)) is not None and key.startswith(prefix):
                found[key] = name
        if shortened:
            for name, data in zip(shortened, self._ask(None, self._bucket.read_many, shortened), strict=True):
                try:
                    key = read_document(data or b"", self._provider, name, None)[0]
                except CorruptCheckpoint:
                    continue  # whose it is cannot be told
                if key is not None and key.startswith(prefix) and self._name(key) == name:
                    found[key] = name
        return found

    def _remove(self, names: list[str]) -> int:
        if names:
            self._ask(None, self._bucket.remove_many, names)
        return len(names)

    def _verify_bucket(self) -> None:
        """Raise unless the bucket is there: without it, nothing is missing."""
        if time.monotonic() - self._seen >= SEEN:
            self._ask(None, self._bucket.check)
            self._seen = time.monotonic()

    def _still_leads(self, key: str) -> None:
        if self._leases and (lease := self._leases.get(workflow_of(key))) is not None:
            self._ask(key, lease.prove)


def object_name(key: str) -> str:
    """Return a name that is safe in every bucket and URL, and another one for every key.

    Everything but letters, digits, ``.``, ``_`` and ``-`` is escaped, and a dot at either end. As long as names are not
    shortened, a key begins with another key if its name does, but for dots at the end.
    """
    name = UNSAFE.sub(lambda match: "".join(f"!{byte:02x}" for byte in _bytes(match[0])), key) or "!"
    if len(name) <= LONGEST:
        return name
    return f"{name[:LONGEST].rstrip('!')}!!{hashlib.sha256(_bytes(key)).hexdigest()[:32]}"


def key_of(name: str) -> str | None:
    """Return the key of an object's name, ``None`` if it is no name that ``object_name`` makes."""
    escaped = ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), _bytes("" if name == "!" else name))
    try:
        key = escaped.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return None
    return key if object_name(key) == name else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
