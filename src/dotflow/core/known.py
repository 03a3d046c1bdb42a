"""The types of Python and of well-known libraries that the codec can keep."""

from __future__ import annotations

import binascii
import io
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Cannot(TypeError):
    """A value of a known type that has something JSON cannot keep; says what."""


def tag_of(kind: type) -> str | None:
    """Return the tag of a known type, ``None`` for any other."""
    tag = kind.__name__
    if tag in KNOWN and getattr(sys.modules.get(KNOWN[tag][0]), tag, None) is kind:
        return tag
    scalar = getattr(sys.modules.get("numpy"), "generic", None)
    return "generic" if scalar is not None and issubclass(kind, scalar) and kind.__module__ == "numpy" else None


def _moment(value: Any) -> dict[str, Any]:
    return {"at": value.replace(tzinfo=None, fold=0).isoformat(), "fold": value.fold, "tzinfo": value.tzinfo}


def _zone(value: Any) -> str:
    if value.key is None:
        raise Cannot("a time zone without a key")
    return str(value.key)


def _context(value: Any) -> dict[str, Any]:
    parts = {name: getattr(value, name) for name in ("storage", "task_id", "workflow_id", "scheduled_for")}
    return {**parts, "_made": value._made}


def _from_context(kind: Any, v: dict[str, Any]) -> Any:
    made = kind()
    for name in ("storage", "task_id", "workflow_id", "scheduled_for", "_made"):
        setattr(made, name, v[name])
    return made


def _npy(value: Any) -> bytes:
    import numpy

    if value.dtype.hasobject or value.dtype.kind == "T":
        raise Cannot(f"of dtype {value.dtype}")
    buffer = io.BytesIO()
    numpy.lib.format.write_array(buffer, numpy.asanyarray(value), allow_pickle=False)
    return buffer.getvalue()


def _from_npy(kind: Any, v: bytes) -> Any:
    import numpy

    array = numpy.lib.format.read_array(io.BytesIO(v), allow_pickle=False)
    return array[()] if kind is numpy.generic else array


def _line(line: Any) -> dict[str, Any]:
    """Take a pandas Series or Index apart."""
    import pandas

    if isinstance(line, pandas.RangeIndex):
        return {"range": [line.start, line.stop, line.step], "name": line.name}
    kind, array = line.dtype, line.array
    if isinstance(kind, pandas.CategoricalDtype):
        data: Any = {"codes": array.codes, "categories": _line(array.categories), "ordered": array.ordered}
    elif isinstance(kind, pandas.DatetimeTZDtype):
        data = array.asi8
    elif type(kind).__module__.startswith("numpy"):
        data = list(array) if kind.hasobject else line.to_numpy()
    else:
        data = [None if gone else item for item, gone in zip(array.tolist(), array.isna(), strict=True)]
    freq = line.freqstr if isinstance(line, (pandas.DatetimeIndex, pandas.TimedeltaIndex)) else None
    return {"data": data, "dtype": str(kind), "name": line.name, "freq": freq}


def _from_line(v: dict[str, Any], is_index: bool) -> Any:
    import pandas

    if "range" in v:
        return pandas.RangeIndex(*v["range"], name=v["name"])
    data, kind = v["data"], v["dtype"]
    if isinstance(data, dict):
        categories = _from_line(data["categories"], True)
        data = pandas.Categorical.from_codes(data["codes"], categories=categories, ordered=data["ordered"])
    elif kind != "object" and (isinstance(data, list) or "," in kind):
        data = pandas.array(data, dtype=kind)
    line = pandas.Series(data, dtype=object if kind == "object" else None, name=v["name"])
    if is_index:
        line = pandas.Index(line.array, dtype=line.dtype, name=v["name"], tupleize_cols=False)
        if v["freq"] is not None:
            line.freq = v["freq"]
    return line


def _frame(value: Any) -> dict[str, Any]:
    """Take a DataFrame or Series apart, and see that it can be put together again."""
    import pandas

    table = value.ndim == 2
    columns = [value.iloc[:, at] for at in range(value.shape[1])] if table else [value]
    same = pandas.testing.assert_frame_equal if table else pandas.testing.assert_series_equal
    try:
        parts = {"lines": [_line(column) for column in columns], "index": _line(value.index), "attrs": value.attrs}
        parts["columns"] = _line(value.columns) if table else None
        same(_from_frame(type(value), parts), value, check_exact=True)
    except (AssertionError, TypeError, ValueError, AttributeError, NotImplementedError):
        raise Cannot("with an index or dtype that has no plain form (reset_index() or astype() helps)") from None
    return parts


