"""The clauses of the storage contract that three methods can keep."""

from __future__ import annotations

import datetime
import decimal
import json
import pathlib
import threading
import uuid
from typing import TYPE_CHECKING, Any

from dotflow.core.action import action
from dotflow.core.codec import Codec
from dotflow.core.context import Context
from dotflow.core.task import Task
from dotflow.testing import storage_works as works
from dotflow.testing.children import FORK, Children, Spec
from dotflow.testing.same import same, short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dotflow.abc.storage import Storage

KILLS = 16  # instants inside one call at which a writer is killed

JSON: tuple[Any, ...] = (
    {"a": [1, 2.5, None, True, {"b": []}]}, [], {}, [[]], [{}], [None], "", 0, 1, -1, 0.0, -0.0, 1.0, True, False,
    2**53 + 1, -(2**63), 2**64, 10**40, 1 - 10**300, 1e308, 5e-324, 0.1 + 0.2, "plain", "ü", "e\u0301", "🦆",
    "\U0010ffff", "nul\0byte", "line\nbreak\r\t\x7f", "\u2028", '"quoted" \\ \'', "<&>%s{}", "null", "1", " ",
    {"": 0}, {"ü🦆": {"\0": [1]}}, {"b": 1, "a": 2}, {"__dotflow__": 0}, ["x" * 1000] * 100, "🦆" * 5000,
    list(range(2000)), json.loads("[" * 100 + "]" * 100),
)  # fmt: skip

ANY: tuple[Any, ...] = (
    None, [None], 0, "", [], {}, False, (), (1, [2]), {1, 2}, frozenset({3}), b"", b"\0\xff" * 50, bytearray(b"x"),
    10**1000, float("inf"), float("nan"), 1 + 2j, "\ud800", {1: "a", None: "b"}, {"__dotflow__": 1, "value": 2},
    datetime.datetime(2026, 11, 24, 20, 31, 5, 123456, tzinfo=datetime.UTC), datetime.date(2026, 2, 28),
    datetime.time(1, 2, 3), datetime.timedelta(days=-1, microseconds=7), decimal.Decimal("1.10"), uuid.UUID(int=7),
    pathlib.PurePosixPath("/a/b"), range(3), [(1, {"k": {b"v"}})], {"value": 1, "check": "x", "other": 3},
)  # fmt: skip

HOSTILE = (
    "..", ".", "../up", "../../../../etc/passwd", "/absolute", "\\\\server\\share", "..\\up", "C:\\x", "a/b", "a\\b",
    "a//b", "a/", "a/../b", "~", "$HOME", "%2e%2e%2f", "%", "_", "'", '"', "`id`", "';--", "'; drop table t; --",
    "\" or \"1\"=\"1", "?", "*", "[a]", "{a}", ":k", "#", "&", "|", "a b", " a", "a ", "a.", ".a", "con", "NUL",
    "aux.json", "A", "a", "ü", "u\u0308", "ß", "ss", "🦆", "日本", "\U0010ffff", "-", "--", "0", "null", "x" * 499,
)  # fmt: skip

ESCAPES = ("../up", "../../up", "/tmp/kit-escape", "a/b", "a/../../b", "..\\up", "..", "./../x", "~/x")


def claim(holds: object, message: str) -> None:
    """Fail the clause with *message* unless *holds*; not an ``assert``, so that ``python -O`` keeps it."""
    if not holds:
        raise AssertionError(message)


@action
def _nothing() -> None:
    """Stand for any step."""


def task(workflow_id: Any, task_id: str) -> Task:
    """Return a task of that name."""
    return Task(task_id, _nothing, workflow_id=workflow_id)


def across_processes(clause: Callable[..., None]) -> Callable[..., None]:
    """Mark a clause that needs storages which processes share."""
    clause.across_processes = True  # type: ignore[attr-defined]  # functions have attributes
    return clause


