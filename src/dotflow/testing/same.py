"""Equality that tells 1 from True, and takes NaN, arrays and frames."""

from __future__ import annotations

import math
import pickle
from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two values are of the same types and equal, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if math.isnan(one):
            return math.isnan(other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(key in other and same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "dtype") and hasattr(one, "tobytes"):  # NumPy
        return bool(one.dtype == other.dtype and one.shape == other.shape and same(one.tolist(), other.tolist()))
    if hasattr(one, "equals") and hasattr(one, "index"):  # pandas
        return bool(one.equals(other) and one.index.equals(other.index))
    try:
        equal = bool(one == other)
    except (TypeError, ValueError):
        equal = False
    return equal or _dumped(one) == _dumped(other)


def _dumped(value: Any) -> Any:
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError):
        return object()


def short(value: Any) -> str:
    """Render *value* for a message."""
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:80]}… ({len(text)} characters)"
