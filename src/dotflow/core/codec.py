"""Values and JSON: what a step returned, as something ``json`` keeps exactly.

Plain JSON passes as it is. Anything else goes into an envelope, which is JSON too::

    {"__dotflow__": 1, "value": <tree>, "check": "<checksum of tree and bind>"}

In the tree, ``{"__dotflow__": "<tag>", "v": ...}`` stands for what JSON lacks. Tags come from a fixed table;
names of classes are looked up among the classes that the steps' own code names, and never imported. Two places
of a value that share one object come back as two equal objects.
"""

from __future__ import annotations

import binascii
import enum
import functools
import importlib
import io
import math
import sys
import threading
import types as kinds
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, DotflowError, ResultNotStorable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from dotflow.core.action import Action

T = TypeVar("T")

MARK = "__dotflow__"
VERSION = 1
MODES = ("safe", "pickle", "signed")
DEEPEST = 200
HUGE = 1 << 2048  # json may fail on more digits than this, whatever sys.set_int_max_str_digits says
ATOMS = {bool, type(None)}
SCALARS = {*ATOMS, int, float, str}
PLAIN = {*SCALARS, list, dict}
AGAIN = "run it again with start(resume=False)"

_custom: dict[type, tuple[str, Callable[[Any], Any]]] = {}
_custom_names: dict[str, tuple[type, Callable[[Any], Any]]] = {}


class Cannot(TypeError):
    """A value of a known type that has something JSON cannot keep; says what."""


