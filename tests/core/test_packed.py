"""Large values are compressed, come back equal, and cannot be made to grow without bound."""

from __future__ import annotations

import functools
import json
import random
import zlib
from base64 import b64decode, b64encode
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dotflow.core import packed
from dotflow.core.codec import LARGE, Codec
from dotflow.core.exception import CorruptCheckpoint

ROWS = [{"id": number, "city": f"city {number % 7}", "share": number / 7, "none": None} for number in range(19_000)]
MARKED = {"deep": {"__dotflow__": "set", "v": [1]}}


def is_packed(raw: Any) -> bool:
    return isinstance(raw, dict) and isinstance(raw.get("value"), dict) and raw["value"].get("__dotflow__") == "zlib"


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool((one == other).all()) and one.dtype == other.dtype
    return bool(one.equals(other)) if isinstance(one, pd.DataFrame) else one == other


@pytest.mark.parametrize(
    "value",
    [
        ROWS, "ü0123456789" * 110_000, {"rows": [ROWS], **MARKED}, list(range(300_000)), [0.1] * 300_000,
        tuple(ROWS), {"b": ROWS, "a": {1, 2}}, b"bytes" * 300_000, np.arange(200_000), {1: ROWS},
        "\ud800" + "x" * LARGE, [MARKED, "x" * LARGE], pd.DataFrame({"n": range(200_000), "s": ["text"] * 200_000}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("mode", ["safe", "signed"])
def test_large_value_is_compressed_and_comes_back_equal(value: Any, mode: str) -> None:
    """Whatever its type, in the order in which its keys were; what is kept is JSON."""
    codec = Codec(mode, key=b"secret" if mode == "signed" else None)

    raw = codec.encode(value, bind="w-a")

    text = json.dumps(raw)
    assert is_packed(raw)
    assert len(text) < 0.6 * raw["value"]["size"]
    found = codec.decode(json.loads(text), bind="w-a")
    assert same(found, value)
    assert type(found) is type(value)
    if isinstance(value, dict):
        assert list(found) == list(value)


@pytest.mark.parametrize("value", [["x" * 1000] * 1000, "x" * (LARGE - 2), random.Random(1).randbytes(LARGE)])
def test_what_is_small_or_does_not_shrink_is_kept_as_it_is(value: Any) -> None:
    """Up to 1 MiB of JSON, and bytes that are compressed already."""
    codec = Codec()

    raw = codec.encode(value, bind="w-a")

    assert not is_packed(raw)
    assert codec.decode(json.loads(json.dumps(raw)), bind="w-a") == value


@pytest.mark.parametrize("kind", ["plain", "envelope"])
def test_uncompressed_record_of_an_earlier_version_is_read(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large values were kept as they were."""
    codec = Codec()
    value = ROWS if kind == "plain" else tuple(ROWS)
    with monkeypatch.context() as before:
        before.setattr("dotflow.core.codec.LARGE", 1 << 40)
        before.setattr("dotflow.core.codec._may_be_large", lambda value: False)
        raw = codec.encode(value, bind="w-a")
    assert not is_packed(raw)

    assert codec.decode(json.loads(json.dumps(raw)), bind="w-a") == value


def test_every_changed_byte_is_a_clear_error() -> None:
    """Of the text that is kept, anywhere; and so is a record that was moved."""
    codec = Codec()
    text = json.dumps(codec.encode(ROWS, bind="w-a"))
    places = [*range(60), *range(len(text) - 60, len(text)), *random.Random(2).sample(range(len(text)), 40)]
    for place in places:
        changed = text[:place] + ("1" if text[place] != "1" else "0") + text[place + 1 :]
        try:
            raw = json.loads(changed)
        except ValueError:
            continue  # no JSON any more, which the storage notices
        with pytest.raises(CorruptCheckpoint):
            codec.decode(raw, bind="w-a")
    with pytest.raises(CorruptCheckpoint, match="changed, or moved"):
        codec.decode(json.loads(text), bind="w-b")


@functools.cache
def packed_rows() -> dict[str, Any]:
    return Codec().encode(ROWS, bind="w-a")["value"]


def forged(codec: Codec, **fields: Any) -> dict[str, Any]:
    """An envelope with the right checksum, made by somebody who knows how."""
    tree = {**packed_rows(), **fields}
    return {"__dotflow__": 1, "value": tree, "check": codec._seal(tree, "w-a")}


@pytest.mark.parametrize("size", [0, 1, -1, 10**9, 10**40, True, "1", None, 1.0])
def test_size_that_is_not_the_right_one_is_a_clear_error(size: Any) -> None:
    """No more is unpacked than the record says, and than zlib could have made smaller."""
    codec = Codec()

    with pytest.raises(CorruptCheckpoint, match="cannot be rebuilt"):
        codec.decode(forged(codec, size=size), bind="w-a")


def test_bomb_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small record that would grow beyond the limit is refused before it grows; one within it is not."""
    import tracemalloc

    codec = Codec()
    bomb = zlib.compress(b'"' + b"0" * 20_000_000 + b'"', 9)
    raw = forged(codec, v=b64encode(bomb).decode(), size=20_000_002)
    assert len(codec.decode(raw, bind="w-a")) == 20_000_000
    monkeypatch.setattr(packed, "MOST", 5_000_000)

    tracemalloc.start()
    with pytest.raises(CorruptCheckpoint, match="cannot be rebuilt"):
        codec.decode(raw, bind="w-a")
    with pytest.raises(CorruptCheckpoint, match="cannot be rebuilt"):
        codec.decode(forged(codec, v=b64encode(bomb).decode(), size=4_000_000), bind="w-a")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 15_000_000
    assert not is_packed(codec.encode("0" * 6_000_000, bind="w-a"))  # what could not be opened is not packed


def test_more_behind_the_end_is_a_clear_error() -> None:
    """A packed value is one stream, whole."""
    codec = Codec()
    data = b64decode(codec.encode(ROWS, bind="w-a")["value"]["v"])
    for changed in (data + b"x", data[:-1], data[:50], b"", b"no zlib"):
        with pytest.raises(CorruptCheckpoint, match="cannot be rebuilt"):
            codec.decode(forged(codec, v=b64encode(changed).decode()), bind="w-a")


def test_packed_value_within_a_value_is_not_opened() -> None:
    """Only a whole value is packed, so that bombs cannot be nested."""
    codec = Codec()
    node = codec.encode(ROWS, bind="w-a")["value"]
    tree = [node]
    raw = {"__dotflow__": 1, "value": tree, "check": codec._seal(tree, "w-a")}

    with pytest.raises(CorruptCheckpoint):
        codec.decode(raw, bind="w-a")


def test_objects_are_kept_as_they_are() -> None:
    """A storage in memory is given the value itself, however large."""
    assert Codec().encode(ROWS, keeps_objects=True) is ROWS
