"""Storages that break the contract, one way each."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storages import StorageFolder

from dotflow import Context, Task
from dotflow.providers import StorageFile, StorageSQLite
from dotflow.providers._saved import key_of, read_ending


class Right(StorageFile):
    """Keeps the contract."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(path=folder)


class TearsWrites(StorageFolder):
    def post(self, key: str, context: Context) -> None:
        text = json.dumps(context.storage)
        with self.place(key).open("w") as file:
            file.write(text[:5])
            file.flush()
            file.write(text[5:])


class FirstWriteWins(StorageFolder):
    def post(self, key: str, context: Context) -> None:
        if not self.place(key).exists():
            super().post(key, context)


class Shouts(StorageFolder):
    """Takes capital for small letters, so that another key's value is returned."""

    def place(self, key: str) -> Path:
        return super().place(key.lower())


class CutsKeys(StorageFolder):
    def place(self, key: str) -> Path:
        return super().place(key[:255])


class DropsUnicode(StorageFolder):
    def post(self, key: str, context: Context) -> None:
        text = json.dumps(context.storage, ensure_ascii=False).encode("ascii", "replace")
        super().post(key, Context(json.loads(text)))


class CountsInFloats(StorageFolder):
    def get(self, key: str) -> Context:
        place = self.place(key)
        return Context(json.loads(place.read_text(), parse_int=lambda text: int(float(text)) if len(text) < 300 else 0)
                       if place.exists() else None)  # fmt: skip


class LosesEmptyOnes(StorageFolder):
    def get(self, key: str) -> Context:
        return Context(super().get(key).storage or None)


class KeepsAReference(StorageFolder):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.seen: dict[str, Any] = {}

    def post(self, key: str, context: Context) -> None:
        super().post(key, context)
        self.seen[key] = context.storage

    def get(self, key: str) -> Context:
        """Answer from a cache that no other client keeps up to date."""
        if key not in self.seen:
            self.seen[key] = super().get(key).storage
        return Context(self.seen[key])


class CallsItMissing(StorageFolder):
    def get(self, key: str) -> Context:
        try:
            return super().get(key)
        except OSError:
            return Context()