class Kept:
    """Stands in memory for a value that would be mistaken for nothing or for an envelope."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def register_codec(
    kind: type[T], encode: Callable[[T], Any], decode: Callable[[Any], T], name: str | None = None
) -> None:
    """Teach every codec a type.

    Args:
        kind: The exact type; subclasses need their own codec.
        encode: Gives something a codec can keep: JSON, or any value of a known type.
        decode: Gives the value back.
        name: What stands in checkpoints; ``module:qualname`` unless given. Keep it when the class moves.

    Raises:
        ConfigurationError: *kind* is plain JSON, or another class has the name.
    """
    if kind in PLAIN:
        raise ConfigurationError(f"register_codec({kind.__name__}) has no effect: plain JSON passes as it is")
    name = name or _name(kind)
    known = _custom_names.get(name)
    if known is not None and _name(known[0]) != _name(kind):
        raise ConfigurationError(f"register_codec: the name {name!r} belongs to {_name(known[0])}")
    _custom[kind] = (name, encode)
    _custom_names[name] = (kind, decode)


class Codec:
    """Turns results into JSON and back.

    Args:
        mode: What becomes of a value of unknown type: ``"safe"`` refuses it, ``"pickle"`` pickles it,
            ``"signed"`` does that too and puts every value, plain JSON included, into a signed envelope.
        key: The secret of ``"signed"``; ``None`` means the one in ``DOTFLOW_CODEC_KEY``.
        types: Enums, dataclasses, NamedTuples and pydantic models to accept besides those of the steps.

    Raises:
        ConfigurationError: a mode, key or type that makes no sense.
    """

    def __init__(self, mode: str = "safe", *, key: bytes | None = None, types: Iterable[type] = ()) -> None:
        if mode not in MODES:
            raise ConfigurationError(f"codec={mode!r} is not a mode; use one of {', '.join(MODES)}")
        if key is not None and mode != "signed":
            raise ConfigurationError(f"codec={mode!r} signs nothing, so key= has no effect; use 'signed'")
        self._key = _secret(key) if mode == "signed" else None
        self._seal_name = "check" if self._key is None else "sig"
        self._pickles = mode != "safe"
        self._types: dict[str, type] = {}
        self._steps: weakref.WeakSet[Action[..., Any]] = weakref.WeakSet()
        self._spaces: dict[int, dict[str, Any]] = {}
        self._lock = threading.RLock()
        for kind in types:
            if not isinstance(kind, type) or not _is_data(kind):
                expected = "enums, dataclasses, NamedTuples and pydantic models (register_codec takes others)"
                raise ConfigurationError(f"types= takes {expected}, got {kind!r}")
            self._admit([kind])

    def learn(self, step: Action[..., Any]) -> None:
        """Accept the data types that the code of *step* can name: in its module, closure and annotations.

        They are looked for when the first data class is met; *step* is not kept alive until then.
        """
        with self._lock:
            self._steps.add(step)

    def encode(self, value: Any, *, bind: str = "", keeps_objects: bool = False) -> Any:
        """Return *value* as something that ``json`` gives back equal, and never ``None``.

        Args:
            value: Anything a step returns.
            bind: Where the envelope belongs; it can be decoded only there.
            keeps_objects: The storage keeps objects, so return *value* itself, or a stand-in where that would
                be mistaken for nothing or for an envelope.

        Raises:
            ResultNotStorable: with the path inside *value*, its type and what to do.
        """
        passes = self._key is None and value is not None and not _is_envelope(value)
        if keeps_objects:
            return value if passes and not isinstance(value, Kept) else Kept(value)
        if passes and _is_plain(value):
            return value
        path: list[Any] = []
        try:
            tree = self._tree(value, path)
            return {MARK: VERSION, "value": tree, self._seal_name: self._seal(tree, bind)}
        except DotflowError:
            raise
        except Exception as error:  # a method of a user's class or codec (ADR 0010)
            what = f"{_where(path)} cannot be kept: {type(error).__name__} while encoding it"
            raise ResultNotStorable(what) from error

    def decode(self, raw: Any, *, bind: str = "") -> Any:
        """Return the value that ``encode`` was given with the same *bind*.

        Raises:
            CorruptCheckpoint: *raw* is not what ``encode`` made, belongs elsewhere, or names an unknown class.
        """
        if isinstance(raw, Kept):
            return raw.value
        if not _is_envelope(raw):
            if self._key is None:
                return raw
            raise CorruptCheckpoint(f"it is not signed, and Config(codec='signed') takes nothing else; {AGAIN}")
        try:
            self._check(raw, bind)
            return self._value(raw["value"])
        except DotflowError:
            raise
        except Exception as error:  # a method of a user's class or codec (ADR 0010)
            what = f"its value cannot be rebuilt ({type(error).__name__}): a class may have changed; {AGAIN}"
            raise CorruptCheckpoint(what) from error

    # -- envelopes ----------------------------------------------------------------------------------------

    def _seal(self, tree: Any, bind: str) -> str:
        import json

        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
        data = f"{VERSION}:{len(bind)}:{bind}:{text}".encode("utf-8", "surrogatepass")
        if self._key is None:
            import hashlib

            return hashlib.blake2b(data, digest_size=16).hexdigest()
        import hmac

        return hmac.digest(self._key, data, "sha256").hex()

    def _check(self, raw: dict[str, Any], bind: str) -> None:
        import hmac

        version, seal = raw.get(MARK), raw.get(self._seal_name)
        if type(version) is not int or len(raw) != 3 or "value" not in raw:
            raise CorruptCheckpoint(f"its envelope is damaged; {AGAIN}")
        if version != VERSION:
            raise CorruptCheckpoint(f"its envelope has version {version}, not {VERSION}: upgrade dotflow, or {AGAIN}")
        if type(seal) is not str:
            told = f"no {self._seal_name!r}: it was damaged, or written with another Config(codec=...)"
            raise CorruptCheckpoint(f"its envelope has {told}; set that again, or {AGAIN}")
        if not hmac.compare_digest(self._seal(raw["value"], bind).encode(), seal.encode("utf-8", "replace")):
            raise CorruptCheckpoint(f"its {self._seal_name!r} does not match: it was changed, or moved; {AGAIN}")

    # -- trees --------------------------------------------------------------------------------------------

    def _tree(self, value: Any, path: list[Any], fields: bool = False) -> Any:
        kind = type(value)
        if kind in SCALARS and _is_plain(value):
            return value
        if len(path) > DEEPEST:
            raise ResultNotStorable(f"{_where(path)} is deeper than {DEEPEST} levels, or contains itself")
        if kind is list:
            items: list[Any] = []
            for index, item in enumerate(value):
                path.append(index)
                items.append(self._tree(item, path))
                path.pop()
            return items
        if kind is dict and MARK not in value and _is_plain_keys(value):
            tree = {}
            for key, item in value.items():
                path.append((key,) if fields else key)
                tree[key] = self._tree(item, path)
                path.pop()
            return tree
        return self._special(value, kind, path)

    def _pairs(self, value: dict[Any, Any], path: list[Any]) -> list[Any]:
        flat: list[Any] = []
        for key, item in value.items():
            path.append(key if type(key) in (str, int) and _is_plain(key) else type(key))
            flat += (self._tree(key, path), self._tree(item, path))
            path.pop()
        return flat

    def _special(self, value: Any, kind: type, path: list[Any]) -> Any:
        why = "which JSON cannot keep: allow pickle with Config(codec='pickle') or 'signed'"
        name, tag = _name(kind), _tag_of(kind)
        try:
            if kind in _custom:
                name, encode = _custom[kind]
                return {MARK: "custom", "of": name, "v": self._tree(encode(value), path)}
            if tag is not None:
                simpler = _KNOWN[tag][1]
                v = self._pairs(value, path) if simpler is None else self._tree(simpler(value), path, True)
                return {MARK: tag, "v": v}
            if _is_data(kind) and self._find(name, kind) is not None:
                return {MARK: "data", "of": name, "v": self._tree(_fields(value), path, True)}
            if _is_data(kind):
                why = f"a class that no step's module names: import it there, give Config(types=[{kind.__name__}])"
        except Cannot as error:
            why = f"{error}: return something simpler, allow pickle with Config(codec='pickle') or 'signed'"
        if self._pickles:
            import pickle

            return {MARK: "pickle", "v": self._tree(pickle.dumps(value, protocol=5), path)}
        raise ResultNotStorable(f"{_where(path)} is of type {name}, {why}, or use register_codec({kind.__name__}, ...)")

    def _value(self, tree: Any) -> Any:
        if type(tree) is list:
            items = []
            for item in tree:  # a comprehension is one more frame per level
                items.append(self._value(item))
            return items
        if type(tree) is not dict:
            return tree
        if MARK not in tree:
            plain = {}
            for key, item in tree.items():
                plain[key] = self._value(item)
            return plain
        tag, of, v = tree[MARK], tree.get("of", ""), self._value(tree["v"])
        if tag == "data":
            return _build(_known(self._find(of), "class", of), v)
        if tag == "custom":
            return _known(_custom_names.get(of), "codec", of)[1](v)
        if tag == "pickle":
            if not self._pickles:
                raise CorruptCheckpoint(f"it holds a pickle: allow that with Config(codec='pickle'), or {AGAIN}")
            import pickle

            return pickle.loads(v)
        module, _, build = _known(_KNOWN.get(tag), "tag", tag)
        return build(getattr(importlib.import_module(module), tag), v)

    # -- classes ------------------------------------------------------------------------------------------

    def _find(self, name: str, kind: type | None = None) -> type | None:
        """The class of that name, if it is known and, when *kind* is given, is *kind*."""
        found = self._types.get(name)
        if found is None or (kind is not None and found is not kind):
            self._scan()
            found = self._types.get(name)
        return found if kind is None or found is kind else None

    def _scan(self) -> None:
        """Look for classes in what the learned steps can name."""
        with self._lock:
            steps = list(self._steps)
            self._steps.clear()
            for func in (func for step in steps for func in _functions(step.func)):
                for space in (func.__globals__, getattr(sys.modules.get(func.__module__), "__dict__", {})):
                    self._spaces[id(space)] = space
                self._admit([*_hints(func), *_cells(func)])
            for space in self._spaces.values():
                self._admit([item for item in list(space.values()) if issubclass(type(item), type)])

    def _admit(self, todo: list[Any]) -> None:
        """Accept the classes in *todo*, and those in the annotations of their fields."""
        while todo:
            found = todo.pop()
            if get_args(found):  # list[Point], Point | None
                todo += [get_origin(found), *get_args(found)]
            elif isinstance(found, type) and _is_data(found) and self._types.get(_name(found)) is not found:
                self._types[_name(found)] = found
                todo += _hints(found)


def _secret(key: bytes | None) -> bytes:
    import os

    found = os.environ.get("DOTFLOW_CODEC_KEY", "").encode("utf-8", "surrogateescape") if key is None else key
    if not isinstance(found, bytes) or not found:
        raise ConfigurationError("codec='signed' needs a key: set DOTFLOW_CODEC_KEY, or give key= some bytes")
    return found


def _known(found: Any, what: str, name: object) -> Any:
    if found is None:
        told = f"it names the {what} {str(name)[:80]!r}, which this program does not know"
        raise CorruptCheckpoint(f"{told}: import it in the step's module or register it, or {AGAIN}")
    return found


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _where(path: list[Any]) -> str:
    """Render *path*: an int or text is a key, a tuple holds a field, a type stands for a key of that type."""
    import json

    text = "result"
    for part in path[:20]:
        if isinstance(part, tuple):
            text += f".{part[0]}"
        else:
            text += f"[<{part.__name__}>]" if isinstance(part, type) else f"[{json.dumps(part)[:40]}]"
    return text + "…" * (len(path) > 20)


# -- plain JSON -------------------------------------------------------------------------------------------


def _is_envelope(raw: Any) -> bool:
    """Whether *raw* is an envelope, or what one changed byte makes of an envelope."""
    if not isinstance(raw, dict):
        return False
    return MARK in raw or (len(raw) == 3 and "value" in raw and ("check" in raw or "sig" in raw))


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind is str:
        return _is_text(value)
    if kind is int:
        return -HUGE < value < HUGE  # type: ignore[no-any-return]  # an int
    if kind is float:
        return math.isfinite(value)
    if kind is not dict and kind is not list:
        return kind in ATOMS
    items = value if kind is list else value.values()
    found = set(map(type, items))
    if depth > DEEPEST or not found <= PLAIN or (kind is dict and not _is_plain_keys(value)):
        return False
    bulk = _BULK.get(next(iter(found))) if len(found) == 1 else None
    if bulk is not None:
        return bulk(items)
    return found <= ATOMS or all(_is_plain(item, depth + 1) for item in items)


def _is_plain_keys(value: dict[Any, Any]) -> bool:
    return set(map(type, value)) <= {str} and _is_text("".join(value))


def _is_text(text: str) -> bool:
    """Whether *text* has no surrogate: JSON joins two of them into one character."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


