"""Names that an option takes. A table decides; for a name that is not in it the nearest one is offered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dotflow.core.module import nearest
from dotflow.core.types import TypeExecution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from click.shell_completion import CompletionItem

    from dotflow.abc.storage import Storage


class Backend(NamedTuple):
    """What a plain name and ``--path`` mean.

    Attributes:
        url: How the URL of it begins; the path follows.
        path: Used where ``--path`` is not given.
        place: What ``--path`` means for it.
    """

    url: str
    path: str
    place: str


STORAGES: dict[str, Backend] = {
    "default": Backend("memory:", "", "not used"),
    "file": Backend("file:", ".output", "a folder, .output by default"),
    "sqlite": Backend("sqlite:///", "dotflow.db", "the database file, dotflow.db by default"),
}
MODES: tuple[str, ...] = tuple(mode.value for mode in TypeExecution)


def forms(table: dict[str, Backend]) -> list[str]:
    """Return how a storage is written on the command line."""
    return [*table, "URL"]


def url_of(path: str) -> str:
    """Return the URL of the storage that keeps its data in the file or folder *path*."""
    from urllib.parse import quote

    return f"{STORAGES['file' if os.path.isdir(path) else 'sqlite'].url}{quote(path)}"


def make_storage(value: str, path: str | None) -> Storage:
    """Return the storage that ``--storage`` and ``--path`` describe."""
    from urllib.parse import quote

    from dotflow.providers.by_url import storage_from

    row = STORAGES.get(value)
    if row is None:
        return storage_from(value)
    chosen = path if path is not None else row.path
    return storage_from(row.url if row.url == "memory:" else row.url + quote(chosen))


class Commands(click.Group):
    """A group that offers the nearest command for one that does not exist."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* names."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            ctx.fail(f"there is no command {args[0]!r}{nearest(args[0], known)} (known: {', '.join(known)})")
        return super().resolve_command(ctx, args)


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
            self.fail(self.refusal(text), param, ctx)
        return text

    def accepts(self, text: str) -> bool:
        """Whether *text* is one of the names."""
        return text in self._known

    def refusal(self, text: str) -> str:
        """Say that *text* is not known, and what is."""
        return unknown(self.name, text, self._known)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the names, for ``--help``."""
        return f"[{'|'.join(self._known)}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the names that begin like *incomplete*."""
        return _items(name for name in self._known if name.startswith(incomplete))


class Reference(click.ParamType[str]):
    """A text such as ``package.module:name``."""

    name = "reference"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return modules of the working folder, and names in them."""
        from dotflow.cli.completion import references

        return _items(references(incomplete))


class Listed(click.ParamType[str]):
    """A name that is completed with what is in the storage that the options before it say.

    Args:
        names: Returns the names, given the options.
    """

    name = "text"

    def __init__(self, names: Callable[[dict[str, Any]], Iterable[str]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Return the names that begin like *incomplete*; none if the storage cannot be read."""
        from dotflow.core.exception import DotflowError

        try:
            return _items([name for name in self._names(ctx.params) if name.startswith(incomplete)])
        except DotflowError:
            return []


def _items(found: Iterable[str]) -> list[CompletionItem[Any]]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(each) for each in found]


class StorageName(Known):
    """A name from the table of storages, or a URL."""

    def __init__(self) -> None:
        super().__init__("storage", forms(STORAGES))

    def accepts(self, text: str) -> bool:
        """Whether the table has a row for *text*, or its scheme is known."""
        if text in STORAGES or "://" not in text:
            return text in STORAGES
        from dotflow.providers.by_url import is_known

        return is_known(text.partition("://")[0])

    def refusal(self, text: str) -> str:
        """Say that *text* is not known, and what is; of a URL the scheme decides."""
        if "://" not in text:
            known = f"(known: {', '.join(STORAGES)}, or a URL such as {STORAGES['sqlite'].url}flow.db)"
            if os.path.exists(text) or "." in text or os.sep in text:
                return f"there is no storage {text!r}; did you mean {url_of(text)}? {known}"
            return f"there is no storage {text!r}{nearest(text, STORAGES)} {known}"
        from dotflow.providers.by_url import known_schemes

        return unknown(self.name, text.partition("://")[0], known_schemes())


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """Say that *value* is not known, what is, and which of it was probably meant."""
    names = list(known)
    return f"there is no {what} {value!r}{nearest(value, names)} (known: {', '.join(names)})"
