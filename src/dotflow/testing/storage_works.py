"""What the child processes of the storage kit do. Each gets the recipe of a client, and the pipe to the parent."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.testing.children import die

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dotflow.abc.storage import Storage
    from dotflow.testing.children import Talk

    Make = Callable[[], Storage]

FILES = {"open", "os.listdir", "os.scandir", "sqlite3.connect"}
SOCKETS = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg"}
CODE = (".py", ".pyc", ".so", ".pyd", ".zip")
SYSTEM = ("/dev/", "/proc/", "/etc/", "/sys/")


def values_of(storage: Storage, keys: Sequence[str]) -> list[Any]:
    """Return the value under each of *keys*."""
    return [storage.get(key=key).storage for key in keys]


def read(make: Make, talk: Talk, keys: Sequence[str]) -> list[Any]:
    """Return the value under each of *keys*."""
    return values_of(make(), keys)


def read_when_told(make: Make, talk: Talk, key: str) -> None:
    """Read *key* once, and again with the same client each time the parent asks; stop at ``None``."""
    client = make()
    talk.say(client.get(key=key).storage)
    while talk.hear() is not None:
        talk.say(client.get(key=key).storage)


def post_and_read(make: Make, talk: Talk, client: Storage | None, old: str, new: str, value: Any) -> Any:
    """Read *old*, save *value* under *new*, with the parent's own client or a new one."""
    client = client or make()
    found = client.get(key=old).storage
    client.post(key=new, context=Context(value))
    return found


def post_and_vanish(make: Make, talk: Talk, key: str, value: Any) -> None:
    """Save, and be killed as soon as that returns."""
    make().post(key=key, context=Context(value))
    die()


def hammer(make: Make, talk: Talk, mark: str, me: int, rounds: int) -> None:
    """Save *rounds* values of our own and one that all share; read each back."""
    client = make()
    talk.say("ready")
    talk.hear()
    for number in range(rounds):
        key = f"{mark}-own-{me}-{number}"
        client.post(key=key, context=Context([me, number]))
        client.post(key=f"{mark}-shared", context=Context([me, number, "x" * (100 + me * 500)]))
        found = client.get(key=key).storage
        if found != [me, number]:
            raise AssertionError(f"process {me} saved {[me, number]!r} under {key!r} and read {found!r}")


def killed_inside(make: Make, talk: Talk, method: str, items: list[tuple[str, Any]], at: int) -> int:
    """Save, and be killed at event number *at* inside the call (0: never); return how many events there were.

    Python tells a profiler of each call it makes and each return: no chance is involved.
    """
    client, count = make(), 0
    client.post(key=f"{items[0][0]}-warm", context=Context(1))
    pairs = [(key, Context(value)) for key, value in items]

    def tick(*_: object) -> None:
        nonlocal count
        count += 1
        if count == at:
            die()

    talk.say("ready")
    sys.setprofile(tick)
    try:
        if method == "post":
            client.post(key=pairs[0][0], context=pairs[0][1])
        else:
            client.post_many(items=pairs)
    finally:
        sys.setprofile(None)
    talk.say("saved")
    return count


def without_backend(make: Make, talk: Talk, key: str) -> dict[str, Any]:
    """Read *key* while no file can be opened and nobody can be called; return what each client made of it."""
    before, warm = make(), make()
    before.get(key=key)
    warm.get(key=f"{key}-missing")
    warm.close()
    blocked = True

    def block(event: str, args: tuple[Any, ...]) -> None:
        if not blocked:
            return
        if event in SOCKETS:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "blocked by the contract kit")
        name = args[0] if args else None
        if event in FILES and isinstance(name, (str, bytes, os.PathLike)):
            path = os.fsdecode(name)
            if not path.endswith(CODE) and not path.startswith(SYSTEM):
                raise OSError(errno.EIO, "blocked by the contract kit")

    sys.addaudithook(block)
    found: dict[str, Any] = {}
    clients: dict[str, Make] = {"open": lambda: before, "new": make}
    try:
        for name, client in clients.items():
            try:
                found[name] = ("value", client().get(key=key).storage)
            except Exception as error:  # any error is the right answer
                found[name] = ("error", type(error).__name__)
    finally:
        blocked = False
    return found


def touched(make: Make, talk: Talk, plain: Sequence[str], hostile: Sequence[str]) -> tuple[list[str], list[str]]:
    """Save under each key; return the folders written to for the plain keys, and for the hostile ones."""
    folders: set[str] = set()

    def note(event: str, args: tuple[Any, ...]) -> None:
        folders.update(_written(event, args))

    client = make()
    sys.addaudithook(note)
    groups = []
    for keys in (plain, hostile):
        folders.clear()
        for key in keys:
            client.post(key=key, context=Context(key))
        groups.append(sorted(folders))
    return groups[0], groups[1]


def _written(event: str, args: tuple[Any, ...]) -> Iterator[str]:
    paths: tuple[Any, ...] = ()
    if event == "open":
        path, mode, flags = args[:3]
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or (isinstance(mode, str) and set(mode) & set("wax+")):
            paths = (path,)
    elif event in ("os.rename", "os.link", "os.symlink"):
        paths = args[1:2]
    elif event in ("os.mkdir", "sqlite3.connect"):
        paths = args[:1]
    for path in paths:
        if isinstance(path, (str, bytes, os.PathLike)):
            text = os.fsdecode(path)
            if not text.endswith(CODE) and not text.startswith(SYSTEM):
                yield os.path.realpath(os.path.dirname(os.path.abspath(text)))


def create(make: Make, talk: Talk, key: str, me: int) -> bool:
    """Create *key* at the word of the parent."""
    client = make()
    client.get(key=key)
    talk.say("ready")
    talk.hear()
    return client.create(key=key, context=Context(me))


def count_by_swapping(make: Make, talk: Talk, key: str, rounds: int) -> None:
    """Add 1 to *key*, *rounds* times."""
    client = make()
    for _ in range(rounds):
        swap_up(client, key)


def swap_up(client: Storage, key: str) -> None:
    """Add 1 to *key* by comparing and swapping."""
    for _ in range(10_000):
        value = client.get(key=key).storage
        if client.atomic_swap(key=key, expected=value, new=(value or 0) + 1):
            return
    raise AssertionError("atomic_swap() refused 10,000 times in a row")


def count_under_lock(make: Make, talk: Talk, workflow_id: str, key: str, rounds: int) -> None:
    """Add 1 to *key*, *rounds* times, as the leader of *workflow_id*."""
    client = make()
    for _ in range(rounds):
        release = client.lock(workflow_id, wait=50)
        client.post(key=key, context=Context((client.get(key=key).storage or 0) + 1))
        release()


def hold(make: Make, talk: Talk, workflow_id: str) -> None:
    """Become the leader and stay it until the parent speaks, or kills."""
    release = make().lock(workflow_id, wait=0)
    talk.say("held")
    talk.hear()
    release()


def key_of(make: Make, talk: Talk, names: Sequence[tuple[Any, str]]) -> list[str]:
    """Return the key of each task."""
    from dotflow.testing.storage_clauses import task

    client = make()
    return [client.key(task=task(*name)) for name in names]
