"""The client library alone, writing the very bytes that dotflow's storages write for the same steps."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.case import Case, Cases, Measured, Peer, measured
from benchmarks.work import now, scratch, step

PEER = Peer("client alone, same bytes", "dotflow")


def rows(n: int) -> list[tuple[Any, ...]]:
    from dotflow.core.context import Context
    from dotflow.providers._saved import row_of

    return [row_of(f"chain-{number:026}", Context(number + 1, f"{number:026}", "chain"), "raw") for number in range(n)]


def documents(n: int) -> list[tuple[str, bytes]]:
    from dotflow.core.context import Context
    from dotflow.providers._saved import document_of

    keys = [(f"chain-{number:026}", number) for number in range(n)]
    return [(key, document_of(key, Context(number + 1, key[6:], "chain"), "raw")) for key, number in keys]


def written(items: Sequence[Any], write: Callable[[Any], object], count: Callable[[], int]) -> Measured:
    """Write what was made before, one after the other, each durable before the next."""
    x, start = 0, now()
    for item in items:
        x = step(x)
        write(item)
    return measured(now() - start, len(items), x == len(items) == count())


def sqlite(n: int, level: str) -> Measured:
    from dotflow.providers._sqlite import TABLE
    from dotflow.providers.storage_sqlite import SAVE

    connection = sqlite3.connect(scratch() / "raw.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute(f"pragma synchronous={level}")
    connection.execute(TABLE)

    def count() -> int:
        return int(connection.execute("select count(*) from dotflow_contexts").fetchone()[0])

    return written(rows(n), lambda row: connection.execute(SAVE, row), count)


def postgres(n: int) -> Measured:
    import psycopg

    from dotflow.providers.storage_postgres import DDL, SAVE

    with psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True) as connection:
        connection.execute("drop table if exists raw_contexts")
        connection.execute(DDL.replace("{table}", "raw_contexts"))
        save = SAVE.replace("{table}", "raw_contexts")

        def count() -> int:
            [found] = connection.execute("select count(*) from raw_contexts")
            return int(found[0])

        return written(rows(n), lambda row: connection.execute(save, row), count)


def valkey(n: int) -> Measured:
    import redis

    client = redis.Redis.from_url(os.environ["BENCH_VALKEY"])
    client.flushdb()
    return written(documents(n), lambda item: client.set(*item), client.dbsize)


def files(n: int) -> Measured:
    folder = scratch() / "raw"
    folder.mkdir()

    def write(item: tuple[str, bytes]) -> None:
        path = str(folder / item[0])
        descriptor = os.open(path + ".part", os.O_CREAT | os.O_WRONLY | os.O_EXCL)
        os.write(descriptor, item[1])
        os.fsync(descriptor)
        os.close(descriptor)
        os.replace(path + ".part", path)

    return written(documents(n), write, lambda: len(os.listdir(folder)))


N = {"n": 1_000}
CASES: Cases = {
    "W3a": {"SQLite NORMAL": Case(sqlite, {**N, "level": "normal"})},
    "W3b": {"SQLite FULL": Case(sqlite, {**N, "level": "full"})},
    "W3c": {"PostgreSQL": Case(postgres, N)},
    "W3d": {"file, fsync": Case(files, N)},
    "W3v": {"Valkey": Case(valkey, N)},
}