_BULK: dict[type, Callable[[Any], bool]] = {  # what many values of one type must be
    int: lambda items: bool(min(items) > -HUGE and max(items) < HUGE),
    float: lambda items: all(map(math.isfinite, items)),
    str: lambda items: _is_text("".join(items)),
}

# -- data classes -----------------------------------------------------------------------------------------


def _is_data(kind: type) -> bool:
    if isinstance(kind, enum.EnumMeta) or hasattr(kind, "__dataclass_fields__"):
        return True
    if issubclass(kind, tuple):
        return hasattr(kind, "_fields") and hasattr(kind, "_field_defaults")
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return model is not None and issubclass(kind, model)


def _functions(func: Any, depth: int = 0) -> Iterator[kinds.FunctionType]:
    """The plain functions in a step: wrapped, bound, partial, or the methods of a class or object."""
    if isinstance(func, kinds.FunctionType):
        yield func
        parts = [vars(func).get("__wrapped__")]
    elif isinstance(func, type):
        parts = [part for base in func.__mro__[:-1] for part in vars(base).values()]
    else:
        parts = [getattr(func, "func", None), getattr(func, "__func__", None), vars(type(func)).get("__call__")]
    for part in parts if depth < 4 else ():
        if part is not None:
            yield from _functions(part, depth + 1)


