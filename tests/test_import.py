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