def _from_frame(kind: Any, v: dict[str, Any]) -> Any:
    lines, index = [_from_line(line, False) for line in v["lines"]], _from_line(v["index"], True)
    for line in lines:
        line.index = index
    if v["columns"] is None:
        made = lines[0]
    else:
        made = kind(dict(enumerate(lines)), index=index)
        made.columns = _from_line(v["columns"], True)
    made.attrs = v["attrs"]
    return made


def _from_stamp(kind: Any, v: list[Any]) -> Any:
    made, zone = kind(v[0]), v[1]
    return made if zone is None else made.tz_localize("UTC").tz_convert(zone)


_AS_LIST = (list, lambda kind, v: kind(v))
_AS_TEXT = (str, lambda kind, v: kind(v))
_AS_PAIRS = (None, lambda kind, v: kind(dict(zip(v[::2], v[1::2], strict=True))))
_AS_BASE64 = (
    lambda value: binascii.b2a_base64(value, newline=False).decode(),
    lambda kind, v: kind(binascii.a2b_base64(v, strict_mode=True)),
)
_AS_SLICE = (lambda value: [value.start, value.stop, value.step], lambda kind, v: kind(*v))
_AS_MOMENT = (_moment, lambda kind, v: kind.fromisoformat(v["at"]).replace(fold=v["fold"], tzinfo=v["tzinfo"]))

# Tag, which is the name of the type: its module, what makes it simpler (pairs if None), what makes it again.
KNOWN: dict[str, tuple[str, Callable[[Any], Any] | None, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(("tuple", "set", "frozenset"), ("builtins", *_AS_LIST)),
    **dict.fromkeys(("bytes", "bytearray"), ("builtins", *_AS_BASE64)),
    **dict.fromkeys(("range", "slice"), ("builtins", *_AS_SLICE)),
    "dict": ("builtins", *_AS_PAIRS),
    "str": ("builtins", lambda v: v.encode("utf-8", "surrogatepass"), lambda _, v: v.decode("utf-8", "surrogatepass")),
    "int": ("builtins", hex, lambda kind, v: kind(v, 16)),
    "float": ("builtins", float.hex, lambda kind, v: kind.fromhex(v)),
    "complex": ("builtins", lambda v: [v.real, v.imag], lambda kind, v: kind(*v)),
    **dict.fromkeys(("OrderedDict", "Counter"), ("collections", *_AS_PAIRS)),
    "deque": ("collections", lambda v: {"iterable": list(v), "maxlen": v.maxlen}, lambda kind, v: kind(**v)),
    **dict.fromkeys(("datetime", "time"), ("datetime", *_AS_MOMENT)),
    "date": ("datetime", lambda v: v.isoformat(), lambda kind, v: kind.fromisoformat(v)),
    "timedelta": ("datetime", lambda v: [v.days, v.seconds, v.microseconds], lambda kind, v: kind(*v)),
    "timezone": ("datetime", lambda v: list(v.__getinitargs__()), lambda kind, v: kind(*v)),
    "ZoneInfo": ("zoneinfo", _zone, lambda kind, v: kind(v)),
    "Decimal": ("decimal", *_AS_TEXT),
    "Fraction": ("fractions", lambda v: [v.numerator, v.denominator], lambda kind, v: kind(*v)),
    "UUID": ("uuid", *_AS_TEXT),
    **dict.fromkeys(("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"), ("pathlib", *_AS_TEXT)),
    "Context": ("dotflow.core.context", _context, _from_context),
    **dict.fromkeys(("ndarray", "generic"), ("numpy", _npy, _from_npy)),
    **dict.fromkeys(("DataFrame", "Series"), ("pandas", _frame, _from_frame)),
    "Timestamp": ("pandas", lambda v: [v.asm8, v.tzinfo], _from_stamp),
    "Timedelta": ("pandas", lambda v: v.asm8, lambda kind, v: kind(v)),
    "Period": ("pandas", lambda v: {"ordinal": v.ordinal, "freq": v.freqstr}, lambda kind, v: kind(**v)),
    "NaTType": ("pandas._libs.tslibs.nattype", lambda _: 0, lambda *_: sys.modules["pandas"].NaT),
    "NAType": ("pandas._libs.missing", lambda _: 0, lambda *_: sys.modules["pandas"].NA),
}
