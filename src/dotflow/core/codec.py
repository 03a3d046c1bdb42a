"""Values and JSON: what a step returned, as something ``json`` keeps exactly.

Plain JSON passes as it is. Anything else goes into an envelope, which is JSON too::

    {"__dotflow__": 1, "value": <tree>, "check": "<checksum of tree and bind>"}

In the tree, ``{"__dotflow__": "<tag>", "v": ...}`` stands for what JSON lacks. Tags come from a fixed table;
names of classes are looked up among the classes that the steps' own code names, and never imported. Two places
of a value that share one object come back as two equal objects.
"""

from __future__ import annotations

import enum
import functools
import json
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
HUGE = 1 << 2048  # an int of more digits may fail in json, whatever sys.set_int_max_str_digits says
ATOMS = {bool, type(None)}
PLAIN = {*ATOMS, int, float, str, list, dict}
AGAIN = "run it again with start(resume=False)"
PLAIN_KIND = "plain JSON passes as it is"

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
        raise ConfigurationError(f"register_codec({kind.__name__}) has no effect: {PLAIN_KIND}")
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
        self._key = _secret(key) if mode == "signed" else None
        if key is not None and self._key is None:
            raise ConfigurationError(f"codec={mode!r} signs nothing, so key= has no effect; use 'signed'")
        self._pickles = mode != "safe"
        self._types: dict[str, type] = {}
        self._steps: weakref.WeakSet[Action[..., Any]] = weakref.WeakSet()
        self._spaces: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()
        for kind in types:
            if not isinstance(kind, type) or not _is_data(kind):
                raise ConfigurationError(
                    f"types= takes enums, dataclasses, NamedTuples and pydantic models, got {kind!r}; "
                    "use register_codec for other types"
                )
            self._admit([kind])

    def learn(self, step: Action[..., Any]) -> None:
        """Accept the data types that the code of *step* can name: in its module, closure and annotations."""
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
        if keeps_objects:
            odd = value is None or self._key is not None or isinstance(value, Kept) or _is_envelope(value)
            return Kept(value) if odd else value
        if self._key is None and value is not None and not _is_envelope(value) and _is_plain(value):
            return value
        path: list[Any] = []
        try:
            tree = self._tree(value, path)
            return {MARK: VERSION, "value": tree, "check" if self._key is None else "sig": self._seal(tree, bind)}
        except DotflowError:
            raise
        except Exception as error:  # a method of a user's class or codec (ADR 0010)
            raise ResultNotStorable(
                f"{_where(path)} cannot be kept: {type(error).__name__} while encoding it"
            ) from error

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
            raise CorruptCheckpoint(f"its value cannot be rebuilt ({type(error).__name__}); {AGAIN}") from error

    # -- envelopes ----------------------------------------------------------------------------------------

    def _seal(self, tree: Any, bind: str) -> str:
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)
        data = f"{VERSION}:{len(bind)}:{bind}:{text}".encode("utf-8", "surrogatepass")
        if self._key is None:
            import hashlib

            return hashlib.blake2b(data, digest_size=16).hexdigest()
        import hmac

        return hmac.digest(self._key, data, "sha256").hex()

    def _check(self, raw: dict[str, Any], bind: str) -> None:
        import hmac

        version, seal = raw.get(MARK), "check" if self._key is None else "sig"
        if type(version) is int and version != VERSION:
            raise CorruptCheckpoint(
                f"its envelope has version {version}, this dotflow reads {VERSION}; upgrade or {AGAIN}"
            )
        if type(version) is int and len(raw) == 3 and seal not in raw and ("check" in raw or "sig" in raw):
            told = "is signed: use Config(codec='signed') and its key" if seal == "check" else "is not signed"
            raise CorruptCheckpoint(f"its envelope {told}, or {AGAIN}")
        if type(version) is not int or len(raw) != 3 or "value" not in raw or type(raw.get(seal)) is not str:
            raise CorruptCheckpoint(f"its envelope is damaged; {AGAIN}")
        if not hmac.compare_digest(self._seal(raw["value"], bind).encode(), raw[seal].encode("utf-8", "replace")):
            raise CorruptCheckpoint(f"its {seal} does not match: it was changed, or belongs to another task; {AGAIN}")

    # -- trees --------------------------------------------------------------------------------------------

    def _tree(self, value: Any, path: list[Any], field: bool = False) -> Any:
        kind = type(value)
        if kind in PLAIN and kind is not list and kind is not dict and _is_plain(value):
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
                path.append((key,) if field else key)
                tree[key] = self._tree(item, path)
                path.pop()
            return tree
        return self._special(value, kind, path)

    def _pairs(self, value: dict[Any, Any], path: list[Any]) -> list[Any]:
        flat: list[Any] = []
        for key, item in value.items():
            path.append(key if type(key) in (str, int) else type(key))
            flat += (self._tree(key, path), self._tree(item, path))
            path.pop()
        return flat

    def _special(self, value: Any, kind: type, path: list[Any]) -> Any:
        why = ""
        try:
            if kind in _custom:
                name, encode = _custom[kind]
                return {MARK: "custom", "of": name, "v": self._tree(encode(value), path)}
            tag = _tag_of(kind)
            if tag is not None:
                simple = _KNOWN[tag][1]
                v = self._pairs(value, path) if simple is _flat else self._tree(simple(value), path, True)
                return {MARK: tag, "v": v}
            if _is_data(kind):
                if self._find(_name(kind), kind) is not None:
                    return {MARK: "data", "of": _name(kind), "v": self._tree(_fields(value), path, True)}
                why = "a class that the step's module does not name: import it there, give Config(types=[...])"
        except Cannot as error:
            why = f"{error}: return something simpler"
        if self._pickles:
            import pickle

            return {MARK: "pickle", "v": self._tree(pickle.dumps(value, protocol=5), path)}
        why = (
            why or "which JSON cannot keep: return something simpler, allow it with Config(codec='pickle') or 'signed'"
        )
        raise ResultNotStorable(f"{_where(path)} is of type {_name(kind)}, {why}, or teach it with register_codec()")

    def _value(self, tree: Any) -> Any:
        if type(tree) is list:
            items = []
            for item in tree:
                items.append(self._value(item))
            return items
        if type(tree) is not dict:
            return tree
        if MARK not in tree:
            plain = {}
            for key, item in tree.items():
                plain[key] = self._value(item)
            return plain
        tag, of, v = tree[MARK], tree.get("of"), self._value(tree["v"])
        if tag == "data":
            return _build(self._known(self._find(of), "class", of), v)
        if tag == "custom":
            return self._known(_custom_names.get(of), "codec", of)[1](v)
        if tag == "pickle":
            if not self._pickles:
                raise CorruptCheckpoint(
                    f"it holds a pickle: allow it with Config(codec='pickle') or 'signed', or {AGAIN}"
                )
            import pickle

            return pickle.loads(v)
        row = self._known(_KNOWN.get(tag), "tag", tag)
        import importlib

        return row[2](getattr(importlib.import_module(row[0]), tag), v)

    def _known(self, found: Any, what: str, name: object) -> Any:
        if found is None:
            raise CorruptCheckpoint(
                f"it names the {what} {str(name)[:80]!r}, which this program does not know: "
                f"import it in the step's module, register it, or {AGAIN}"
            )
        return found

    # -- classes ------------------------------------------------------------------------------------------

    def _find(self, name: Any, kind: type | None = None) -> type | None:
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


