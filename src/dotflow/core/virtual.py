"""Providers that were registered with a contract instead of inheriting from it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def whole(provider: Any, contract: type) -> Any:
    """Return *provider*, or a stand-in that takes from *contract* what a virtual subclass does not bring itself.

    ``isinstance`` takes the stand-in for an instance of both classes, and every attribute is the provider's.
    """
    kind = type(provider)
    if contract in kind.__mro__:
        return provider
    return _stand_in(kind, contract)(provider)  # type: ignore[arg-type]  # a class is hashable


@lru_cache(maxsize=64)
def _stand_in(kind: type, contract: type) -> type:
    """Make a subclass of *contract* that overrides exactly what *kind* has, so that its abilities can be told."""
    names = [name for name in dir(contract) if not name.startswith("__") and hasattr(kind, name)]
    body: dict[str, Any] = {name: _forwarded(name) for name in names}
    body.update(__init__=_keep, __getattr__=_of_provider, __repr__=lambda self: repr(self._provider))
    body.update(__class__=property(lambda self: kind), __doc__=kind.__doc__, __module__=kind.__module__)
    return type(kind.__name__, (contract,), body)


def _forwarded(name: str) -> Any:
    return property(lambda self: getattr(self._provider, name))


def _keep(self: Any, provider: Any) -> None:
    self._provider = provider


def _of_provider(self: Any, name: str) -> Any:
    if name == "_provider":  # not made yet, as in copy.copy
        raise AttributeError(name)
    return getattr(self._provider, name)