def together(count: int, work: Callable[[int], None]) -> None:
    """Run ``work(number)`` in *count* threads that begin at once; raise what one of them raised."""
    gate, failures = threading.Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        try:
            gate.wait()
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class ThreeMethods:
    """Clauses for ``post``, ``get`` and ``key``.

    Attributes:
        storage: The client that was made first.
    """

    storage: Storage

    def begin(self, make: Callable[[], Storage], spec: str | None = None, *, one_client: bool = False) -> None:
        """Get ready for one clause. *one_client*: *make* may give another set of data at each call."""
        self.mark = f"kit{uuid.uuid4().hex[:12]}"
        self._make, self._one_client = make, one_client
        self._clients: list[Storage] = []
        self.children = Children(make if spec is None else Spec(spec))
        self.storage = make()
        self._clients.append(self.storage)

    def end(self) -> None:
        """Let go of what the clause used."""
        self.children.close()
        while self._clients:
            self._clients.pop().close()

    def client(self) -> Storage:
        """Return another client on the same data."""
        if self._one_client:
            return self.storage
        self._clients.append(self._make())
        return self._clients[-1]

    def put(self, key: str, value: Any, storage: Storage | None = None) -> None:
        """Save *value* under *key*."""
        (storage or self.storage).post(key=key, context=Context(value, "task", self.mark))

    def expect(self, key: str, value: Any, storage: Storage | None = None, why: str = "") -> None:
        """Fail unless *key* has that value."""
        context = (storage or self.storage).get(key=key)
        claim(isinstance(context, Context), f"get({short(key)}) must return a Context, got {short(context)}")
        claim(
            same(context.storage, value),
            f"get({short(key)}) gave {short(context.storage)} instead of {short(value)}{why and ': '}{why}",
        )

    # -- what is saved ------------------------------------------------------------------------------------

    def test_what_was_saved_is_read(self) -> None:
        """At once, by this client, by another one, and by one that is made after all others are closed."""
        key, value = f"{self.mark}-a", {"n": 1}
        self.put(key, value)
        self.expect(key, value)
        self.expect(key, value, self.client(), "another client reads the same data")
        if not self._one_client:
            self.storage.close()
            self.expect(key, value, self.client(), "it must be there after close()")

    def test_every_json_value_comes_back_equal(self) -> None:
        """Of the same type and equal, whatever JSON can say."""
        for number, value in enumerate(JSON):
            self.put(f"{self.mark}-{number}", value)
        for number, value in enumerate(JSON):
            self.expect(f"{self.mark}-{number}", value)

    def test_a_large_value_comes_back_equal(self) -> None:
        """Three megabytes."""
        value = {"text": "ü0123456789abcde" * 200_000}
        self.put(f"{self.mark}-large", value)
        self.expect(f"{self.mark}-large", value, self.client())

    def test_every_result_comes_back_equal_through_the_codec(self) -> None:
        """As the engine saves it: ``None``, tuples, bytes and the like travel in envelopes."""
        codec = Codec()
        for number, value in enumerate(ANY):
            key = f"{self.mark}-{number}"
            self.put(key, codec.encode(value, bind=key, keeps_objects=self.storage.keeps_objects))
        other = self.client()
        for number, value in enumerate(ANY):
            key = f"{self.mark}-{number}"
            raw = other.get(key=key).storage
            claim(raw is not None, f"the envelope of {short(value)} under {key!r} was not found")
            found = codec.decode(raw, bind=key)
            claim(same(found, value), f"the engine would get {short(found)} instead of {short(value)}")

    def test_an_empty_context_reads_as_missing(self) -> None:
        """Which is how the engine forgets, where there is no ``delete``."""
        key = f"{self.mark}-a"
        self.put(key, [1])
        self.storage.post(key=key, context=Context(None))
        self.expect(key, None)

    def test_the_last_write_wins(self) -> None:
        """Nothing of what was there stays, be it longer or of another type."""
        key, other = f"{self.mark}-a", self.client()
        for value in ({"a": 1, "b": 2}, {"c": 3}, [1, 2, 3], [], "long" * 1000, "s", 0):
            self.put(key, value)
            self.expect(key, value)
            self.expect(key, value, other)
        self.put(key, "theirs", other)
        self.expect(key, "theirs", why="another client saved last")

    def test_what_is_saved_does_not_change_later(self) -> None:
        """A value that its owner changes after ``post`` is kept as it was, where values are copied."""
        if self.storage.keeps_objects:
            return  # the object itself is what was asked for
        key, value = f"{self.mark}-a", [1]
        self.put(key, value)
        value.append(2)
        self.expect(key, [1])
        self.storage.get(key=key).storage.append(3)
        self.expect(key, [1], why="a reader changed what it was given")

    def test_readers_see_old_or_new(self) -> None:
        """While one thread replaces a value, others read whole ones."""
        key = f"{self.mark}-a"
        values = [{"n": n, "fill": str(n) * (1 if n % 2 else 60_000)} for n in range(4)]
        self.put(key, values[0])
        clients = [self.client() for _ in range(3)]
        over = threading.Event()

        def work(me: int) -> None:
            if me:
                while not over.is_set():
                    found = clients[me - 1].get(key=key).storage
                    claim(found in values, f"a reader saw {short(found)}, which nobody saved")
                return
            try:
                for number in range(60):
                    self.put(key, values[number % 4])
            finally:
                over.set()

        together(4, work)

    # -- keys ---------------------------------------------------------------------------------------------

    def test_what_is_missing_is_an_empty_context(self) -> None:
        """Also beside a key that is there, and one it is a part of."""
        self.put(f"{self.mark}-ab", 1)
        for key in (f"{self.mark}-a", f"{self.mark}-abc", f"{self.mark}", f"{self.mark}-AB", f"{self.mark}-a_"):
            self.expect(key, None, why="nothing was saved there")

    def test_keys_do_not_meet(self) -> None:
        """Hostile, unicode, capital and 512-character keys each have a value of their own."""
        keys = [*HOSTILE, *(f"{self.mark}{key}" for key in HOSTILE)]
        keys += [f"{self.mark}{'k' * (511 - len(self.mark))}{end}" for end in "ab"]  # 512 characters
        keys += [f"{self.mark}{'k' * (499 - len(self.mark))}{'ü' * 12}{end}" for end in "ab"]
        for number, key in enumerate(keys):
            self.put(key, [number, key])
        other = self.client()
        for number, key in enumerate(keys):
            self.expect(key, [number, key], other, "two keys share a place")

    def test_the_key_of_a_task_is_its_own(self) -> None:
        """Different for every pair of workflow and task, and a text."""
        ids = ("wf", "wf-1", "wf-1-x", "wf-10", "WF", "wf 1", "wf/1", "wf%2D1", "ü", uuid.UUID(int=5), uuid.UUID(int=6))
        names = ("a", "1-a", "x-a", "1", "A", "-", "a-", "-a", "a-2", "%2D", "0", "a%2D2", "step 1", "ü")
        seen: dict[str, tuple[Any, str]] = {}
        for pair in [(workflow_id, name) for workflow_id in ids for name in names]:
            key = self.storage.key(task=task(*pair))
            claim(type(key) is str and key, f"key() must return a text, got {key!r} for {pair!r}")
            claim(key not in seen, f"the tasks {pair!r} and {seen.get(key)!r} share the key {key!r}")
            seen[key] = pair
            claim(self.client().key(task=task(*pair)) == key, f"two clients have two keys for {pair!r}")

    def test_workflows_whose_ids_share_a_prefix_do_not_meet(self) -> None:
        """Each reads what it saved."""
        pairs = [(f"{self.mark}{end}", name) for end in ("", "-1", "-1-x", "-10", "1") for name in ("a", "1-a", "x-a")]
        for pair in pairs:
            self.put(self.storage.key(task=task(*pair)), list(pair))
        for pair in pairs:
            self.expect(self.storage.key(task=task(*pair)), list(pair))

    @across_processes
    def test_keys_are_the_same_in_every_process(self) -> None:
        """Also in one that was started afresh, with other hash seeds."""
        pairs = [("wf-1", "a"), ("ü", "step 1"), (uuid.UUID(int=5), "a-2")]
        mine = [self.storage.key(task=task(*pair)) for pair in pairs]
        theirs = self.children.start(works.key_of, pairs, method="spawn").result()
        claim(mine == theirs, f"another process has the keys {theirs!r}, this one {mine!r}")

    @across_processes
    def test_no_key_is_a_path(self) -> None:
        """For a hostile key no file is written where none is written for a plain one."""
        plain = [f"{self.mark}-{name}" for name in ("a", "b")]
        hostile = [*(f"{key}{self.mark}" for key in ESCAPES), *(f"{self.mark}{key}" for key in ESCAPES)]
        allowed, found = self.children.start(works.touched, plain, hostile).result()
        for folder in found:
            claim(folder in allowed, f"a hostile key made post() write to {folder!r}; plain keys are in {allowed!r}")

    # -- failures -----------------------------------------------------------------------------------------

    def unreachable(self) -> Storage | None:
        """Return a client whose backend cannot be reached, if you can make one; ``None`` leaves it to the kit."""
        return None

    @across_processes
    def test_unreachable_is_not_missing(self) -> None:
        """With files and sockets blocked, and with your own ``unreachable()``, ``get`` raises or gives the value."""
        key = f"{self.mark}-a"
        self.put(key, [1])
        found = self.children.start(works.without_backend, key).result()
        for name, (kind, value) in found.items():
            right = kind == "error" or value == [1]
            claim(right, f"without its backend, get() of the {name} client gave {value!r}; it must raise")
        try:
            client = self.unreachable()
            if client is None:
                return
            self._clients.append(client)
            value = client.get(key=key).storage
        except Exception:  # any error is the right answer
            return
        raise AssertionError(f"get() of the unreachable client gave {short(value)}; it must raise")

    # -- at the same time ---------------------------------------------------------------------------------

    def test_threads_lose_nothing(self) -> None:
        """Eight threads save at once with one client."""
        rounds = 12

        def work(me: int) -> None:
            for number in range(rounds):
                self.put(f"{self.mark}-{me}-{number}", [me, number])
                self.put(f"{self.mark}-shared", [me, number])
                self.expect(f"{self.mark}-{me}-{number}", [me, number])

        together(8, work)
        for me in range(8):
            for number in range(rounds):
                self.expect(f"{self.mark}-{me}-{number}", [me, number])
        found = self.storage.get(key=f"{self.mark}-shared").storage
        claim(found in [[me, rounds - 1] for me in range(8)], f"the shared key has {found!r}, which nobody saved last")

    @across_processes
    def test_processes_lose_nothing(self) -> None:
        """Four processes save at once."""
        rounds = 12
        children = [self.children.start(works.hammer, self.mark, me, rounds) for me in range(4)]
        for child in children:
            child.hear()
        for child in children:
            child.say("go")
        for child in children:
            child.result()
        for me in range(4):
            for number in range(rounds):
                self.expect(f"{self.mark}-own-{me}-{number}", [me, number])
        found = self.storage.get(key=f"{self.mark}-shared").storage
        last = [[me, rounds - 1, "x" * (100 + me * 500)] for me in range(4)]
        claim(found in last, f"the shared key has {short(found)}, which nobody saved last")

    @across_processes
    def test_another_process_sees_it_at_once(self) -> None:
        """With a client that has read before, and has what it read in no cache."""
        key = f"{self.mark}-a"
        child = self.children.start(works.read_when_told, key)
        claim(child.hear() is None, "a key that nobody saved was found")
        for value in ([1], {"two": 2}, "three"):
            self.put(key, value)
            child.say("read")
            found = child.hear()
            claim(same(found, value), f"another process read {short(found)} after post() of {short(value)} returned")
        child.say(None)
        child.result()

    @across_processes
    def test_it_is_durable_when_post_returns(self) -> None:
        """The writer is killed at that instant."""
        for value in ([1], {"fill": "x" * 100_000}):
            child = self.children.start(works.post_and_vanish, f"{self.mark}-a", value)
            claim(child.left() == [], "the writer outlived its own kill -9")
            self.expect(f"{self.mark}-a", value, why="its writer was killed after post() had returned")

    @across_processes
    def test_a_killed_writer_leaves_old_or_new(self) -> None:
        """The writer is killed at instants all over ``post``; afterwards others can save."""
        key, old, new = f"{self.mark}-a", {"old": "o" * 9000}, {"new": "n" * 20_000}
        for at in self.instants("post", [(f"{key}-try", new)]):
            self.put(key, old)
            child = self.children.start(works.killed_inside, "post", [(key, new)], at)
            saved = "saved" in child.left()
            client = self.client()
            found = client.get(key=key).storage
            allowed = [new] if saved else [old, new]
            claim(found in allowed, f"after kill -9 at instant {at} of post(), get() gave {short(found)}")
            self.put(key, "next", client)
            self.expect(key, "next", why="saved after another writer was killed")

    def instants(self, method: str, items: list[tuple[str, Any]]) -> Sequence[int]:
        """Return where to kill a writer: at instants spread over the whole call."""
        child = self.children.start(works.killed_inside, method, items, 0)
        child.hear()  # ready
        child.hear()  # saved
        count = child.result()
        return sorted({1 + (count - 1) * step // (KILLS - 1) for step in range(KILLS)})

    # -- other processes ----------------------------------------------------------------------------------

    @across_processes
    def test_it_survives_a_fork(self) -> None:
        """Parent and child go on with the client that the parent had open."""
        if FORK != "fork":
            return  # there is none here
        old, new = f"{self.mark}-old", f"{self.mark}-new"
        self.put(old, [1])
        for number in range(2):
            child = self.children.start(works.post_and_read, self.storage, old, f"{new}{number}", number, method="fork")
            self.put(f"{self.mark}-mine", number)
            found = child.result()
            claim(found == [1], f"a forked child read {short(found)} with the parent's client")
            self.expect(f"{new}{number}", number, why="a forked child saved it")
            self.expect(f"{self.mark}-mine", number, why="the parent saved it while its child lived")

    @across_processes
    def test_it_survives_a_spawn(self) -> None:
        """A process that was started afresh makes a client of its own."""
        old, new = f"{self.mark}-old", f"{self.mark}-new"
        self.put(old, ["ü"])
        found = self.children.start(works.post_and_read, None, old, new, {"n": 2}, method="spawn").result()
        claim(found == ["ü"], f"a spawned process read {short(found)}")
        self.expect(new, {"n": 2}, why="a spawned process saved it")

    def test_it_can_be_closed_twice(self) -> None:
        """As the end of a program and the end of a ``with`` may both do."""
        client = self.client()
        self.put(f"{self.mark}-a", 1, client)
        client.close()
        client.close()