# -- plain JSON -----------------------------------------------------------------------------------------------


def _is_envelope(raw: Any) -> bool:
    """Whether *raw* is an envelope, or what a changed byte makes of one."""
    if not isinstance(raw, dict):
        return False
    return MARK in raw or (len(raw) == 3 and "value" in raw and ("check" in raw or "sig" in raw))


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind is dict or kind is list:
        items = value
        if kind is dict:
            items = value.values()
            if not _is_plain_keys(value):
                return False
        found = set(map(type, items))
        if found <= ATOMS:
            return True
        if depth >= DEEPEST or not found <= PLAIN:
            return False
        for item in items:
            if not _is_plain(item, depth + 1):
                return False
        return True
    if kind is str:
        return value.isascii() or _is_text(value)
    if kind is int:
        return -HUGE < value < HUGE
    return math.isfinite(value) if kind is float else kind in ATOMS


def _is_plain_keys(value: dict[Any, Any]) -> bool:
    return set(map(type, value)) <= {str} and _is_text("".join(value))


def _is_text(text: str) -> bool:
    """Whether *text* has no surrogate: JSON joins two of them into one character."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


# -- classes --------------------------------------------------------------------------------------------------


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _where(path: list[Any]) -> str:
    """Render *path*: an int or text is a key, a tuple a field, a type stands for a key of that type."""
    text = "result"
    for part in path[:20]:
        if isinstance(part, tuple):
            text += f".{part[0]}"
        else:
            text += f"[<{part.__name__}>]" if isinstance(part, type) else f"[{json.dumps(part)[:40]}]"
    return text + "…" * (len(path) > 20)


def _is_data(kind: type) -> bool:
    if isinstance(kind, enum.EnumMeta) or hasattr(kind, "__dataclass_fields__"):
        return True
    if issubclass(kind, tuple):
        return hasattr(kind, "_fields") and hasattr(kind, "_field_defaults")
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return model is not None and issubclass(kind, model)


def _functions(func: Any, depth: int = 0) -> Iterator[kinds.FunctionType]:
    """The plain functions in a step: wrapped, bound, partial, or methods of a class or object."""
    if isinstance(func, kinds.FunctionType):
        yield func
    if depth < 4:
        parts = [getattr(func, name, None) for name in ("func", "__func__", "__wrapped__")]
        for part in [*parts, *(vars(func if isinstance(func, type) else type(func)).values())]:
            if part is not None and (callable(part) or isinstance(part, (staticmethod, classmethod))):
                yield from _functions(part, depth + 1)


def _hints(found: Any) -> list[Any]:
    try:
        return list(get_type_hints(found).values())
    except (NameError, TypeError, AttributeError, SyntaxError):  # a name for type checkers only
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
    """Whether *name* is part of what an instance is: no caches, nothing that Python itself keeps."""
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
    if issubclass(kind, enum.Flag):
        return kind(v)
    if issubclass(kind, enum.Enum):
        return kind.__members__[v]
    if issubclass(kind, tuple):
        v = {**kind._field_defaults, **v}
        return tuple.__new__(kind, [v.pop(name) for name in kind._fields] + [{}[name] for name in v])
    made = object.__new__(kind)
    for name, item in v.items():
        if not _is_field(kind, name):
            raise ValueError("not a field")
        object.__setattr__(made, name, item)
    if hasattr(kind, "__dataclass_fields__"):
        declared = {name: field for name, field in kind.__dataclass_fields__.items() if field.init}
        declared = {name: field for name, field in declared.items() if field._field_type.name == "_FIELD"}
    else:
        declared = kind.model_fields
    for name, field in declared.items():
        if not hasattr(made, name):  # the class has gained a field since
            object.__setattr__(made, name, _default(field))
    return made


def _default(field: Any) -> Any:
    if callable(field.default_factory):
        return field.default_factory()
    if type(field.default).__name__ in ("_MISSING_TYPE", "PydanticUndefinedType"):
        raise ValueError("no default")
    return field.default


# -- known types ----------------------------------------------------------------------------------------------


def _tag_of(kind: type) -> str | None:
    row = _KNOWN.get(kind.__name__)
    if row is not None and getattr(sys.modules.get(row[0]), kind.__name__, None) is kind:
        return kind.__name__
    scalar = getattr(sys.modules.get("numpy"), "generic", None)
    return "generic" if scalar is not None and issubclass(kind, scalar) and kind.__module__ == "numpy" else None


def _flat(value: Any) -> Any:
    """Mark the rows of dict types, whose keys and values are listed in turn."""
    raise NotImplementedError


def _call(kind: Any, v: Any) -> Any:
    return kind(v)


def _spread(kind: Any, v: Any) -> Any:
    return kind(*v)


def _named(kind: Any, v: Any) -> Any:
    return kind(**v)


def _paired(kind: Any, v: Any) -> Any:
    return kind(zip(v[::2], v[1::2], strict=True))


def _to_base64(value: Any) -> str:
    import binascii

    return binascii.b2a_base64(value, newline=False).decode()


def _from_base64(kind: Any, v: Any) -> Any:
    import binascii

    return kind(binascii.a2b_base64(v, strict_mode=True))


def _moment(value: Any) -> dict[str, Any]:
    return {"at": value.replace(tzinfo=None, fold=0).isoformat(), "fold": value.fold, "tzinfo": value.tzinfo}


def _from_moment(kind: Any, v: Any) -> Any:
    return kind.fromisoformat(v["at"]).replace(fold=v["fold"], tzinfo=v["tzinfo"])


def _zone(value: Any) -> str:
    if value.key is None:
        raise Cannot("a time zone without a key")
    return str(value.key)


def _context(value: Any) -> dict[str, Any]:
    parts = {name: getattr(value, name) for name in ("storage", "task_id", "workflow_id", "scheduled_for")}
    return {**parts, "made": value._made}


def _from_context(kind: Any, v: Any) -> Any:
    from dotflow.core.context import make_context

    return make_context(**v)


def _npy(value: Any) -> bytes:
    import io

    import numpy

    if value.dtype.hasobject or value.dtype.kind == "T":
        raise Cannot(f"an array of dtype {value.dtype}")
    buffer = io.BytesIO()
    numpy.lib.format.write_array(buffer, numpy.asanyarray(value), allow_pickle=False)
    return buffer.getvalue()


def _from_npy(kind: Any, v: bytes) -> Any:
    import io

    import numpy

    array = numpy.lib.format.read_array(io.BytesIO(v), allow_pickle=False)
    return array[()] if kind is numpy.generic else array


def _line(column: Any) -> dict[str, Any]:
    """Take a pandas Series or Index apart."""
    import pandas

    kind, array, freq = column.dtype, column.array, None
    if isinstance(column, pandas.RangeIndex):
        return {"range": [column.start, column.stop, column.step], "name": column.name}
    if isinstance(kind, pandas.CategoricalDtype):
        data: Any = {"codes": array.codes, "categories": _line(array.categories), "ordered": array.ordered}
    elif kind == object or isinstance(column, pandas.MultiIndex):
        data = list(array)
    elif isinstance(kind, pandas.DatetimeTZDtype):
        data = array.asi8
    elif type(kind).__module__.startswith("numpy"):
        data = column.to_numpy()
    else:
        data = [None if gone else item for item, gone in zip(array.tolist(), array.isna(), strict=True)]
    if isinstance(column, (pandas.DatetimeIndex, pandas.TimedeltaIndex)):
        freq = column.freqstr
    return {"data": data, "dtype": str(kind), "name": column.name, "freq": freq}


def _from_line(v: dict[str, Any], index: bool) -> Any:
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
    if index:
        line = pandas.Index(line.array, dtype=line.dtype, name=v["name"], tupleize_cols=False)
        if v["freq"] is not None:
            line.freq = v["freq"]
    return line


def _frame(value: Any) -> dict[str, Any]:
    """Take a DataFrame or Series apart, and see that it can be put together again."""
    import pandas

    columns = [value.iloc[:, at] for at in range(value.shape[1])] if value.ndim == 2 else [value]
    parts = {"lines": [_line(column) for column in columns], "index": _line(value.index), "attrs": value.attrs}
    if value.ndim == 2:
        parts["columns"] = _line(value.columns)
    same = pandas.testing.assert_frame_equal if value.ndim == 2 else pandas.testing.assert_series_equal
    try:
        same(_from_frame(type(value), parts), value, check_exact=True)
    except (AssertionError, TypeError, ValueError, AttributeError, NotImplementedError):
        raise Cannot("with an index or dtype that only pickle keeps (reset_index() or astype() helps)") from None
    return parts


def _from_frame(kind: Any, v: dict[str, Any]) -> Any:
    lines, index = [_from_line(line, False) for line in v["lines"]], _from_line(v["index"], True)
    for line in lines:
        line.index = index
    made = lines[0] if "columns" not in v else kind(dict(enumerate(lines)), index=index)
    if "columns" in v:
        made.columns = _from_line(v["columns"], True)
    made.attrs = v["attrs"]
    return made


def _stamp(value: Any) -> dict[str, Any]:
    return {"at": value.asm8, "tzinfo": getattr(value, "tzinfo", None)}


def _from_stamp(kind: Any, v: dict[str, Any]) -> Any:
    made = kind(v["at"])
    return made if v["tzinfo"] is None else made.tz_localize("UTC").tz_convert(v["tzinfo"])


# Tag, which is the name of the type: its module, what makes it simpler, and what makes it again.
_KNOWN: dict[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "dict": ("builtins", _flat, _paired),
    "tuple": ("builtins", list, _call),
    "set": ("builtins", list, _call),
    "frozenset": ("builtins", list, _call),
    "bytes": ("builtins", _to_base64, _from_base64),
    "bytearray": ("builtins", _to_base64, _from_base64),
    "str": ("builtins", lambda v: v.encode("utf-8", "surrogatepass"), lambda _, v: v.decode("utf-8", "surrogatepass")),
    "int": ("builtins", hex, lambda kind, v: kind(v, 16)),
    "float": ("builtins", float.hex, lambda kind, v: kind.fromhex(v)),
    "complex": ("builtins", lambda v: [v.real, v.imag], _spread),
    "range": ("builtins", lambda v: [v.start, v.stop, v.step], _spread),
    "slice": ("builtins", lambda v: [v.start, v.stop, v.step], _spread),
    "OrderedDict": ("collections", _flat, _paired),
    "Counter": ("collections", _flat, lambda kind, v: kind(dict(zip(v[::2], v[1::2], strict=True)))),
    "deque": ("collections", lambda v: {"iterable": list(v), "maxlen": v.maxlen}, _named),
    "date": ("datetime", lambda v: v.isoformat(), lambda kind, v: kind.fromisoformat(v)),
    "datetime": ("datetime", _moment, _from_moment),
    "time": ("datetime", _moment, _from_moment),
    "timedelta": ("datetime", lambda v: [v.days, v.seconds, v.microseconds], _spread),
    "timezone": ("datetime", lambda v: list(v.__getinitargs__()), _spread),
    "ZoneInfo": ("zoneinfo", _zone, _call),
    "Decimal": ("decimal", str, _call),
    "Fraction": ("fractions", lambda v: [v.numerator, v.denominator], _spread),
    "UUID": ("uuid", str, _call),
    **dict.fromkeys(("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"), ("pathlib", str, _call)),
    "Context": ("dotflow.core.context", _context, _from_context),
    "ndarray": ("numpy", _npy, _from_npy),
    "generic": ("numpy", _npy, _from_npy),
    "DataFrame": ("pandas", _frame, _from_frame),
    "Series": ("pandas", _frame, _from_frame),
    "Timestamp": ("pandas", _stamp, _from_stamp),
    "Timedelta": ("pandas", _stamp, _from_stamp),
    "NaTType": ("pandas._libs.tslibs.nattype", lambda _: [], lambda *_: sys.modules["pandas"].NaT),
    "NAType": ("pandas._libs.missing", lambda _: [], lambda *_: sys.modules["pandas"].NA),
}
