"""Enums, dataclasses, named tuples and models: taking them apart, and building them without running their code."""

from __future__ import annotations

import enum
import functools
import sys
import types as kinds
from typing import TYPE_CHECKING, Any, get_type_hints

from dotflow.core.known import Cannot

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_data(kind: type) -> bool:
    """Whether instances of a class are nothing but their fields."""
    if isinstance(kind, enum.EnumMeta) or hasattr(kind, "__dataclass_fields__"):
        return True
    if issubclass(kind, tuple):
        return hasattr(kind, "_fields") and hasattr(kind, "_field_defaults")
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return model is not None and issubclass(kind, model)


def functions_in(func: Any, depth: int = 0) -> Iterator[kinds.FunctionType]:
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
            yield from functions_in(part, depth + 1)


def hints_of(found: Any) -> list[Any]:
    """Return the types in the annotations of a class or function, as far as they can be read."""
    try:
        return list(get_type_hints(found).values())
    except (NameError, TypeError, AttributeError, SyntaxError):  # a name that only type checkers see
        return []


def cells_of(func: kinds.FunctionType) -> list[Any]:
    """Return what a function closes over."""
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


def fields_of(value: Any) -> Any:
    """Return the fields of an instance, by name; the value of an enum."""
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


def rebuild(kind: Any, v: Any) -> Any:
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