def _hints(found: Any) -> list[Any]:
    try:
        return list(get_type_hints(found).values())
    except (NameError, TypeError, AttributeError, SyntaxError):  # a name that only type checkers see
        return []


def _cells(func: kinds.FunctionType) -> list[Any]:
    found = []
    for cell in func.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return [item for item in found if issubclass(type(item), type)]


def _is_field(kind: type, name: str) -> bool:
    """Whether *name* is part of what an instance is: no cache, nothing that Python keeps for itself."""
    if name.startswith("__") and name.endswith("__"):
        return name.startswith("__pydantic_")
    return not isinstance(getattr(kind, name, None), functools.cached_property)


def _fields(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, enum.Flag):
        return value._value_
    if isinstance(value, enum.Enum):
        if kind.__members__.get(value._name_) is not value:
            raise Cannot("a member that its class does not list")
        return value._name_
    if isinstance(value, tuple):
        if len(value) != len(kind._fields) or getattr(value, "__dict__", None):
            raise Cannot("with more than its fields")
        return dict(zip(kind._fields, value, strict=True))
    try:
        object.__new__(kind)
    except TypeError:
        raise Cannot("which inherits from a built-in type") from None
    state = object.__getstate__(value)
    parts = state if isinstance(state, tuple) else (state,)
    return {name: item for part in parts for name, item in (part or {}).items() if _is_field(kind, name)}


def _build(kind: Any, v: Any) -> Any:
    """Make an instance without calling its class, so that no code of it runs."""
    if issubclass(kind, enum.Enum):
        return kind(v) if issubclass(kind, enum.Flag) else kind.__members__[v]
    if issubclass(kind, tuple):
        v = {**kind._field_defaults, **v}
        if len(v) != len(kind._fields):
            raise ValueError("other fields")
        return tuple.__new__(kind, [v[name] for name in kind._fields])
    made = object.__new__(kind)
    for name, item in v.items():
        if not _is_field(kind, name):
            raise ValueError("not a field")
        object.__setattr__(made, name, item)
    for name, field in _declared(kind).items():
        if not hasattr(made, name):  # the class has gained a field since
            object.__setattr__(made, name, _default(field))
    return made


def _declared(kind: Any) -> dict[str, Any]:
    if not hasattr(kind, "__dataclass_fields__"):
        return dict(kind.model_fields)
    import dataclasses

    return {field.name: field for field in dataclasses.fields(kind) if field.init}


def _default(field: Any) -> Any:
    if callable(field.default_factory):
        return field.default_factory()
    if type(field.default).__name__ in ("_MISSING_TYPE", "PydanticUndefinedType"):
        raise ValueError("a field without a value")
    return field.default


# -- known types ------------------------------------------------------------------------------------------


def _tag_of(kind: type) -> str | None:
    tag = kind.__name__
    if tag in _KNOWN and getattr(sys.modules.get(_KNOWN[tag][0]), tag, None) is kind:
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
_KNOWN: dict[str, tuple[str, Callable[[Any], Any] | None, Callable[[Any, Any], Any]]] = {
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
