"""What a saved context looks like: as a row, as a document, as the name of a file."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Container, Iterable, Iterator, KeysView, Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

from dotflow.core.context import Context, make_context
from dotflow.core.exception import CorruptCheckpoint, ResultNotStorable

HEAD = b'{"dotflow": 1, "check": "%08x", '
WHOLE = re.compile(rb'\{"dotflow": 1, "check": "([0-9a-f]{8})", (?=")')
MALFORMED = (ValueError, TypeError, KeyError, RecursionError)  # a right checksum of something we do not write
AGAIN = "remove it, and its step runs again"

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
UNSAFE = re.compile(r"[^A-Za-z0-9._-]|^\.|\.\Z")
DIGEST = re.compile(r"~[0-9a-f]{32}")
LONGEST = 150  # bytes of an escaped key; with digest and ending it stays under the 255 of most file systems


def fields_of(key: str, context: Context, provider: str) -> tuple[str | None, str | None, float, str]:
    """Return workflow id, task id, time and JSON value of *context*."""
    try:
        value = _encode(context.storage)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotStorable(f"{provider} (key {key!r}): the value is not JSON: {error}") from error
    made = context._made
    return (
        _text(context.workflow_id),
        context.task_id,
        made if type(made) is float else context.time.timestamp(),
        value,
    )


def restored(value: Any, task_id: Any, workflow_id: str | None, made: float) -> Context:
    """Return the context that was saved; the text of a UUID becomes a ``UUID`` again."""
    return make_context(value, task_id, _as_workflow_id(workflow_id), made)


def row_of(key: str, context: Context, provider: str) -> tuple[Any, ...]:
    """Return *context* as key, workflow id, task id, time, value and checksum."""
    workflow_id, task_id, made, value = fields_of(key, context, provider)
    # CRC-32 finds every damage of up to 32 bits, in half a microsecond. It is no defence against somebody
    # who can write the file: signed values are for that.
    whole = f"{key}\0{workflow_id}\0{task_id}\0{value}"
    return key, workflow_id, task_id, made, value, crc32(whole.encode("utf-8", "surrogatepass"), crc32(_double(made)))


def verified(
    rows: Iterable[tuple[Any, ...]], provider: str, path: str, wanted: Container[str] | None = None
) -> dict[str, tuple[Any, ...]]:
    """Return rows by key, of all or the *wanted* keys; raise ``CorruptCheckpoint`` if a checksum is not right."""
    kept = {}
    for row in rows:
        key, workflow_id, task_id, made, value, checksum = row
        if wanted is not None and key not in wanted:
            continue
        whole = f"{key}\0{workflow_id}\0{task_id}\0{value}"
        if crc32(whole.encode("utf-8", "surrogatepass"), crc32(_double(made))) != checksum:
            raise CorruptCheckpoint(f"its row in {path!r} is not what was written; {AGAIN}", provider=provider, key=key)
        kept[key] = row
    return kept


class Rows(Mapping[str, Context]):
    """Contexts in rows: verified at once, decoded when they are asked for."""

    def __init__(
        self, rows: Iterable[tuple[Any, ...]], provider: str, path: str, wanted: Container[str] | None = None
    ) -> None:
        self._provider, self._path = provider, path
        self._rows = verified(rows, provider, path, wanted)

    def __getitem__(self, key: str) -> Context:
        return context_of(self._rows[key], self._provider, self._path)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def keys(self) -> KeysView[str]:
        return self._rows.keys()  # which answers quicker than one that asks this object

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def context_of(row: tuple[Any, ...], provider: str, path: str) -> Context:
    """Return the context in a row that was verified."""
    key, workflow_id, task_id, made, value, _ = row
    try:
        return restored(_decode(value), task_id, workflow_id, made)
    except MALFORMED as error:
        raise CorruptCheckpoint(f"its row in {path!r} is malformed; {AGAIN}", provider=provider, key=key) from error


def document_of(key: str, context: Context, provider: str, ends: float | None = None) -> bytes:
    """Return *context* as a JSON document that says whose it is, when it *ends*, and has a checksum of the rest."""
    workflow_id, task_id, made, value = fields_of(key, context, provider)
    about = {"key": key, "task_id": task_id, "workflow_id": workflow_id, "time": made}
    if ends is not None:
        about["ends"] = ends
    body = f'{_encode(about)[1:-1]}, "value": {value}}}\n'.encode()
    return HEAD % crc32(body) + body


def read_document(data: bytes, provider: str, path: str, key: str | None) -> tuple[str | None, Context]:
    """Return key and context in a document; *key* is the one it must be of, ``None`` any."""
    return read_ending(data, provider, path, key)[:2]


def read_ending(data: bytes, provider: str, path: str, key: str | None) -> tuple[str | None, Context, float | None]:
    """Return key, context and end in a document, as ``read_document`` does."""
    head = WHOLE.match(data)
    if head is None and data.startswith(b"[") and (context := _of_version_1(data)):
        return key, context, None
    if head is None or crc32(body := data[head.end() :]) != int(head[1], 16):
        what = "is damaged or cut off" if head or not data or b'"dotflow"' in data else "is not of dotflow"
        raise CorruptCheckpoint(f"the file {path!r} {what}; {AGAIN}", provider=provider, key=key)
    try:
        found = _decode("{" + body.decode())
        owner, made = found["key"], float(found["time"])
        context = restored(found["value"], found["task_id"], found["workflow_id"], made)
        ends = float(found["ends"]) if "ends" in found else None
    except MALFORMED as error:
        raise CorruptCheckpoint(f"the file {path!r} is malformed; {AGAIN}", provider=provider, key=key) from error
    if key is not None and owner != key:
        raise CorruptCheckpoint(f"the file {path!r} holds the key {owner!r}; {AGAIN}", provider=provider, key=key)
    return owner, context, ends


def _of_version_1(data: bytes) -> Context | None:
    """Read what dotflow 1.x wrote: a list of values, each as JSON text, or as it is if it is not JSON."""
    try:
        values = [_value_of_version_1(entry) for entry in json.loads(data)]
    except (ValueError, RecursionError):
        return None
    return Context([Context(value) for value in values] if len(values) > 1 else values[0] if values else None)


def _value_of_version_1(entry: Any) -> Any:
    try:
        return json.loads(entry) if isinstance(entry, str) else entry
    except ValueError:
        return entry


def file_name(key: str) -> str:
    """Return a name that is safe on every file system, and another one for every key.

    Everything but letters, digits, ``.``, ``_`` and ``-`` is escaped. A key with capital letters, which
    some file systems take for small ones, and a long key get a digest.
    """
    name = UNSAFE.sub(lambda match: "".join(f"%{byte:02x}" for byte in _bytes(match[0])), key)
    if name.partition(".")[0].lower() in RESERVED:
        name = f"%{ord(name[0]):02x}{name[1:]}"
    if name and len(name) <= LONGEST and name == name.lower():
        return name
    import hashlib

    stem, dot, ending = name.rpartition(".")
    if not dot or not ending.isalnum() or len(ending) > 8:
        stem, dot, ending = name, "", ""
    return f"{stem[:LONGEST]}~{hashlib.sha256(_bytes(key)).hexdigest()[:32]}{dot}{ending}"


def key_of(name: str) -> str | None:
    """Return the key whose file has that name, ``None`` if the name does not tell."""
    plain = DIGEST.sub("", name)
    escaped = re.sub(rb"%([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), _bytes(plain))
    key = escaped.decode("utf-8", "replace") if b"\xed" not in escaped else escaped.decode("utf-8", "surrogatepass")
    return key if file_name(key) == name else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=64)
def _text(workflow_id: Any) -> str | None:
    return None if workflow_id is None else str(workflow_id)


@lru_cache(maxsize=64)
def _as_workflow_id(text: str | None) -> Any:
    return Context(None, "", text).workflow_id


_double = struct.Struct("<d").pack  # the text of a float costs more than the checksum
_encode = json.JSONEncoder().encode
_read = json.JSONDecoder().raw_decode


def _decode(text: str) -> Any:
    """Decode JSON; what we wrote has no white space around it, and not to look for any saves most of the time."""
    value, end = _read(text)
    return value if end == len(text) else json.loads(text)
