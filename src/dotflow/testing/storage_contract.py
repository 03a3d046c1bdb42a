"""The contract of storages, for pytest, for unittest, and as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dotflow.testing.children import Spec
from dotflow.testing.storage_lifetimes import TimeToLive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.abc.storage import Storage


def _fixture(function: Callable[..., Any]) -> Any:
    try:
        import pytest
    except ImportError:  # unittest needs no fixtures
        return function
    return pytest.fixture(autouse=True)(function)


class StorageContract(TimeToLive):
    """The promises of a storage, each as a test.

    Subclass it, and say how a client is made::

        class TestStorageMine(StorageContract):
            @pytest.fixture
            def make(self, tmp_path):
                return lambda: StorageMine(tmp_path / "data")

    Each call of what ``make`` returns must give a new client on the same data. Clauses of optional abilities
    ask that they are kept where the class has them, and else that ``MissingAbility`` names them: nothing is
    skipped. Keys are new ones in each test, so that tests may share a server.

    With ``unittest.TestCase`` write a method ``make_storage`` that returns a storage, as for dotflow 1.x: it is
    called once per test, so clauses about other clients and processes are left out unless ``spec`` is given.

    Attributes:
        shared_between_processes: Whether another process can make a client on the same data. ``False``, for
            a storage in memory, leaves out the clauses about processes.
        spec: ``"module:callable"``, called without arguments for a client, in every process; takes the place
            of ``make``. Without it, ``make`` is inherited by forks, and sent by value to processes that are
            started afresh: it should hold plain values only.
        supports_ttl: Whether ``post`` takes ``ttl=`` seconds; ``None`` finds out.
        shortest_ttl: Seconds; 1 for a backend that counts in whole ones.
    """

    shared_between_processes: ClassVar[bool] = True
    spec: ClassVar[str | None] = None
    supports_ttl: bool | None = None
    shortest_ttl: float = 0.3

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Leave out, or take in again, the clauses about processes."""
        super().__init_subclass__(**kwargs)
        shared = cls.shared_between_processes and not cls._is_old()
        for name, clause in _clauses(StorageContract):
            if hasattr(clause, "across_processes") and getattr(cls, name) in (None, clause):
                setattr(cls, name, clause if shared else None)

    @classmethod
    def _is_old(cls) -> bool:
        return hasattr(cls, "make_storage") and cls.spec is None

    def setUp(self) -> None:  # unittest's name
        """Make ``self.storage``; called by unittest."""
        old: Any = getattr(self, "make_storage", None)
        if self.spec is not None:
            self.begin(Spec(self.spec), self.spec)
        elif old is not None:
            self.begin(old, one_client=True)
        else:
            raise TypeError(f"{type(self).__name__} needs a fixture make, a method make_storage, or spec")

    def tearDown(self) -> None:  # unittest's name
        """Close what the test used; called by unittest."""
        self.end()

    @_fixture
    def _kit(self, request: Any) -> Any:
        import unittest

        if isinstance(self, unittest.TestCase):  # which calls setUp itself
            yield
            return
        if self.spec is None and not self._is_old():
            self.begin(request.getfixturevalue("make"))
        else:
            self.setUp()
        yield
        self.end()


def _clauses(kind: type) -> list[tuple[str, Any]]:
    """Return the clauses of a class by name, those of the three methods first."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        found.update({name: getattr(kind, name) for name in vars(base) if name.startswith("test_")})
    return [(name, clause) for name, clause in found.items() if callable(clause)]


class Verdict(NamedTuple):
    """What became of one clause.

    Attributes:
        clause: Its name.
        claim: What it claims.
        problem: How it failed; ``""`` if it holds.
        absent: The optional methods that it is about and that the class does not have; nothing else was tried then
            but that a call says so.
    """

    clause: str
    claim: str
    problem: str
    absent: tuple[str, ...] = ()


def check_storage(
    make: Callable[[], Storage] | str,
    *,
    shared_between_processes: bool = True,
    clauses: Iterable[str] | None = None,
) -> list[Verdict]:
    """Hold a storage to its contract, without pytest; return a verdict for each clause.

    Args:
        make: Returns a new client on the same data at each call; or the path of such a callable.
        shared_between_processes: See ``StorageContract``.
        clauses: Names of the clauses to try; ``None`` for all.
    """
    recipe, shared = (Spec(make), make) if isinstance(make, str) else (make, None)
    wanted = None if clauses is None else set(clauses)
    known = _clauses(StorageContract)
    unknown = (wanted or set()) - {name for name, _ in known}
    if unknown:
        raise ValueError(f"there are no clauses {', '.join(sorted(unknown))}")
    verdicts = []
    for name, clause in known:
        if (wanted is not None and name not in wanted) or (
            hasattr(clause, "across_processes") and not shared_between_processes
        ):
            continue
        verdicts.append(Verdict(name, str(clause.__doc__), *_try(recipe, shared, name)))
    return verdicts


def _try(recipe: Callable[[], Storage], spec: str | None, name: str) -> tuple[str, tuple[str, ...]]:
    kit = StorageContract()
    try:
        kit.begin(recipe, spec)
        try:
            getattr(kit, name)()
        finally:
            kit.end()
    except Exception as error:  # whatever the storage raises is the verdict
        return f"{type(error).__name__}: {error}" if not isinstance(error, AssertionError) else str(error), ()
    return "", tuple(kit.absent)
