"""Large values as compressed JSON (ADR 0031)."""

from __future__ import annotations

import binascii
import json
import zlib
from typing import Any

MOST = 1 << 30  # bytes that a packed value may grow to; what is larger is kept as it is
LEVEL = 1  # higher ones take 4 to 13 times as long for a tenth less
SAMPLE = 1 << 16
WORTH = 0.9  # of the size, base64 included; what shrinks less is kept as it is
STEEPEST = 1040  # zlib makes nothing smaller than 1 in 1032


def pack(text: str, mark: str, tag: str, *, plain: bool) -> dict[str, Any] | None:
    """Return *text*, which is JSON, as a node that takes less room; ``None`` if that is not worth it.

    Args:
        text: ASCII only.
        mark: Name of the field that holds the tag.
        tag: What stands there.
        plain: Whether *text* is the value itself, and not a tree of nodes.
    """
    data = text.encode("ascii")
    half = len(data) // 2
    sample = data[half : half + SAMPLE]
    if len(data) > MOST or len(zlib.compress(sample, LEVEL)) * 4 / 3 > len(sample) * WORTH:
        return None
    packed = binascii.b2a_base64(zlib.compress(data, LEVEL), newline=False).decode()
    if len(packed) > len(data) * WORTH:
        return None
    return {mark: tag, "plain": plain, "size": len(data), "v": packed}


def unpack(node: dict[str, Any]) -> Any:
    """Return what ``json`` makes of a packed text; never makes more of it than ``size`` says, and at most ``MOST``.

    Raises:
        ValueError: it is not what ``pack`` made, or too large.
    """
    size, data = node["size"], binascii.a2b_base64(node["v"], strict_mode=True)
    if type(size) is not int or not 0 <= size <= min(MOST, STEEPEST * len(data)):
        raise ValueError("a packed value of that size is not opened")
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(data, size + 1)
    if len(text) != size or not unpacking.eof or unpacking.unused_data:
        raise ValueError("a packed value has not the size that it says")
    return json.loads(text)
