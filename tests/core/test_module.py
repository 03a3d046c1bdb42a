"""Objects by their dotted path, and what is said when a path leads nowhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dotflow.core.exception import ImportModuleError
from dotflow.core.module import load


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A package on the path: ``shop`` with the modules ``steps``, ``broken`` and ``lacking``."""
    folder = tmp_path / "shop_of_test_module"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "steps.py").write_text("def extract(): return 1\nclass Group:\n    member = 5\n")
    (folder / "broken.py").write_text("raise RuntimeError('while importing')\n")
    (folder / "lacking.py").write_text("import a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return SimpleNamespace(name=folder.name)


@pytest.mark.parametrize("separator", [":", "."])
def test_path_with_colon_or_dot_is_loaded(package: SimpleNamespace, separator: str) -> None:
    """``pkg.mod:attr`` and ``pkg.mod.attr`` name the same."""
    assert load(f"{package.name}.steps{separator}extract")() == 1


def test_attributes_of_attributes_are_reached_after_a_colon(package: SimpleNamespace) -> None:
    """What stands after the colon may be nested."""
    assert load(f"{package.name}.steps:Group.member") == 5


@pytest.mark.parametrize("path", ["extract", ":extract", "json:", "json.", "", "."])
def test_path_without_a_module_or_an_attribute_is_refused(path: str) -> None:
    """A path needs both parts, and the message shows the form."""
    with pytest.raises(ImportModuleError, match=r"expected 'package\.module:attribute'") as caught:
        load(path)
    assert repr(path) in str(caught.value)


def test_missing_attribute_names_the_nearest_one(package: SimpleNamespace) -> None:
    """A mistyped name is answered with the one that was meant; without one, with the module alone."""
    with pytest.raises(ImportModuleError, match="no attribute 'extrat'; did you mean 'extract'"):
        load(f"{package.name}.steps:extrat")
    with pytest.raises(ImportModuleError, match=r"no attribute 'zzzz'$"):
        load(f"{package.name}.steps:zzzz")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_module_here:step", "there is no module 'no_such_module_here'"),
        ("{}.nowhere:step", r"there is no module '.*\.nowhere'"),
        ("{}.not-a-name:step", "is not a module name"),
        ("{}.steps.extract.step", "is a module, not a package: write '.*steps:extract"),
    ],
)
def test_missing_module_is_named(package: SimpleNamespace, path: str, words: str) -> None:
    """Which part of a path does not exist is said, and how it should be written."""
    with pytest.raises(ImportModuleError, match=words):
        load(path.format(package.name))


def test_error_inside_the_module_passes_unchanged(package: SimpleNamespace) -> None:
    """§19-22: a library that the user's module lacks is not reported as if that module were missing."""
    with pytest.raises(RuntimeError, match="while importing"):
        load(f"{package.name}.broken:step")
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there") as caught:
        load(f"{package.name}.lacking:step")
    assert not isinstance(caught.value, ImportModuleError)
