"""Storages that fail or dawdle on demand, and the end of the process at a chosen point."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dotflow.abc.storage import Storage
from dotflow.core.exception import ConfigurationError, MissingAbility, StorageUnavailable
from dotflow.testing.children import die

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dotflow.core.context import Context
    from dotflow.core.events import Event
    from dotflow.core.task import Task

T = TypeVar("T")

POINT = re.compile(r"(before|after|at) (\w+)(?: (.*?))?(?: #(\d+))?", re.DOTALL)


RUN_ID = re.compile(r"^_[0-9a-f]{32}")


class _Around(Storage):
    """Has exactly the abilities of another storage, and puts something around each call of it."""

    def __init__(self, storage: Storage) -> None:
        if not isinstance(storage, Storage):
            raise ConfigurationError(f"{type(self).__name__} needs a dotflow.abc.storage.Storage, got {storage!r}")
        self._storage = storage
        vars(self).update(keeps_objects=storage.keeps_objects, faithful=storage.faithful, patience=storage.patience)

    def _around(self, method: str, keys: Sequence[str], call: Callable[[], T]) -> T:
        raise NotImplementedError

    def can(self, ability: str) -> bool:
        """Whether the storage inside can."""
        return self._storage.can(ability)

    def hands_on(self) -> bool:
        """Whether the storage inside does."""
        return self._storage.hands_on()

    def key(self, task: Task) -> str:
        """Return the key of *task*; no call that can fail."""
        return self._storage.key(task=task)

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        """See ``Storage``; with *ttl* only where the storage inside takes one."""
        end = self._end(ttl)
        self._around("post", [key], lambda: self._storage.post(key=key, context=context, **end))

    def get(self, key: str) -> Context:
        """See ``Storage``."""
        return self._around("get", [key], lambda: self._storage.get(key=key))

    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        """See ``Storage``."""
        return self._around("get_many", keys, lambda: self._storage.get_many(keys=keys))

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        """See ``Storage``."""
        self._around("post_many", [key for key, _ in items], lambda: self._storage.post_many(items=items))

    def delete(self, key: str) -> bool:
        """See ``Storage``."""
        return self._around("delete", [key], lambda: self._storage.delete(key=key))

    def delete_prefix(self, prefix: str) -> int:
        """See ``Storage``."""
        return self._around("delete_prefix", [prefix], lambda: self._storage.delete_prefix(prefix))

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        """See ``Storage``."""
        return self._around("list_keys", [prefix], lambda: self._storage.list_keys(prefix))

    def clear(self, workflow_id: Any) -> None:
        """See ``Storage``."""
        self._around("clear", [], lambda: self._storage.clear(workflow_id=workflow_id))

    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        """See ``Storage``."""
        end = self._end(ttl)
        return self._around("create", [key], lambda: self._storage.create(key=key, context=context, **end))

    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        """See ``Storage``."""
        end = self._end(ttl)
        return self._around(
            "atomic_swap", [key], lambda: self._storage.atomic_swap(key=key, expected=expected, new=new, **end)
        )

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        """See ``Storage``; giving the lead up is a call ``release``."""
        release = self._around("lock", [], lambda: self._storage.lock(workflow_id, wait=wait))
        return lambda: self._around("release", [], release)

    def healthcheck(self) -> None:
        """See ``Storage``."""
        self._around("healthcheck", [], self._storage.healthcheck)

    def close(self) -> None:
        """Close the storage inside."""
        self._storage.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._storage!r})"

    def _end(self, ttl: float | None) -> dict[str, Any]:
        if ttl is None:
            return {}
        if not self.can("ttl"):
            raise MissingAbility(type(self._storage).__name__, "ttl")
        return {"ttl": ttl}


class FlakyStorage(_Around):
    """A storage whose calls fail now and then, for tests of what you build on one.

    Args:
        storage: The one that works.
        fail: Which calls fail, counted from 1: a number for every n-th, numbers for those, or a function that is
            given the method's name and the call's number and says.
        error: What is raised: an exception, or what makes one.
        methods: The methods that count; ``None`` for all but ``key`` and ``close``.
        late: Fail after the call has been made, as when the answer of a server is lost.

    Attributes:
        calls: How many calls were counted.
        failures: How many of them failed.
    """

    def __init__(
        self,
        storage: Storage,
        fail: int | Collection[int] | Callable[[str, int], bool] = 2,
        error: BaseException | Callable[[], BaseException] | None = None,
        *,
        methods: Collection[str] | None = None,
        late: bool = False,
    ) -> None:
        super().__init__(storage)
        if isinstance(fail, bool) or (isinstance(fail, int) and fail < 1):
            raise ConfigurationError(
                f"FlakyStorage(fail={fail!r}) needs a number of at least 1, numbers, or a function"
            )
        for method in methods or ():
            if method != "release" and not hasattr(Storage, method):
                raise ConfigurationError(f"FlakyStorage(methods=...): a storage has no method {method!r}")
        self._fail, self._error, self._methods, self._late = fail, error, methods, late
        self._mutex = threading.Lock()
        self.calls = self.failures = 0

    def _around(self, method: str, keys: Sequence[str], call: Callable[[], T]) -> T:
        if self._methods is not None and method not in self._methods:
            return call()
        with self._mutex:
            self.calls += 1
            failing = self._fails(method, self.calls)
            self.failures += failing
            number = self.calls
        if not failing:
            return call()
        if self._late:
            call()
        if self._error is None:
            raise StorageUnavailable(f"call {number}, {method}(), fails on demand", provider="FlakyStorage")
        raise self._error() if callable(self._error) else self._error

    def _fails(self, method: str, number: int) -> bool:
        if isinstance(self._fail, int):
            return number % self._fail == 0
        if isinstance(self._fail, Collection):
            return number in self._fail
        return bool(self._fail(method, number))


class SlowStorage(_Around):
    """A storage that takes its time.

    Args:
        storage: The one that is fast.
        seconds: How long each call waits before it is made.
        methods: The methods that are slow; ``None`` for all but ``key`` and ``close``.
        sleep: What waits; a ``FakeClock`` has one that does not.
    """

    def __init__(
        self,
        storage: Storage,
        seconds: float,
        *,
        methods: Collection[str] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(storage)
        if seconds < 0:
            raise ConfigurationError(f"SlowStorage(seconds={seconds!r}) needs a number of seconds, 0 or more")
        self._seconds, self._methods, self._sleep = seconds, methods, sleep

    def _around(self, method: str, keys: Sequence[str], call: Callable[[], T]) -> T:
        if self._methods is None or method in self._methods:
            self._sleep(self._seconds)
        return call()


class Point(NamedTuple):
    """An instant of a run: an event that is told, or a call of the storage that begins or has returned.

    As text: ``"at TaskStarted load"``, ``"before post load"``, ``"after post load #2"``.

    Attributes:
        when: ``at`` an event, ``before`` or ``after`` a call.
        what: The event's class, or the method; ``release`` is the end of a ``lock``.
        name: The task, or the key where no task is known, or ``""``.
        nth: Which of several, counted from 1.
    """

    when: str
    what: str
    name: str = ""
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.when} {self.what}{self.name and ' '}{self.name}" + (f" #{self.nth}" if self.nth > 1 else "")

    @classmethod
    def parse(cls, text: str) -> Point:
        """Return the point that *text* names."""
        found = POINT.fullmatch(text)
        if found is None:
            raise ConfigurationError(
                f"{text!r} names no point; write 'before post <task>', 'after post <task> #2', 'at TaskStarted <task>'"
            )
        return cls(found[1], found[2], found[3] or "", int(found[4] or 1))


class Watch:
    """Sees every point of a run: a listener of ``start``, and a storage around the one of the run.

    Args:
        reach: Called with each point, and the tasks or keys that a call is about.
    """

    def __init__(self, reach: Callable[[Point, Sequence[str]], None]) -> None:
        self._reach = reach
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._mutex = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Note an event."""
        task = getattr(event, "task", None)
        self.note("at", type(event).__name__, [task.task_id] if task is not None else [])

    def storage(self, storage: Storage) -> Storage:
        """Return *storage* with every call of it noted."""
        return _Watched(storage, self)

    def note(self, when: str, what: str, names: Sequence[str]) -> None:
        """Note a point."""
        name = ", ".join(names)
        with self._mutex:
            self._counts[when, what, name] += 1
            point = Point(when, what, name, self._counts[when, what, name])
        self._reach(point, names)


