"""Values and JSON: what a step returned, as something ``json`` keeps exactly.

Plain JSON passes as it is. Anything else goes into an envelope, which is JSON too::

    {"__dotflow__": 1, "value": <tree>, "check": "<checksum of tree and bind>"}

In the tree, ``{"__dotflow__": "<tag>", "v": ...}`` stands for what JSON lacks. Tags come from a fixed table;
names of classes are looked up among the classes that the steps' own code names, and never imported. Two places
of a value that share one object come back as two equal objects. A tree of more than 1 MiB is compressed, if that
makes it smaller, and so is plain JSON of that size; the checksum or signature is that of what is kept, and is looked
at before anything is opened.
"""

from __future__ import annotations

import importlib
import marshal
import math
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, DotflowError, ResultNotStorable
from dotflow.core.known import KNOWN, Cannot, tag_of
from dotflow.core.models import cells_of, fields_of, functions_in, hints_of, is_data, rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.core.action import Action

T = TypeVar("T")

MARK = "__dotflow__"
VERSION = 1
MODES = ("safe", "pickle", "signed")
DEEPEST = 200
HUGE = 1 << 2048  # json may fail on more digits than this, whatever sys.set_int_max_str_digits says
ATOMS = {bool, type(None)}
SCALARS = {*ATOMS, int, float, str}
SIZED = {str, list, dict}
PLAIN = {*SCALARS, *SIZED}
PACKED = "zlib"  # the tag of a tree that is compressed
LARGE = 1 << 20  # characters of JSON from which on one is
AGAIN = "run it again with start(resume=False)"

_custom: dict[type, tuple[str, Callable[[Any], Any]]] = {}
_custom_names: dict[str, tuple[type, Callable[[Any], Any]]] = {}


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
            if not isinstance(kind, type) or not is_data(kind):
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
            return self._packed_plain(value, bind) if type(value) in SIZED and _may_be_large(value) else value
        path: list[Any] = []
        try:
            return self._envelope(self._tree(value, path), bind)
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
            tree = raw["value"]
            if type(tree) is dict and tree.get(MARK) == PACKED:
                from dotflow.core.packed import unpack

                found = unpack(tree)
                return found if tree["plain"] is True else self._value(found)
            return self._value(tree)
        except DotflowError:
            raise
        except Exception as error:  # a method of a user's class or codec (ADR 0010)
            what = f"its value cannot be rebuilt ({type(error).__name__}): a class may have changed; {AGAIN}"
            raise CorruptCheckpoint(what) from error

    # -- envelopes ----------------------------------------------------------------------------------------

    def _envelope(self, tree: Any, bind: str) -> dict[str, Any]:
        text = _canonical(tree)
        if len(text) > LARGE:
            import json

            from dotflow.core.packed import pack

            packed = pack(json.dumps(tree), MARK, PACKED, plain=False)  # in the order in which its keys are
            if packed is not None:
                tree, text = packed, _canonical(packed)
        return {MARK: VERSION, "value": tree, self._seal_name: self._seal(tree, bind, text)}

    def _packed_plain(self, value: Any, bind: str) -> Any:
        import json

        from dotflow.core.packed import pack

        text = json.dumps(value)
        tree = pack(text, MARK, PACKED, plain=True) if len(text) > LARGE else None
        return value if tree is None else {MARK: VERSION, "value": tree, "check": self._seal(tree, bind)}

    def _seal(self, tree: Any, bind: str, text: str = "") -> str:
        text = text or _canonical(tree)
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
        name, tag = _name(kind), tag_of(kind)
        try:
            if kind in _custom:
                name, encode = _custom[kind]
                return {MARK: "custom", "of": name, "v": self._tree(encode(value), path)}
            if tag is not None:
                simpler = KNOWN[tag][1]
                v = self._pairs(value, path) if simpler is None else self._tree(simpler(value), path, True)
                return {MARK: tag, "v": v}
            if is_data(kind) and self._find(name, kind) is not None:
                return {MARK: "data", "of": name, "v": self._tree(fields_of(value), path, True)}
            if is_data(kind):
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
            return rebuild(_known(self._find(of), "class", of), v)
        if tag == "custom":
            return _known(_custom_names.get(of), "codec", of)[1](v)
        if tag == "pickle":
            if not self._pickles:
                raise CorruptCheckpoint(f"it holds a pickle: allow that with Config(codec='pickle'), or {AGAIN}")
            import pickle

            return pickle.loads(v)
        module, _, build = _known(KNOWN.get(tag), "tag", tag)
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
            for func in (func for step in steps for func in functions_in(step.func)):
                for space in (func.__globals__, getattr(sys.modules.get(func.__module__), "__dict__", {})):
                    self._spaces[id(space)] = space
                self._admit([*hints_of(func), *cells_of(func)])
            for space in self._spaces.values():
                self._admit([item for item in list(space.values()) if issubclass(type(item), type)])

    def _admit(self, todo: list[Any]) -> None:
        """Accept the classes in *todo*, and those in the annotations of their fields."""
        while todo:
            found = todo.pop()
            if get_args(found):  # list[Point], Point | None
                todo += [get_origin(found), *get_args(found)]
            elif isinstance(found, type) and is_data(found) and self._types.get(_name(found)) is not found:
                self._types[_name(found)] = found
                todo += hints_of(found)


def _canonical(tree: Any) -> str:
    import json

    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


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


def _may_be_large(value: Any) -> bool:
    """Whether plain JSON, no scalar but text, could be large; tells by what C makes of it, in half a microsecond."""
    if type(value) is str:
        return len(value) > LARGE // 6  # an escaped character takes six
    return len(marshal.dumps(value, 2)) > LARGE // 4


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
