"""From the options of a command to the runs in a storage."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from dotflow.cli.choice import STORAGES, make_storage, url_of
from dotflow.core.exception import ConfigurationError
from dotflow.history import Runs
from dotflow.views.progress import silence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.storage import Storage

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
FORMAT = "%Y-%m-%d %H:%M:%S"
GAP = "  "
MAGIC = b"SQLite format 3\0"


class Place(NamedTuple):
    """Where to look.

    Attributes:
        storage: It.
        name: What ``--storage`` would say.
        path: What ``--path`` would say.
        file: The file or folder it keeps its data in; empty if that is no file of this machine.
    """

    storage: Storage
    name: str
    path: str | None
    file: str


def find_place(storage: str | None, path: str | None) -> Place:
    """Return where to look.

    Raises:
        ConfigurationError: nothing says where, or there is nothing.
    """
    from dotflow.providers.by_url import configured_url

    if path is not None and storage is None:
        storage = "file" if os.path.isdir(path) else "sqlite"
    name = storage if storage is not None else configured_url() or _in_this_folder()
    file = file_of(name, path)
    if file and not os.path.exists(file):
        raise ConfigurationError(f"nothing has been kept in {file!r} yet: it does not exist; is --storage right?")
    return Place(make_storage(name, path), name, path, file)


def find_runs(storage: str | None, path: str | None) -> Runs:
    """Return the runs in the storage that is meant."""
    return Runs(find_place(storage, path).storage)


def file_of(name: str, path: str | None) -> str:
    """Return the file or folder of a storage; empty if it has none on this machine."""
    row = STORAGES.get(name)
    if row is not None:
        return (path if path is not None else row.path) if row.path else ""
    from dotflow.providers.by_url import SCHEMES

    parts = urlsplit(name)
    if parts.scheme not in ("sqlite", "file"):
        return ""
    return str(SCHEMES[parts.scheme].arguments(parts, {}).get("path", STORAGES[parts.scheme].path))


def _in_this_folder() -> str:
    for name in ("sqlite", "file"):
        if os.path.exists(STORAGES[name].path):
            return name
    found = _databases()
    meant = f", but {', '.join(found)}; did you mean --storage {url_of(found[0])}?" if found else ""
    raise ConfigurationError(
        "where to look is said by --storage (sqlite:///flow.db, postgresql://...), DOTFLOW_STORAGE, or storage in "
        f"[tool.dotflow] of pyproject.toml; this folder has neither dotflow.db nor .output{meant}"
    )


def _databases() -> list[str]:
    """Return the SQLite databases of this folder."""
    found = []
    for name in sorted(os.listdir()):
        if name.endswith((".db", ".sqlite", ".sqlite3")) and os.path.isfile(name):
            with contextlib.suppress(OSError), open(name, "rb") as file:
                if file.read(len(MAGIC)) == MAGIC:
                    found.append(name)
    return found


def moment(text: str) -> datetime:
    """Return the instant that ``--since`` means: so long ago, or a date, in local time unless it says."""
    number, unit = text[:-1], text[-1:]
    if unit in UNITS and number.isdecimal():
        try:
            return datetime.now(UTC) - timedelta(**{UNITS[unit]: int(number)})
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--since {text!r} is no time: write 90m, 2h, 7d, 2027-03-01 or 2027-03-01T09:00"
        ) from None
    return found if found.tzinfo is not None else found.astimezone()


def local(when: datetime | None) -> str:
    """Return an instant in local time, for people."""
    return "-" if when is None else when.astimezone().strftime(FORMAT)


def iso(when: datetime | None) -> str | None:
    """Return an instant for programs."""
    return None if when is None else when.isoformat()


def write_json(value: Any) -> None:
    """Write *value* to standard output."""
    print_line(json.dumps(value, indent=2))


def print_line(line: str = "", *, flush: bool = False) -> None:
    """Write a line to standard output; where nobody reads any more, end the command in silence."""
    import click

    if sys.stdout is None:
        return
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        raise click.exceptions.Exit(0) from None


def width() -> int | None:
    """Return the columns of the terminal; ``None`` if standard output is none, and lines may be as long as they are."""
    import shutil

    try:
        on_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):
        return None
    return shutil.get_terminal_size().columns if on_terminal else None


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, elastic: int, optional: Sequence[int] = ()
) -> list[str]:
    """Return the lines of a table.

    Args:
        head: Names of the columns.
        rows: Their values.
        elastic: The column that is cut where the window is narrow.
        optional: Columns that are left out, in this order, where it is narrower still.
    """
    shown, most, least = list(range(len(head))), width(), 8
    sizes = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    leaving = list(optional)
    while most is not None and leaving and _total(sizes, shown, elastic, least) > most:
        shown.remove(leaving.pop(0))
    if most is not None:
        room = most - _total(sizes, shown, elastic, 0)
        sizes[elastic] = min(sizes[elastic], max(least, room))
    return [GAP.join(_cell(row[at], sizes[at]) for at in shown).rstrip() for row in (head, *rows)]


def _total(sizes: Sequence[int], shown: Sequence[int], elastic: int, least: int) -> int:
    return sum(min(sizes[at], least) if at == elastic else sizes[at] for at in shown) + len(GAP) * (len(shown) - 1)


def _cell(text: str, size: int) -> str:
    return text.ljust(size) if len(text) <= size else text[: size - 1] + "…"
