"""Results that outlive the process, by the client library alone."""

from __future__ import annotations

import os
import pickle
import sqlite3
from collections.abc import Callable

from benchmarks.case import Case, Cases, Measured, measured
from benchmarks.work import now, scratch, step

TABLE = (
    "create table if not exists steps(run text, seq int, status int, result blob, primary key(run, seq)) without rowid"
)


def database(level: str) -> sqlite3.Connection:
    connection = sqlite3.connect(scratch() / "limit.db", isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute(f"pragma synchronous={level}")
    connection.execute(TABLE)
    return connection


def saved(n: int, save: Callable[[int, int], object], count: Callable[[], int]) -> Measured:
    """Save the result of each of *n* steps, and compare how many *count* finds then."""
    x = 0
    start = now()
    for number in range(n):
        x = step(x)
        save(number, x)
    return measured(now() - start, n, x == n and count() == n)


def sqlite(n: int, level: str) -> Measured:
    connection = database(level)

    def save(number: int, x: int) -> None:
        connection.execute("insert into steps values(?,?,?,?)", ("run", number, 2, pickle.dumps(x, 5)))

    return saved(n, save, lambda: int(connection.execute("select count(*) from steps").fetchone()[0]))


def postgres(n: int, synchronous: str = "on") -> Measured:
    import psycopg

    with psycopg.connect(os.environ["BENCH_POSTGRES"], autocommit=True) as connection:
        connection.execute("drop table if exists limit_steps")
        connection.execute(f"set synchronous_commit={synchronous}")
        connection.execute(
            "create table limit_steps(run text, seq int, status int, result bytea, primary key(run, seq))"
        )

        def save(number: int, x: int) -> None:
            connection.execute("insert into limit_steps values(%s,%s,%s,%s)", ("run", number, 2, pickle.dumps(x, 5)))

        def count() -> int:
            [found] = connection.execute("select count(*) from limit_steps")
            return int(found[0])

        return saved(n, save, count)


def valkey(n: int) -> Measured:
    import redis

    client = redis.Redis.from_url(os.environ["BENCH_VALKEY"])
    client.flushdb()
    return saved(n, lambda number, x: client.set(f"run-{number}", pickle.dumps(x, 5)), client.dbsize)


def files(n: int, fsync: bool) -> Measured:
    """Write a new file for each step, wait for the disk if *fsync*, and rename it."""
    folder = scratch() / "files"
    folder.mkdir()

    def save(number: int, x: int) -> None:
        path = str(folder / f"s{number}")
        descriptor = os.open(path + ".new", os.O_CREAT | os.O_WRONLY)
        os.write(descriptor, pickle.dumps(x, 5))
        if fsync:
            os.fsync(descriptor)
        os.close(descriptor)
        os.rename(path + ".new", path)

    return saved(n, save, lambda: len(os.listdir(folder)))


def dictionary(n: int) -> Measured:
    kept: dict[str, bytes] = {}
    return saved(n, lambda number, x: kept.__setitem__(f"run-{number}", pickle.dumps(x, 5)), lambda: len(kept))


def resume(n: int, phase: str) -> Measured:
    if phase == "prepare":
        return sqlite(n, "normal")
    start = now()
    connection = database("normal")
    rows = connection.execute("select seq, result from steps where run='run' order by seq")
    done = {number: pickle.loads(result) for number, result in rows}
    x = 0
    for number in range(n + 1):
        x = done[number] if number in done else step(x)
    return measured(now() - start, n, x == n + 1 and len(done) == n)


N = {"n": 1_000}
CASES: Cases = {
    "W3a": {"SQLite NORMAL": Case(sqlite, {**N, "level": "normal"})},
    "W3b": {"SQLite FULL": Case(sqlite, {**N, "level": "full"})},
    "W3c": {
        "PostgreSQL": Case(postgres, N),
        "PostgreSQL, synchronous_commit off": Case(postgres, {**N, "synchronous": "off"}),
    },
    "W3d": {"file, fsync": Case(files, {**N, "fsync": True}), "file, no fsync": Case(files, {**N, "fsync": False})},
    "W3v": {"Valkey": Case(valkey, N)},
    "W3m": {"dictionary": Case(dictionary, N)},
    "W4": {"one SELECT": Case(resume, N, phases=("prepare", "resume"))},
}
