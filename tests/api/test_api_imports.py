"""Import paths and constants of dotflow 1.x: each is there, or the migration page says what takes its place."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from api.api_tables import CONSTANTS, GONE, KEPT

import dotflow
import dotflow.core.types
from dotflow.core import exception
from dotflow.core.types import VALID_POLICIES, TypeStatus

MIGRATION = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", KEPT)
def test_kept_names_are_where_they_were(module: str) -> None:
    """What was imported from a module can be."""
    found = importlib.import_module(module)

    assert [name for name in KEPT[module].split() if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", GONE)
def test_names_that_are_gone_are_named_in_the_migration_page(module: str) -> None:
    """What is not kept cannot be imported, and the page names it."""
    names = GONE[module].split()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        assert module in MIGRATION or module.startswith("dotflow.abc.")
        assert module.rpartition(".")[2] in MIGRATION
    else:
        assert names
        assert [name for name in names if hasattr(found, name)] == []
        assert [name for name in names if f"`{name}`" not in MIGRATION] == []


def test_package_has_its_five_names() -> None:
    """``from dotflow import *`` gives them; the action is the same object under both names."""
    assert sorted(dotflow.__all__) == ["Config", "Context", "DotFlow", "Task", "action"]
    assert importlib.import_module("dotflow.core.action").Action is dotflow.action
    assert dotflow.__version__
    assert dotflow.__description__


@pytest.mark.parametrize("kind", CONSTANTS)
def test_constants_are_the_texts_they_were(kind: str) -> None:
    """They compare equal to their text and print as it."""
    found = getattr(dotflow.core.types, kind)
    for name, text in CONSTANTS[kind].items():
        assert getattr(found, name) == text
        assert f"{getattr(found, name)}" == text


def test_policies_and_symbols_are_as_they_were() -> None:
    """Three policies in their order, and a symbol for each status."""
    assert VALID_POLICIES == ("reuse", "reset", "raise")
    order = ["Not started", "In progress", "Completed", "Paused", "Retry", "Failed", "Other"]
    assert [TypeStatus.get_symbol(name) for name in order] == ["⚪", "🔵", "✅", "◼️", "❗", "❌", None]


def test_task_error_can_be_had_from_the_errors_module() -> None:
    """It is no exception, but that is where 1.x had it; any other name is refused."""
    from dotflow.core.exception import TaskError

    assert TaskError is importlib.import_module("dotflow.core.task").TaskError
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = exception.Nothing


def test_unknown_provider_is_an_attribute_error() -> None:
    """As it was."""
    with pytest.raises(AttributeError, match="StorageNothing"):
        _ = importlib.import_module("dotflow.providers").StorageNothing