class _Watched(_Around):
    def can(self, ability: str) -> bool:
        """Not ``post_many``: which results finish together is chance, and points must be the same in each run."""
        return ability != "post_many" and super().can(ability)

    def __init__(self, storage: Storage, watch: Watch) -> None:
        super().__init__(storage)
        self._watch, self._names = watch, dict[str, str]()

    def key(self, task: Task) -> str:
        key = self._storage.key(task=task)
        # the history of runs: its run id is another one in every run
        self._names[key] = RUN_ID.sub("_dotflow_history", task.task_id)
        return key

    def _around(self, method: str, keys: Sequence[str], call: Callable[[], T]) -> T:
        names = [self._names.get(key, key) for key in keys]
        self._watch.note("before", method, names)
        answer = call()
        self._watch.note("after", method, names)
        return answer


def kill_at(point: Point | str) -> Watch:
    """Return what ends this process, as ``kill -9`` does, when a run reaches *point*.

    For an event give it to the run as a listener, for a call put its ``storage`` around yours::

        kill = kill_at("after post load")
        DotFlow(Config(storage=kill.storage(StorageSQLite())), workflow_id="w").start(listeners=[kill])
    """
    wanted = Point.parse(point) if isinstance(point, str) else point

    def reach(reached: Point, _: Sequence[str]) -> None:
        if reached == wanted:
            die()

    return Watch(reach)
