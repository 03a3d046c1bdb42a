"""The import survives ``kill -9`` at its two worst moments: no page is fetched twice, and no row is there twice."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from example_tools import EXAMPLES, Quiet, assert_promised, run, serving, start, wait_until

from dotflow.providers import StorageSQLite

SCRIPT = str(EXAMPLES / "api_to_sqlite" / "collect.py")
PAGES, SIZE = 5, 20
KILLED_AT = 3


class Api(NamedTuple):
    """An API: how often each page was sent, and what is done before one is."""

    url: str
    fetched: Counter[int]
    before: dict[int, Callable[[], None]]


def rows_of(page: int) -> list[dict[str, object]]:
    # two rows of each page are equal: no key of the rows themselves could tell that one has come twice
    return [{"sensor": "s", "taken_at": f"2026-01-{page:02}", "value": float(max(n, 1))} for n in range(SIZE)]


@pytest.fixture
def api() -> Iterator[Api]:
    fetched: Counter[int] = Counter()
    before: dict[int, Callable[[], None]] = {}

    class Readings(Quiet):
        def reply(self) -> None:
            if self.command == "HEAD":
                self.answer(200, X_Total_Pages=str(PAGES))
                return
            page = int(parse_qs(urlsplit(self.path).query)["page"][0])
            fetched[page] += 1
            before.get(page, int)()
            self.answer(200, json.dumps(rows_of(page)).encode())

    with serving(Readings) as server:
        yield Api(f"{server.url}/readings", fetched, before)


def stored(folder: Path) -> Counter[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "rows.db", timeout=60)) as database:
        return Counter(database.execute("select sensor, taken_at, value from readings"))


def wanted(pages: int) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row.values()) for page in range(1, pages + 1) for row in rows_of(page))


def saved(folder: Path) -> set[str]:
    storage = StorageSQLite(folder / "run.db")
    contexts = storage.get_many(sorted(storage.list_keys()))
    storage.close()
    return {str(context.task_id) for context in contexts.values()}


class Locked:
    """A database that nobody else can write to."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._database.execute("begin immediate")

    def release(self) -> None:
        self._database.rollback()
        self._database.close()


@pytest.mark.parametrize("written", [False, True], ids=["before the rows are written", "after, but nobody knows"])
def test_import_goes_on_after_kill_9(api: Api, tmp_path: Path, written: bool) -> None:
    """Killed between a fetch and the checkpoint behind it, the import goes on with the next thing that is not done."""
    locks: list[Locked] = []
    api.before[KILLED_AT] = lambda: locks.append(Locked(tmp_path / "rows.db"))  # keeps the rows from being written

    process = start(SCRIPT, api.url, folder=tmp_path)
    wait_until(lambda: bool(locks) and f"fetch-{KILLED_AT}" in saved(tmp_path))
    if written:
        blocked = Locked(tmp_path / "run.db")  # keeps dotflow from knowing that they were
        locks.pop().release()
        wait_until(lambda: stored(tmp_path) == wanted(KILLED_AT))
        process.kill()
        process.wait()
        blocked.release()
    else:
        process.kill()
        process.wait()
        locks.pop().release()
    process.communicate()

    assert process.returncode == -9
    assert stored(tmp_path) == wanted(KILLED_AT if written else KILLED_AT - 1)
    assert f"store-{KILLED_AT}" not in saved(tmp_path)
    output = run(SCRIPT, api.url, "--resume", folder=tmp_path)

    assert api.fetched == dict.fromkeys(range(1, PAGES + 1), 1)
    assert stored(tmp_path) == wanted(PAGES)
    assert_promised("api_to_sqlite", output)


def test_import_that_is_complete_fetches_nothing(api: Api, tmp_path: Path) -> None:
    """Resumed at its end it does nothing, and without ``--resume`` it reads everything again, as a new run."""
    for options in ([], ["--resume"]):
        run(SCRIPT, api.url, *options, folder=tmp_path)
    assert api.fetched == dict.fromkeys(range(1, PAGES + 1), 1)
    assert stored(tmp_path) == wanted(PAGES)

    run(SCRIPT, api.url, folder=tmp_path)
    assert api.fetched == dict.fromkeys(range(1, PAGES + 1), 2)
