"""Names that an option takes. A table decides; for a name that is not in it the nearest one is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dotflow.core.types import TypeExecution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.abc.storage import Storage


class Backend(NamedTuple):
    """One row of the table of storages.

    Attributes:
        build: Makes the storage, from the whole value of ``--storage`` and that of ``--path``.
        place: What ``--path`` means for it.
        url: Whether the value is a URL with this name as its scheme, rather than the name alone.
    """

    build: Callable[[str, str | None], Storage]
    place: str
    url: bool = False


def _memory(value: str, path: str | None) -> Storage:
    from dotflow.providers import StorageDefault

    return StorageDefault()


def _file(value: str, path: str | None) -> Storage:
    from dotflow.providers import StorageFile

    return StorageFile() if path is None else StorageFile(path=path)


def _sqlite(value: str, path: str | None) -> Storage:
    from dotflow.providers import StorageSQLite

    return StorageSQLite() if path is None else StorageSQLite(path)


STORAGES: dict[str, Backend] = {
    "default": Backend(_memory, "not used"),
    "file": Backend(_file, "a folder, .output by default"),
    "sqlite": Backend(_sqlite, "the database file, dotflow.db by default"),
}
MODES: tuple[str, ...] = tuple(mode.value for mode in TypeExecution)


def forms(table: dict[str, Backend]) -> list[str]:
    """Return how the rows of a table are written on the command line."""
    return [f"{name}://..." if row.url else name for name, row in table.items()]


def make_storage(value: str, path: str | None) -> Storage:
    """Return the storage that ``--storage`` and ``--path`` describe; ``StorageName`` has checked *value*."""
    return STORAGES[value.partition("://")[0]].build(value, path)


class Known(click.ParamType[str]):
    """One of a few names.

    Args:
        name: What the names stand for, in messages.
        known: All of them.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name, self._known = name, tuple(known)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value* if it is known."""
        text = str(value)
        if not self.accepts(text):
            self.fail(unknown(self.name, text, self._known), param, ctx)
        return text

    def accepts(self, text: str) -> bool:
        """Whether *text* is one of the names."""
        return text in self._known

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the names, for ``--help``."""
        return f"[{'|'.join(self._known)}]"


class StorageName(Known):
    """A name, or the scheme of a URL, from the table of storages."""

    def __init__(self) -> None:
        super().__init__("storage", forms(STORAGES))

    def accepts(self, text: str) -> bool:
        """Whether the table has a row for *text*."""
        name, url, _ = text.partition("://")
        return name in STORAGES and STORAGES[name].url == bool(url)


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """Say that *value* is not known, what is, and which of it was probably meant."""
    names = list(known)
    return f"there is no {what} {value!r}{nearest(value, names)} (known: {', '.join(names)})"


def nearest(value: str, known: Iterable[str]) -> str:
    """Return a question that offers the name most like *value*; nothing if none is."""
    import difflib

    close = difflib.get_close_matches(value.lower(), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
