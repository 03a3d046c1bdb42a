"""``NamedTuple`` for the modules that every program loads.

That of ``typing`` compiles each annotation that is a text, as all of them are under
``from __future__ import annotations``: a fourteenth of the time that a program of three steps takes (ADR 0009).
This one leaves them alone.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple
else:

    class _Maker(type):
        """Makes a class with annotated fields into a named tuple, methods and docstring included."""

        def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, space)
            fields = space["__annotations__"]
            defaults = [space.pop(field) for field in fields if field in space]
            made = namedtuple(name, fields, defaults=defaults, module=space["__module__"])
            for key, value in space.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Maker):
        """The base to write; it is in no class that comes of it."""
