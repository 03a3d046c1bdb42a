"""Between storage and run: keys, envelopes, second tries. Nothing else calls a storage."""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from dotflow.core import pace
from dotflow.core.action import action
from dotflow.core.context import Context, Later, make_context
from dotflow.core.exception import CorruptCheckpoint, DotflowError, StorageError, StorageUnavailable
from dotflow.core.messages import MISSING, Refused, TaskError
from dotflow.core.task import Deferred, LetGo, Task, unmasked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dotflow.abc.storage import Storage
    from dotflow.core.codec import Codec
    from dotflow.core.outbox import Outbox

FEW_PAUSES = (0.05, 0.1, 0.2)  # seconds, after a failure that says nothing of passing
LONGEST_PAUSE = 2.0
RECORD, FINGERPRINT = "_dotflow_run", "_input_fp"
KINDS = {"run_id": str, "status": str, "started_at": str, "family": str, "tasks": list, "sessions": list}  # of RECORD
FENCE = "_dotflow_fence"  # marks a record that only the process which holds a claim may write (claims)
PASSING = (StorageUnavailable, ConnectionError, TimeoutError)


class Checkpoint:
    """The saved results of one workflow.

    Args:
        storage: Where they are.
        codec: How values become JSON.
        workflow_id: Whose they are.
    """

    def __init__(self, storage: Storage, codec: Codec, workflow_id: Any) -> None:
        self._storage, self._codec, self._workflow_id = storage, codec, workflow_id
        self._name = type(storage).__name__
        self._objects = storage.keeps_objects
        self._hands_on = storage.hands_on()
        self.blocks = not storage.keeps_objects
        self._many = self.blocks and storage.can("post_many")  # what blocks nobody is not asked to save several
        self.keeps_records = self.blocks and storage.can("list_keys")
        self.outbox: Outbox | None = None
        self.turn = threading.Lock()  # whose turn it is to call the storage: the run's, or its outbox's

    @property
    def storage(self) -> Storage:
        """Where the results are."""
        return self._storage

    def lead(self, wait: float) -> Callable[[], None] | None:
        """Become the leader of the workflow where the storage can arrange that; return what gives it up."""
        if not self._storage.can("lock"):
            return None
        lock = self._storage.lock
        return self._call(lock, None, workflow_id=self._workflow_id, wait=wait)  # type: ignore[no-any-return]

    # -- results ------------------------------------------------------------------------------------------

    def save(self, pairs: Sequence[tuple[Task, Any]]) -> list[Any]:
        """Save results; for each, return what is handed on: ``MISSING`` for the result itself, or ``Refused``."""
        with self.turn:
            if len(pairs) > 1 and self._many:
                return self._save_together(pairs)
            return [self.save_one(task, value) for task, value in pairs]

    def save_one(self, task: Task, value: Any) -> Any:
        """Save one result; answer as ``save`` does."""
        storage = self._storage
        try:
            key = storage.key(task=task)
        except Exception as error:  # a third party's method (ADR 0010)
            return Refused(TaskError(self._blame(error, None)))
        try:
            raw = value
            if type(value) is Later:
                raw = self._raw(value, key)
            elif not self._objects or value is None or type(value) is dict:
                raw = self._codec.encode(value, bind=key, keeps_objects=self._objects)
            context = make_context(raw, task.task_id, self._workflow_id, time.time())
            try:
                storage.post(key=key, context=context)
            except Exception as error:  # a third party's method (ADR 0010)
                self._again(error, storage.post, key, {"context": context})
            return MISSING if self._hands_on else self._read_back(key, task)
        except DotflowError as error:
            return Refused(TaskError(error))

    def _save_together(self, pairs: Sequence[tuple[Task, Any]]) -> list[Any]:
        answers: list[Any] = [MISSING] * len(pairs)
        items = []
        for position, (task, value) in enumerate(pairs):
            try:
                key = self.key(task)
                items.append((position, key, self._context(task, value, key)))
            except DotflowError as error:
                answers[position] = Refused(TaskError(error))
        if items:
            try:
                self._call(self._storage.post_many, None, items=[item[1:] for item in items])
                if not self._hands_on:
                    for position, key, _ in items:
                        answers[position] = self._read_back(key, pairs[position][0])
            except DotflowError as error:
                for position, _, _ in items:
                    answers[position] = Refused(TaskError(error))
        return answers

    def load(self, tasks: Sequence[Task]) -> dict[int, Any]:
        """Return the saved results by position, to be decoded on demand; those that are not there are left out."""
        keys = self._keys(tasks)
        found = self._find(keys)

        def read(task: Task) -> Any:
            key = self.key(unmasked(task))
            return self._decode(found[key].storage, bind=key)

        deferred, present = Deferred(read), found.keys()
        values = {position: deferred for position, key in enumerate(keys) if key in present}
        if self._hands_on:
            return values
        return {position: read(tasks[position]) for position in values}  # one that was not proved is read now

    @property
    def let_go(self) -> LetGo:
        """What stands in for a saved result."""
        return LetGo(self._reread)

    def forget(self, tasks: Sequence[Task]) -> None:
        """Remove what earlier runs saved; *tasks* are in an order in which each comes after those it needs.

        The last one goes first: a process that is killed half-way leaves the start of one run, never parts of two.
        """
        storage = self._storage
        if not (storage.clears_at_once and storage.can("clear")):
            keys = [self.key(task) for task in (*map(self._pseudo, self._records(tasks)), *tasks)]
            found = self._find(keys)
            for key in reversed(keys):
                if key not in found:
                    continue
                if storage.can("delete"):
                    self._call(storage.delete, key)
                else:
                    self._call(storage.post, key, context=Context(None, workflow_id=None))
        if storage.can("clear"):
            self._call(storage.clear, None, workflow_id=self._workflow_id)

    # -- records ------------------------------------------------------------------------------------------

    def read_record(self, name: str) -> Any:
        """Return the record of that name (``RECORD``, ``FINGERPRINT``), ``None`` if there is none.

        Raises:
            CorruptCheckpoint: it is no such record.
        """
        key = self.key(self._pseudo(name))
        raw = self._get(key)
        found = None if raw is None else self._decode(raw, bind=key)
        if name == RECORD and isinstance(found, dict) and (wrong := _misshapen(found)):
            raise CorruptCheckpoint(
                f"the record of the last run has a {wrong!r} that dotflow does not write: {str(found[wrong])[:200]!r}; "
                "remove this key to resume with the results that are there, or start without resume=True",
                provider=self._name,
                key=key,
            )
        return found

    def write_record(self, name: str, value: Any, also: Sequence[tuple[str, Context]] = ()) -> None:
        """Save a record under that name, after the records *also*: at once where the storage can."""
        task = self._pseudo(name)
        key = self.key(task)
        self.write([*also, (key, self._context(task, value, key))])

    def write(self, items: Sequence[tuple[str, Context]]) -> None:
        """Save records by key: at once where the storage can, else one after the other."""
        with self.turn:
            if len(items) > 1 and self._many:
                self._call(self._storage.post_many, None, items=items)
                return
            for key, context in items:
                self._call(self._storage.post, key, context=context)

    def read_records(self, names: Sequence[str]) -> dict[str, Any]:
        """Return those records of these names that there are."""
        keys = {name: self.key(self._pseudo(name)) for name in names}
        found = self._find(list(keys.values()))
        return {name: self._decode(found[key].storage, bind=key) for name, key in keys.items() if key in found}

    def note(self, name: str, value: Any) -> None:
        """Save a record, or raise at once: nothing waits for it to be there."""
        task = self._pseudo(name)
        key = self.key(task)
        self.once(self._storage.post, key, context=self._context(task, value, key))

    def drop(self, name: str) -> None:
        """Remove a record, or raise at once."""
        key = self.key(self._pseudo(name))
        if self._storage.can("delete"):
            self.once(self._storage.delete, key)
        else:
            self.once(self._storage.post, key, context=Context(None, workflow_id=None))

    def once(self, method: Callable[..., Any], key: str, **kwargs: Any) -> Any:
        """Call a method of the storage without second tries, for what can wait until the next time."""
        try:
            return method(key=key, **kwargs)
        except Exception as error:  # a third party's method (ADR 0010)
            raise self._blame(error, key) from error

    def times_of(self, names: Sequence[str]) -> dict[str, float]:
        """Return when the saved results of those task ids were made, in seconds since 1970."""
        keys = {self.key(self._pseudo(name)): name for name in names}
        found = self._find(list(keys))
        contexts = {keys[key]: found[key] for key in keys if key in found}
        return {name: each.time.timestamp() for name, each in contexts.items() if not _only_fenced(each.storage)}

    # -- inside -------------------------------------------------------------------------------------------

    def _records(self, tasks: Sequence[Task]) -> list[str]:
        """The names of all records that there may be."""
        from dotflow.core.outbox import NEWS, OUTBOX

        news = [NEWS, *(f"{NEWS}.{task.task_id}" for task in tasks)] if self.keeps_records else []
        return [RECORD, FINGERPRINT, *([OUTBOX] if news else []), *news]

    def key(self, task: Task) -> str:
        """Return the key the storage chose for *task*."""
        try:
            return self._storage.key(task=task)
        except Exception as error:  # a third party's method (ADR 0010)
            raise self._blame(error, None) from error

    def _keys(self, tasks: Sequence[Task]) -> list[str]:
        key = self._storage.key
        try:
            return [key(task=task) for task in tasks]
        except Exception as error:  # a third party's method (ADR 0010)
            raise self._blame(error, None) from error

    def _pseudo(self, name: str) -> Task:
        return Task(name, _nothing, workflow_id=self._workflow_id)

    def _raw(self, value: Any, key: str) -> Any:
        if type(value) is not Later:
            return self._codec.encode(value, bind=key, keeps_objects=self._objects)
        make = functools.partial(self._raw_of, value, key)
        return Later(make) if self._objects else make()

    def _raw_of(self, value: Later, key: str) -> Any:
        return self._raw(value.get(), key)

    def _context(self, task: Task, value: Any, key: str) -> Context:
        raw = self._raw(value, key)
        return make_context(raw, task.task_id, self._workflow_id, time.time())

    def _decode(self, raw: Any, *, bind: str) -> Any:
        try:
            return self._codec.decode(raw, bind=bind)
        except CorruptCheckpoint as error:
            raise CorruptCheckpoint(str(error), provider=self._name, key=bind) from error

    def _find(self, keys: list[str]) -> Mapping[str, Context]:
        """Return the contexts that exist among those of *keys*."""
        if len(keys) > 1 and self._storage.can("get_many"):
            return self._call(self._storage.get_many, None, keys=keys)  # type: ignore[no-any-return]  # the contract
        found = {key: make_context(self._get(key), "", None, 0) for key in keys}
        return {key: context for key, context in found.items() if context.storage is not None}

    def _get(self, key: str) -> Any:
        found = self._call(self._storage.get, key)
        if found is not None and not isinstance(found, Context):
            raise StorageError(f"get() must return a Context, got {type(found).__name__}", provider=self._name, key=key)
        return None if found is None else found.storage

    def _reread(self, task: Task) -> Any:
        key = self.key(unmasked(task))
        with self.turn:  # an observer off the run's thread may ask
            raw = self._get(key)
        if raw is None:
            raise StorageError(
                "the result is not there any more; another run of this workflow id may have cleared it, "
                "or the storage's ttl is over",
                provider=self._name,
                key=key,
            )
        return self._decode(raw, bind=key)

    def _read_back(self, key: str, task: Task) -> Any:
        raw = self._get(key)
        if raw is None:
            raise StorageError(
                f"get() found nothing right after post() saved the result of {task.task_id!r}; "
                "the storage does not keep what it is given",
                provider=self._name,
                key=key,
            )
        return self._decode(raw, bind=key)

    def _call(self, method: Callable[..., Any], key: str | None, **kwargs: Any) -> Any:
        """Call a storage method, with second tries."""
        if key is not None:
            kwargs["key"] = key
        try:
            return method(**kwargs)
        except Exception as error:  # a third party's method (ADR 0010)
            return self._again(error, method, key, kwargs)

    def _again(self, error: Exception, method: Callable[..., Any], key: str | None, kwargs: dict[str, Any]) -> Any:
        """Try again while the failure may pass, then raise ``StorageError``."""
        if key is not None:
            kwargs["key"] = key
        clock = pace.clock
        tries, until = 0, clock.monotonic() + self._storage.patience
        while True:
            pause = self._pause(error, tries, until)
            if pause is None:
                raise self._blame(error, key) from error
            clock.sleep(pause)
            tries += 1
            try:
                return method(**kwargs)
            except Exception as failed:  # a third party's method (ADR 0010)
                error = failed

    def _pause(self, error: Exception, tries: int, until: float) -> float | None:
        if isinstance(error, PASSING):
            import random

            pause = min(LONGEST_PAUSE, FEW_PAUSES[0] * 2**tries) * random.uniform(0.5, 1)
            return pause if pace.clock.monotonic() + pause < until else None
        if isinstance(error, DotflowError) or tries >= len(FEW_PAUSES):
            return None
        return FEW_PAUSES[tries]

    def _blame(self, error: Exception, key: str | None) -> DotflowError:
        if isinstance(error, DotflowError):
            return error
        return StorageError(f"{type(error).__name__}: {error}", provider=self._name, key=key)


def _misshapen(record: dict[str, Any]) -> str | None:
    """Return the name of a field of a run record that is not of its kind."""
    for name, kind in KINDS.items():
        if name in record and not isinstance(record[name], kind):
            return name
    for each in record.get("sessions", ()):
        if not (isinstance(each, dict) and isinstance(each.get("status"), str) and isinstance(each.get("number"), int)):
            return "sessions"
    return None


def _only_fenced(raw: Any) -> bool:
    return isinstance(raw, dict) and FENCE in raw and raw.get("was") is None


@action
def _nothing() -> None:
    """Stand for the step of a record that belongs to no step."""
