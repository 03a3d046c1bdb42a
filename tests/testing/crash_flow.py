"""The workflow that the crash matrix kills: twelve tasks, retries, a group, and a map of values of every codec type."""

from __future__ import annotations

import os
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import psycopg  # noqa: F401  # imported once, before the driver forks
import redis  # noqa: F401  # the same
from pydantic import BaseModel
from storages import StorageFolder

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile, StoragePostgres, StorageRedis, StorageSQLite


class Colour(Enum):
    RED = "r"


@dataclass
class Point:
    x: int
    tags: list[str]


class Pair(NamedTuple):
    a: int
    b: bytes


class Model(BaseModel):
    n: int
    at: datetime


MOMENT = datetime(2026, 11, 24, 20, 31, 5, 123456, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "none": None, "nothing": [0, "", [], {}, False, None], "float": [0.1, -0.0, 1e308, float("inf"), float("nan")],
    "int": [2**64, -(10**1000)], "text": ["ü🦆\0", "\ud800"], "tuple": (1, (2, [3])), "set": {1, 2},
    "frozen": frozenset("ab"),
    "bytes": b"\0\xff", "bytearray": bytearray(b"x"), "complex": 1 + 2j, "range": range(3), "slice": slice(1, None),
    "keys": {1: "a", None: "b", (1, 2): "c"}, "envelope": {"__dotflow__": 1, "value": 2},
    "ordered": OrderedDict(b=1, a=2), "counter": Counter("aab"), "deque": deque([1, 2], 5), "moment": MOMENT,
    "zone": MOMENT.astimezone(ZoneInfo("Europe/Rome")),
    "date": date(2026, 2, 28), "time": time(1, 2, 3), "delta": timedelta(-1, 5), "decimal": Decimal("1.10"),
    "fraction": Fraction(1, 3), "uuid": UUID(int=7), "path": PurePosixPath("/a/b"), "place": Path("c"),
    "enum": Colour.RED, "data": Point(1, ["t"]), "named": Pair(1, b"2"), "model": Model(n=1, at=MOMENT),
    "array": np.arange(6.0).reshape(2, 3), "scalar": np.float32(1.5), "context": Context(1, "t", "w"),
    "frame": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [MOMENT, MOMENT]}), "series": pd.Series([1.5, None]),
    "stamp": pd.Timestamp("2026-01-01", tz="UTC"), "period": pd.Timedelta("2h"), "large": "ü0123456789" * 66_000,
}  # fmt: skip


def effect(name: str) -> None:
    """Note that the body of a step runs, where no storage can undo it."""
    file = os.open(os.environ["CRASH_EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{os.environ.get('CRASH_ROOM', '')} {name}\n".encode())
    os.close(file)


failed_before: set[str] = set()


def fail_once(name: str) -> None:
    """Fail in the first attempt of each process."""
    if name not in failed_before:
        failed_before.add(name)
        raise ConnectionError(name)


@action
def extract() -> list[int]:
    effect("extract")
    return [3, 1, 2]


@action(retry=3, retry_delay=0)
def clean(previous_context: Context) -> list[int]:
    fail_once("clean")
    effect("clean")
    return sorted(previous_context.storage)


@action
def values(previous_context: Context) -> dict[str, Any]:
    effect("values")
    return VALUES


@action
def names(previous_context: Context) -> tuple[str, ...]:
    effect("names")
    return tuple(type(value).__name__ for value in previous_context.storage.values())


@action
def nothing() -> None:
    effect("nothing")


@action
def empty() -> list[Any]:
    effect("empty")
    return []


@action(retry=2, retry_delay=0)
async def later(previous_context: Context) -> bytes:
    fail_once("later")
    effect("later")
    return bytes(previous_context.storage)


@action
def join(previous_context: Context) -> dict[str, Any]:
    effect("join")
    return {name: repr(value)[:40] for name, value in previous_context.storage.items()}


@action
def part(initial_context: Context) -> dict[Any, Any]:
    effect(f"part{initial_context.storage}")
    return {initial_context.storage: VALUES["set"]}


@action
def last(previous_context: Context) -> Any:
    effect("last")
    return previous_context.storage


def build(storage: Storage) -> DotFlow:
    """Twelve tasks: a chain, a fork, a group of three, a join."""
    flow = DotFlow(Config(storage=storage), workflow_id="crash-flow")
    add = flow.task.add
    add(extract, depends_on=[])
    add(clean, depends_on="extract")
    add(values, depends_on="clean")
    add(names, depends_on="values")
    add(nothing, depends_on=[])
    add(empty, depends_on="nothing")
    add(later, depends_on="clean")
    for number in range(3):
        add(part, initial_context=number, group_name="parts", task_id=f"part-{number}", depends_on="empty")
    add(join, depends_on=["part-0", "part-1", "part-2", "later"])
    add(last, depends_on="join")
    return flow


def on_file(room: Path) -> DotFlow:
    os.environ["CRASH_ROOM"] = room.name
    return build(StorageFile(path=room / "data"))


def on_sqlite(room: Path) -> DotFlow:
    os.environ["CRASH_ROOM"] = room.name
    return build(StorageSQLite(room / "data.db"))


def on_postgres(room: Path) -> DotFlow:
    os.environ["CRASH_ROOM"] = room.name
    return build(
        StoragePostgres(os.environ["CRASH_POSTGRES"], f"{os.environ['CRASH_SPACE']}_{room.name}".replace("-", "_"))
    )


def on_valkey(room: Path) -> DotFlow:
    os.environ["CRASH_ROOM"] = room.name
    port = int(os.environ["CRASH_VALKEY"])
    return build(StorageRedis("127.0.0.1", port, prefix=f"{os.environ['CRASH_SPACE']}:{room.name}:"))


def on_three_methods(room: Path) -> DotFlow:
    os.environ["CRASH_ROOM"] = room.name
    return small(StorageFolder(room))


def on_one_file() -> DotFlow:
    """The same place for every run."""
    return small(StorageSQLite(os.environ["CRASH_DATABASE"]))


def small(storage: Storage) -> DotFlow:
    flow = DotFlow(Config(storage=storage), workflow_id="small")
    flow.task.add([extract, clean, nothing])
    return flow


def in_memory() -> DotFlow:
    return small(StorageDefault())


class Forgetful(StorageFolder):
    """Loses what it was given until it was given the next thing."""

    def post(self, key: str, context: Context) -> None:
        waiting: list[tuple[str, Context]] = vars(self).setdefault("waiting", [])
        waiting.append((key, context))
        if len(waiting) > 1:
            super().post(*waiting.pop(0))

    def get(self, key: str) -> Context:
        return next((found for known, found in vars(self).get("waiting", ()) if known == key), None) or super().get(key)


def on_a_forgetful_one(room: Path) -> DotFlow:
    return small(Forgetful(room))


@action
def whose() -> int:
    return os.getpid()


def never_the_same(room: Path) -> DotFlow:
    flow = DotFlow(Config(storage=StorageFolder(room)), workflow_id="w")
    flow.task.add([whose, nothing])
    return flow
