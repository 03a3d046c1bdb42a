"""Values of several megabytes on every kind of backend: whole, small, and out of the way of the others."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.exception import StorageError
from dotflow.providers import StorageFile, StoragePostgres, StorageRedis, StorageSQLite

ROWS = [{"id": number, "city": f"city {number % 7}", "share": number / 7} for number in range(40_000)]
NOISE = random.Random(3).randbytes(3_000_000)
MEGABYTE = 1 << 20
effects: list[str] = []


@action
def rows() -> Any:
    effects.append("rows")
    return ROWS


@action
def noise() -> bytes:
    effects.append("noise")
    return NOISE


@action
def count(previous_context: Context) -> int:
    effects.append("count")
    return len(previous_context.storage)


@pytest.fixture(params=["file", "sqlite", "postgres", "valkey"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    mark = f"large_{uuid.uuid4().hex[:8]}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")
        return lambda: StoragePostgres(url, mark)
    if request.param == "valkey":
        host, port = request.getfixturevalue("valkey")
        return lambda: StorageRedis(host, port, prefix=f"{mark}:")
    return lambda: StorageFile(path=tmp_path / "d") if request.param == "file" else StorageSQLite(tmp_path / "d.db")


def run(storage: Storage, **options: Any) -> Any:
    flow = DotFlow(Config(storage=storage), workflow_id="large")
    flow.task.add([rows, noise, count])
    return flow.start(**options)


def test_large_results_are_kept_small_and_come_back_equal(make: Callable[[], Storage]) -> None:
    """Nine megabytes of rows, and bytes that do not shrink; a resumed run has them without running anything."""
    effects.clear()
    first = make()

    assert str(run(first).status) == "Completed"
    first.close()
    second = make()
    manager = run(second, resume=True)

    assert effects == ["rows", "noise", "count"]
    assert [task.value for task in manager.tasks] == [ROWS, NOISE, len(NOISE)]
    kept = second.get(second.key(manager.tasks[0])).storage
    assert len(kept["value"]["v"]) < MEGABYTE < kept["value"]["size"]
    assert len(list(second.list_keys("large-"))) == 4
    second.close()


def test_postgres_keeps_a_large_value_out_of_the_row(postgres: str) -> None:
    """In the table's TOAST, so that reading keys and small values touches a page or two."""
    table = f"large_{uuid.uuid4().hex[:8]}"
    storage = StoragePostgres(postgres, table)
    run(storage)
    storage.close()

    with psycopg.connect(postgres) as connection:
        [(main, all_of_it)] = connection.execute(
            "select pg_relation_size(%s::text), pg_table_size(%s::text)", (table, table)
        ).fetchall()
    assert main <= 8192
    assert all_of_it > 4 * MEGABYTE


def test_sqlite_keeps_a_large_value_in_overflow_pages(tmp_path: Path) -> None:
    """Keys are found and listed without reading it: the tree that is searched stays a handful of pages."""
    storage = StorageSQLite(tmp_path / "d.db")
    run(storage)
    storage.close()

    connection = sqlite3.connect(tmp_path / "d.db")
    [(pages,)] = connection.execute("pragma page_count").fetchall()
    plan = connection.execute("explain query plan select key from dotflow_contexts where key >= 'large-'").fetchall()
    connection.close()
    assert pages * 4096 > 4 * MEGABYTE
    assert "USING PRIMARY KEY" in str(plan)


def test_value_that_valkey_does_not_take_is_a_clear_error(valkey: tuple[str, int]) -> None:
    """Its limit is told with provider and key; nothing is saved by halves."""
    prefix = f"large_{uuid.uuid4().hex[:8]}:"
    storage = StorageRedis(*valkey, prefix=prefix)
    with redis.Redis(*valkey) as client:
        before = client.config_get("proto-max-bulk-len")
        client.config_set("proto-max-bulk-len", MEGABYTE)
        try:
            storage.patience = 0.2  # type: ignore[misc]  # of this one
            with pytest.raises(StorageError, match="StorageRedis.*w-a"):
                storage.post("w-a", Context(NOISE.hex()))
        finally:
            client.config_set("proto-max-bulk-len", before["proto-max-bulk-len"])
    assert storage.get("w-a").storage is None
    storage.close()
