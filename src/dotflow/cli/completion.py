"""Completion in shells: click's scripts, and names in the user's modules, which are read and never run."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click import shell_completion as shells

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

VARIABLE = "_DOTFLOW_COMPLETE"
MOST = 50  # runs that are offered
PRIVATE = ("_", "test_", "conftest")


class Bash(shells.BashComplete):
    """Bash takes ``module:name`` for three words, unless COMP_WORDBREAKS has been changed."""

    _taken = False

    @staticmethod
    def _check_version() -> None:
        """Ask nothing: the script is often written on another machine than it is used on."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        words, incomplete = super().get_completion_args()
        joined: list[str] = []
        for word in (*words, incomplete):
            self._taken = bool(joined) and (word == ":" or joined[-1].endswith(":"))
            if self._taken:
                joined[-1] += word
            else:
                joined.append(word)
        return joined[:-1], joined[-1]

    def format_completion(self, item: shells.CompletionItem[Any]) -> str:
        """Return *item* without the part that Bash takes for other words."""
        if self._taken:
            item.value = str(item.value).rpartition(":")[2]
        return super().format_completion(item)


def prepare() -> None:
    """Use our way of asking Bash, if a shell asks for completions."""
    if VARIABLE in os.environ:
        shells.add_completion_class(Bash)


def script(commands: click.Command, shell: str) -> str:
    """Return the script for *shell*."""
    shells.add_completion_class(Bash)
    kind = shells.get_completion_class(shell)
    assert kind is not None
    return kind(commands, {}, "dotflow", VARIABLE).source().rstrip("\n") + "\n"


def references(incomplete: str) -> Iterator[str]:
    """Return the modules below the working folder that begin like *incomplete*; after a colon, their names."""
    module, colon, start = incomplete.partition(":")
    if not colon:
        yield from (f"{name}:" for name in _modules(module))
        return
    stem = Path(*module.split("."))
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            yield from (f"{module}:{name}" for name in _names(path) if name.startswith(start))


def run_ids(options: dict[str, Any]) -> list[str]:
    """Return the beginnings of the ids of the latest runs in the storage that *options* say."""
    from dotflow.cli.listing import distinct
    from dotflow.cli.lookup import find_runs

    found = find_runs(options.get("storage"), options.get("path")).list(limit=MOST)
    return [each.run_id[: distinct(found)] for each in found]


def _modules(start: str) -> Iterator[str]:
    folder = Path(*start.split(".")[:-1]) if "." in start else Path()
    before = f"{start.rpartition('.')[0]}." if "." in start else ""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        name = before + path.stem
        public = path.stem.isidentifier() and not path.stem.startswith(PRIVATE)
        if public and name.startswith(start) and (path.suffix == ".py" or (path / "__init__.py").is_file()):
            yield name


def _names(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [name for name in found if not name.startswith(PRIVATE)]