class SavesLater(StorageFolder):
    """Saves when it is closed, or in the next call."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.waiting: dict[str, Context] = {}

    def post(self, key: str, context: Context) -> None:
        self.waiting[key] = context

    def get(self, key: str) -> Context:
        return self.waiting.get(key) or super().get(key)

    def close(self) -> None:
        for key, context in self.waiting.items():
            super().post(key, context)
        self.waiting.clear()


class ForgetsOnReopen(StorageFolder):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        for path in self.folder.iterdir():
            path.unlink()


class Escapes(StorageFolder):
    def place(self, key: str) -> Path:
        try:
            place = Path(os.path.normpath(self.folder / key))
            if len(key) < 200 and place != self.folder and not place.is_dir():
                place.parent.mkdir(parents=True, exist_ok=True)
                return place
        except OSError:
            pass
        return super().place(key)


class OneKeyForTwoTasks(StorageFolder):
    def key(self, task: Task) -> Any:
        return f"{task.workflow_id}-{task.task_id}"


class AnotherKeyInEachProcess(StorageFolder):
    def key(self, task: Task) -> Any:
        return f"{task.workflow_id}:{task.task_id}:{hash(str(task.task_id))}"


class SharesOnePart(StorageFolder):
    """Two writers write into one file that is not theirs alone."""

    def post(self, key: str, context: Context) -> None:
        part = self.folder / ".part"
        part.write_text(json.dumps(context.storage))
        time.sleep(0.001)
        part.replace(self.place(key))


class LosesUpdates(StorageFolder):
    """Keeps everything in one file, which it reads and writes without a lock."""

    def post(self, key: str, context: Context) -> None:
        found = self.all()
        found[key] = context.storage
        time.sleep(0.001)
        super().post("all", Context(found))

    def get(self, key: str) -> Context:
        return Context(self.all().get(key))

    def all(self) -> dict[str, Any]:
        return super().get("all").storage or {}


class LosesUnderThreads(Right):
    """Is not made for threads."""

    def post(self, key: str, context: Context) -> None:
        self.current = (key, context)
        time.sleep(0.001)
        super().post(*self.current)


class HoldsALockForEver(StorageFolder):
    """A writer that is killed leaves its lock."""

    def post(self, key: str, context: Context) -> None:
        lock = self.folder / ".lock"
        for _ in range(200):
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                time.sleep(0.002)
        else:
            raise TimeoutError("locked")
        super().post(key, context)
        lock.unlink()


class BelongsToOneProcess(StorageFolder):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.owner = os.getpid()

    def get(self, key: str) -> Context:
        if os.getpid() != self.owner:
            raise ConnectionError("the connection belongs to another process")
        return super().get(key)


class CannotCloseTwice(StorageFolder):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self.file = os.open(self.folder, os.O_RDONLY)
        self.closed = False

    def close(self) -> None:
        if self.closed:
            raise ValueError("closed already")
        self.closed = True
        os.close(self.file)


class NamesNothing(StorageFolder):
    def delete(self, key: str) -> bool:
        raise NotImplementedError

    def can(self, ability: str) -> bool:
        return ability != "delete" and super().can(ability)


# -- optional abilities ---------------------------------------------------------------------------------------


class ClearsTooMuch(Right):
    def clear(self, workflow_id: Any) -> None:
        self.delete_prefix(f"{workflow_id}-")


class ClearsTooLittle(Right):
    def clear(self, workflow_id: Any) -> None:
        known = [key for key in self.list_keys(f"{workflow_id}-") if "_dotflow" not in key]
        for key in known:
            super().delete(key)


class MatchesLikeSql(StorageSQLite):
    def __init__(self, folder: str | Path) -> None:
        Path(folder).mkdir(exist_ok=True)
        super().__init__(Path(folder) / "data.db")

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        with self._database.use() as connection:
            return [key for (key,) in connection.execute("select key from dotflow_contexts where key like ?",
                                                         (f"{prefix}%",)).fetchall()]  # fmt: skip

    def delete_prefix(self, prefix: str) -> int:
        if not prefix:
            raise ValueError("empty")
        return self._database.change("delete from dotflow_contexts where key like ?", (f"{prefix}%",))


class ListsDeletedKeys(Right):
    def delete(self, key: str) -> bool:
        there = super().get(key).storage is not None
        self.post(key, Context(None))
        return there


class TakesTheEmptyPrefix(Right):
    def delete_prefix(self, prefix: str) -> int:
        return self._folder.remove(lambda: self.list_keys(prefix))


class SaysItWasThere(Right):
    def delete(self, key: str) -> bool:
        super().delete(key)
        return True


class CreatesWithTwoWinners(Right):
    def create(self, key: str, context: Context) -> bool:
        if self.get(key).storage is not None:
            return False
        time.sleep(0.02)
        self.post(key, context)
        return True


class CreatesWithTwoWinningProcesses(Right):
    """Threads exclude each other, processes do not."""

    mutex = threading.Lock()

    def create(self, key: str, context: Context) -> bool:
        with self.mutex:
            if self.get(key).storage is not None:
                return False
            time.sleep(0.02)
            self.post(key, context)
            return True


class CreatesOverTheOld(Right):
    def create(self, key: str, context: Context) -> bool:
        made = super().create(key, context)
        self.post(key, context)
        return made


class SwapsWithoutComparing(Right):
    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        self.post(key, new if isinstance(new, Context) else Context(new))
        return True


class SwapsAfterLooking(Right):
    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        if self.get(key).storage != expected:
            return False
        time.sleep(0.001)
        self.post(key, new if isinstance(new, Context) else Context(new))
        return True


class SwapsAfterLookingInProcesses(SwapsAfterLooking):
    mutex = threading.Lock()

    def atomic_swap(self, key: str, expected: Any, new: Any) -> bool:
        with self.mutex:
            return super().atomic_swap(key, expected, new)


class PostsOneByOne(Right):
    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        for key, context in items:
            self.post(key, context)


class PostsOneByOneAfterLooking(PostsOneByOne):
    """Refuses what is no JSON first, so that only a crash tells."""

    def post_many(self, items: Sequence[tuple[str, Context]]) -> None:
        for _, context in items:
            json.dumps(context.storage)
        super().post_many(items)


class GetsManyThatAreMissing(Right):
    def get_many(self, keys: Sequence[str]) -> Mapping[str, Context]:
        return {key: self.get(key) for key in keys}


class LocksNothing(Right):
    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        return lambda: None


class LocksForEver(Right):
    """A leader that was killed leads on."""

    def lock(self, workflow_id: Any, wait: float = 0.0) -> Callable[[], None]:
        from dotflow.core.exception import WorkflowBusy

        until = time.monotonic() + min(wait, 0.5)
        while not self.create(f"lock {workflow_id}", Context(os.getpid())):
            if time.monotonic() > until:
                raise WorkflowBusy(workflow_id, "somebody")
            time.sleep(0.002)
        mine = [True]

        def release() -> None:
            if mine:
                mine.clear()
                self.delete(f"lock {workflow_id}")

        return release


class IsNeverHealthy(Right):
    def healthcheck(self) -> None:
        self.post("healthcheck", Context(1))
        raise ConnectionError("down")


class IgnoresTheTtl(Right):
    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        super().post(key, context)


class KeepsTheOldTtl(Right):
    """As ``SET ... KEEPTTL`` does."""

    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        place = self._folder._place(key)
        end = read_ending(Path(place).read_bytes(), "", place, key)[2] if os.path.exists(place) else None
        left = None if end is None else max(end - time.time(), 1e-6)
        super().post(key, context, left if ttl is None else ttl)


class ListsWhatHasEnded(Right):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        vars(self._folder)["_remove_ended"] = lambda: None

    def list_keys(self, prefix: str = "") -> Iterable[str]:
        found = [key_of(name) for name in os.listdir(self._folder._tasks) if not name.startswith(".")]
        return [key for key in found if key is not None and key.startswith(prefix)]


class CreatesNothingWhereSomethingEnded(Right):
    def create(self, key: str, context: Context, ttl: float | None = None) -> bool:
        return not os.path.exists(self._folder._place(key)) and super().create(key, context, ttl)


class SwapsForEver(Right):
    def atomic_swap(self, key: str, expected: Any, new: Any, ttl: float | None = None) -> bool:
        return super().atomic_swap(key, expected, new)
