"""``dotflow provider check``: the contract kits, without pytest."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dotflow.cli.choice import unknown
from dotflow.cli.provider import KINDS, write_table
from dotflow.cli.target import UserError, prepare_path
from dotflow.core.exception import ConfigurationError, DotflowError, NotCallableObject
from dotflow.core.module import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.testing.storage_contract import Verdict


class Recipe:
    """Makes the provider that the command line describes, in any process."""

    def __init__(self, target: str, url: str | None, arguments: dict[str, Any]) -> None:
        self.target, self.url, self.arguments = target, url, arguments

    def __call__(self) -> Any:
        """Make one."""
        if self.url is not None:
            from dotflow.providers.by_url import storage_from

            return storage_from(self.url)
        return load(self.target)(**self.arguments)


class Held:
    """Gives the same one each time: a storage in memory has its data in the object."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def __call__(self) -> Any:
        """Give it."""
        return self._provider


def check_provider(
    target: str, url: str | None, arguments: dict[str, Any], *, clauses: tuple[str, ...], alone: bool, as_json: bool
) -> int:
    """Run the kit, write what came of it; return the exit code."""
    prepare_path()
    recipe = Recipe(target, url, arguments)
    if url is not None and arguments:
        raise ConfigurationError("give --url or --arg, not both")
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dotflow-check-") as folder:
        sys.path[:] = [os.path.abspath(entry) for entry in sys.path]
        before = os.getcwd()
        os.chdir(folder)
        try:
            provider = _first(recipe)
            kind = _kind_of(provider, target)
            verdicts = (
                _storage(recipe, provider, clauses, alone) if kind == "storage" else _other(kind, recipe, clauses)
            )
            return _show(target, kind, verdicts, as_json)
        finally:
            os.chdir(before)


def _first(recipe: Recipe) -> Any:
    """Make one, and see that it is what the command line names."""
    named = load(recipe.target)
    try:
        provider = recipe()
    except DotflowError:
        raise
    except TypeError as error:
        hint = "give its arguments by --arg name=value, or name a function that needs none"
        raise ConfigurationError(f"{recipe.target} cannot be made: {error}; {hint}") from error
    except Exception as error:  # the user's own class (ADR 0010)
        raise UserError(f"making {recipe.target}") from error
    if isinstance(named, type) and not isinstance(provider, named):
        raise ConfigurationError(f"--url gives a {type(provider).__name__}, not a {named.__name__}")
    return provider


def _kind_of(provider: Any, target: str) -> str:
    from dotflow.core.config import CONTRACTS

    for kind in KINDS:
        if isinstance(provider, getattr(importlib.import_module(f"dotflow.abc.{kind}"), CONTRACTS[kind])):
            return kind
    expected = f"an instance of a contract in dotflow.abc ({', '.join(KINDS)})"
    raise NotCallableObject(target, expected=expected, given=provider)


def _storage(recipe: Recipe, provider: Any, wanted: tuple[str, ...], alone: bool) -> Iterator[Verdict]:
    from dotflow.abc.storage import Storage
    from dotflow.core.virtual import whole
    from dotflow.testing.storage_contract import StorageContract, check_storage

    names = _chosen(wanted, StorageContract)
    memory = whole(provider, Storage).keeps_objects
    make = Held(provider) if memory else recipe
    for name in names:
        yield from check_storage(make, shared_between_processes=not (memory or alone), clauses=[name])
    provider.close()


def _other(kind: str, recipe: Callable[[], Any], wanted: tuple[str, ...]) -> Iterator[Verdict]:
    from dotflow import testing
    from dotflow.core.config import CONTRACTS
    from dotflow.testing.storage_contract import Verdict

    contract = getattr(testing, f"{CONTRACTS[kind]}Contract")
    for name in _chosen(wanted, contract):
        kit = contract()
        kit.make = recipe
        problem = ""
        try:
            kit.provider = recipe()
            getattr(kit, name)()
        except AssertionError as error:
            problem = str(error) or "it does not"
        except Exception as error:  # whatever the provider raises is the verdict (ADR 0010)
            problem = f"{type(error).__name__}: {error}"
        yield Verdict(name, str(getattr(contract, name).__doc__), problem)


def _chosen(wanted: tuple[str, ...], contract: type) -> list[str]:
    from dotflow.testing.storage_contract import _clauses

    known = [name for name, _ in _clauses(contract)]
    for name in wanted:
        if f"test_{name.removeprefix('test_')}" not in known:
            raise ConfigurationError(unknown("clause", name, [each.removeprefix("test_") for each in known]))
    chosen = {f"test_{name.removeprefix('test_')}" for name in wanted}
    return [name for name in known if not chosen or name in chosen]


def _show(target: str, kind: str, verdicts: Iterator[Verdict], as_json: bool) -> int:
    found = list(verdicts)
    failed = [verdict for verdict in found if verdict.problem]
    if as_json:
        clauses = [
            {
                "clause": v.clause.removeprefix("test_"),
                "claim": v.claim,
                "passed": not v.problem,
                "absent": list(v.absent),
                "why": v.problem,
            }
            for v in found
        ]
        click.echo(json.dumps({"provider": target, "kind": kind, "passed": not failed, "clauses": clauses}, indent=2))
    else:
        write_table([("clause", "verdict", "why"), *map(_row, found)])
        _count(target, kind, found, len(failed))
    return 1 if failed else 0


def _row(verdict: Verdict) -> tuple[str, str, str]:
    name = verdict.clause.removeprefix("test_")
    if verdict.absent:
        return name, "absent", f"the class has no {' and no '.join(verdict.absent)}"
    return name, "FAIL" if verdict.problem else "pass", verdict.problem


def _count(target: str, kind: str, found: list[Verdict], failed: int) -> None:
    absent = sum(bool(verdict.absent) for verdict in found)
    tried = len(found) - absent
    line = f"{target}: {tried - failed} of {tried} clauses of {kind} hold"
    if absent:
        names = dict.fromkeys(name for verdict in found for name in verdict.absent)
        line += f"; {absent} more are about what the class does not have: {', '.join(names)}"
    click.echo(line)
