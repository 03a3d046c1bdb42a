"""``import dotflow`` is light: the standard library only, and no log handler."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "asyncio",
    "click",
    "concurrent.futures",
    "multiprocessing",
    "pydantic",
    "requests",
    "rich",
    "sqlite3",
}

PROBE = """
import json, logging, sys
before = set(sys.modules)
import dotflow
print(json.dumps({
    "loaded": sorted(set(sys.modules) - before),
    "handlers": [
        repr(handler)
        for name in (None, "dotflow")
        for handler in logging.getLogger(name).handlers
    ],
}))
"""

COMPILES = """
import builtins, sys

real = builtins.compile


def watched(source, *args, **kwargs):
    caller = sys._getframe(1).f_code.co_filename
    if not caller.startswith("<frozen importlib"):  # a module without a cache
        print(caller, source)
    return real(source, *args, **kwargs)


builtins.compile = watched

from dotflow import DotFlow, action

@action
def one():
    return 1

@action
def two(previous_context):
    return previous_context.storage + 1

workflow = DotFlow()
workflow.task.add([one, two, two])
workflow.start()
assert workflow.result_storage() == [1, 2, 3]
"""


@pytest.fixture(scope="module")
def probe() -> dict[str, list[str]]:
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_import_loads_only_the_standard_library(probe: dict[str, list[str]]) -> None:
    """Every module that ``import dotflow`` loads is ours or Python's own."""
    roots = {name.partition(".")[0] for name in probe["loaded"]}

    assert roots - sys.stdlib_module_names == {"dotflow"}


def test_import_leaves_heavy_modules_alone(probe: dict[str, list[str]]) -> None:
    """What only some runs need is loaded by those runs."""
    assert HEAVY & set(probe["loaded"]) == set()


def test_import_adds_no_log_handler(probe: dict[str, list[str]]) -> None:
    """Logging is the application's to configure."""
    assert probe["handlers"] == []


def test_small_program_compiles_no_text() -> None:
    """Annotations stay the texts they are: to compile those of the values took longer than the run (ADR 0009)."""
    done = subprocess.run([sys.executable, "-c", COMPILES], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == ""
