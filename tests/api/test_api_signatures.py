"""Signatures of dotflow 1.x: every call that worked with its documented arguments can still be written."""

from __future__ import annotations

import importlib
import inspect
from functools import reduce

import pytest
from api.api_tables import FLAGS, NEEDED, SIGNATURES
from click.testing import CliRunner

from dotflow.cli.command import commands
from dotflow.core.action import Action


def parameters_of(path: str) -> dict[str, inspect.Parameter]:
    module, _, name = path.partition(":")
    found = reduce(getattr, name.split("."), importlib.import_module(module))
    signature = inspect.signature(Action.__init__ if found is Action else found)
    return {name: each for name, each in signature.parameters.items() if name != "self"}


@pytest.mark.parametrize("path", SIGNATURES)
def test_documented_arguments_are_taken_as_they_were(path: str) -> None:
    """The same names, in the same order where they had one, with the same defaults; what is new is optional."""
    by_position, by_name = SIGNATURES[path]
    found = parameters_of(path)
    kinds = inspect.Parameter

    assert [name for name, each in found.items() if each.kind is kinds.POSITIONAL_OR_KEYWORD][
        : len(by_position)
    ] == list(by_position)
    for name, default in {**by_position, **by_name}.items():
        assert name in found, f"{path} has no {name}="
        if default is NEEDED:
            assert found[name].default in (kinds.empty, None) or path.startswith("dotflow.core.exception")
        elif default is not ...:
            assert found[name].default == default, name
    new = [each for name, each in found.items() if name not in {**by_position, **by_name}]
    variable = (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
    assert [each.name for each in new if each.default is kinds.empty and each.kind not in variable] == []


@pytest.mark.parametrize("name", FLAGS)
def test_commands_take_the_flags_they_took(name: str) -> None:
    """Long and short ones."""
    command = commands.commands[name]
    taken = {flag for parameter in command.params for flag in parameter.opts}

    assert set(FLAGS[name].split()) - taken == set()


def test_version_is_printed_as_it_was() -> None:
    """``dotflow -v`` and ``--version``."""
    import dotflow

    for flag in ("-v", "--version"):
        assert CliRunner().invoke(commands, [flag]).output == f"dotflow=={dotflow.__version__}\n"
