"""The clauses of the optional abilities: each is kept, or its absence is told by ``MissingAbility``."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import MissingAbility, WorkflowBusy
from dotflow.testing import storage_works as works
from dotflow.testing.same import short
from dotflow.testing.storage_clauses import ThreeMethods, across_processes, claim, task, together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CALLS: dict[str, Callable[[Storage], Any]] = {
    "get_many": lambda storage: storage.get_many(["k"]),
    "post_many": lambda storage: storage.post_many([("k", Context(1))]),
    "delete": lambda storage: storage.delete("k"),
    "delete_prefix": lambda storage: storage.delete_prefix("k"),
    "list_keys": lambda storage: storage.list_keys("k"),
    "clear": lambda storage: storage.clear("w"),
    "create": lambda storage: storage.create("k", Context(1)),
    "atomic_swap": lambda storage: storage.atomic_swap("k", None, 1),
    "lock": lambda storage: storage.lock("w"),
    "healthcheck": lambda storage: storage.healthcheck(),
}


class Abilities(ThreeMethods):
    """Clauses for what a storage may have besides the three methods."""

    absent: Sequence[str] = ()

    def about(self, *abilities: str) -> bool:
        """Whether the clause that runs has something to try: it is about *abilities*, all of which the storage has."""
        if self.has(*abilities):
            return True
        self.absent = [ability for ability in abilities if not self.storage.can(ability)]
        return False

    def has(self, *abilities: str) -> bool:
        """Whether the storage has all of *abilities*; calling one that it lacks must say which."""
        lacking = [ability for ability in abilities if not self.storage.can(ability)]
        for ability in lacking:
            try:
                answer = CALLS[ability](self.storage)
            except MissingAbility as error:
                claim(error.method == ability, f"{ability}() is missing, and the error names {error.method!r}")
            else:
                raise AssertionError(f"{ability}() is missing, and gave {answer!r} instead of MissingAbility")
        return not lacking

    # -- several at once ----------------------------------------------------------------------------------

    def test_get_many_gives_those_that_exist(self) -> None:
        """As ``get`` does, one by one."""
        if not self.about("get_many"):
            return
        keys = [f"{self.mark}-{number}" for number in range(300)]
        for number in range(0, 300, 3):
            self.put(keys[number], [number])
        found = self.storage.get_many(keys=keys)
        wrong = {key for key in keys if (key in found) != (int(key.rpartition("-")[2]) % 3 == 0)}
        claim(not wrong, f"get_many() has the wrong keys: {short(sorted(wrong))}")
        for number in range(0, 300, 3):
            value = found[keys[number]].storage
            claim(value == [number], f"get_many() has {value!r} under {keys[number]!r} instead of {[number]!r}")
        claim(not self.storage.get_many(keys=[]), "get_many([]) found something")

    def test_post_many_saves_all(self) -> None:
        """Of two values for one key the last; each is read by other clients."""
        if not self.about("post_many"):
            return
        items = [(f"{self.mark}-{number}", Context({"n": number}, "t", self.mark)) for number in range(50)]
        self.storage.post_many(items=[(items[0][0], Context("first")), *items])
        other = self.client()
        for number, (key, _) in enumerate(items):
            self.expect(key, {"n": number}, other)
        self.storage.post_many(items=[])

    def test_post_many_refuses_all_for_one(self) -> None:
        """A value that is no JSON keeps the others from being saved."""
        if not self.about("post_many") or self.storage.keeps_objects:
            return
        keys = [f"{self.mark}-{name}" for name in "abc"]
        self.put(keys[0], "old")
        try:
            self.storage.post_many(items=[(keys[0], Context(1)), (keys[1], Context(object())), (keys[2], Context(3))])
        except Exception:  # which one is the provider's choice
            pass
        else:
            raise AssertionError("post_many() took an object that is no JSON")
        for key, value in zip(keys, ("old", None, None), strict=True):
            self.expect(key, value, why="post_many() failed, so nothing of it may be there")

    @across_processes
    def test_a_killed_post_many_saves_all_or_nothing(self) -> None:
        """The writer is killed at instants all over ``post_many``."""
        if not self.about("post_many"):
            return
        keys = [f"{self.mark}-{number}" for number in range(5)]
        new = [(key, {"new": key, "fill": "n" * 3000}) for key in keys]
        for at in self.instants("post_many", new):
            for key in keys:
                self.put(key, "old")
            child = self.children.start(works.killed_inside, "post_many", new, at)
            saved = "saved" in child.left()
            client = self.client()
            client.post(key=f"{self.mark}-next", context=Context(1))  # a batch may be finished by the next writer
            found = works.values_of(client, keys)
            whole = [value for _, value in new]
            allowed = found == whole or (not saved and found == ["old"] * 5)
            claim(allowed, f"after kill -9 at instant {at} of post_many(), there is {short(found)}")

    # -- removing -----------------------------------------------------------------------------------------

    def test_delete_tells_whether_it_was_there(self) -> None:
        """And removes this key alone, for every client."""
        if not self.about("delete"):
            return
        key, other = f"{self.mark}-a", f"{self.mark}-ab"
        self.put(key, 1)
        self.put(other, 2)
        claim(self.storage.delete(key=key) is True, "delete() of a key that was there must return True")
        claim(self.storage.delete(key=key) is False, "delete() of a key that was gone must return False")
        self.expect(key, None, self.client(), "it was deleted")
        self.expect(other, 2, self.client(), "another key was deleted")
        self.put(key, "again")
        self.expect(key, "again")

    def test_delete_prefix_removes_what_begins_with_it(self) -> None:
        """And nothing else, whatever the characters mean to the backend."""
        if not self.about("delete_prefix"):
            return
        mark = self.mark
        for start in ("p_", "p%", "p*", "p[a]", "p-"):
            self.put(f"{mark}{start}1", 1)
            self.put(f"{mark}{start}2", 2)
        others = {f"{mark}px1": 3, f"{mark.upper()}P_1": 4, f"x{mark}p_1": 5}
        for key, value in others.items():
            self.put(key, value)
        for start in ("p_", "p%", "p*", "p[a]", "p-"):
            count = self.storage.delete_prefix(f"{mark}{start}")
            claim(count == 2, f"delete_prefix({start!r}) removed 2 keys and returned {count!r}")
            self.expect(f"{mark}{start}1", None)
            self.expect(f"{mark}{start}2", None)
        for key, value in others.items():
            self.expect(key, value, why="delete_prefix() removed a key that does not begin with the prefix")
        claim(self.storage.delete_prefix(f"{mark}p_") == 0, "delete_prefix() of nothing must return 0")

    def test_the_empty_prefix_is_refused(self) -> None:
        """It would remove everything."""
        if not self.about("delete_prefix"):
            return
        self.put(f"{self.mark}-a", 1)
        try:
            self.storage.delete_prefix("")
        except ValueError:
            self.expect(f"{self.mark}-a", 1)
            return
        raise AssertionError('delete_prefix("") must raise ValueError')

    def test_list_keys_gives_what_begins_with_the_prefix(self) -> None:
        """Keys as they were saved, each once, whatever the characters mean to the backend."""
        if not self.about("list_keys"):
            return
        ends = ("a", "a_b", "axb", "a%b", "a*", "a[b]", "ü", "🦆", "/b", "..", "A", " ", "'", "k" * 400)
        keys = [f"{self.mark}-{end}" for end in ends]
        for key in keys:
            self.put(key, 1)
            self.put(key, 2)
        for prefix in (self.mark, *keys):
            found = list(self.client().list_keys(prefix))
            wanted = [key for key in keys if key.startswith(prefix)]
            claim(sorted(found) == sorted(wanted), f"list_keys({prefix!r}) gave {short(found)}, not {short(wanted)}")
        claim(set(keys) <= set(self.storage.list_keys()), "list_keys() must give every key")

    def test_list_keys_does_not_give_what_was_deleted(self) -> None:
        """Also after the key was saved again, and deleted again."""
        if not self.about("list_keys", "delete"):
            return
        key, other = f"{self.mark}-a", f"{self.mark}-b"
        self.put(other, 1)
        for _ in range(2):
            self.put(key, 1)
            claim(sorted(self.storage.list_keys(self.mark)) == [key, other], "list_keys() must give both keys")
            self.storage.delete(key=key)
            claim(list(self.client().list_keys(self.mark)) == [other], "list_keys() gave a deleted key")

    def test_clear_removes_one_workflow_and_no_other(self) -> None:
        """Ids that share a prefix, that are UUIDs, or that mean something to the backend."""
        if not self.about("clear"):
            return
        ends = ("", "-1", "-1-x", "-10", "1", "_1", "%", "*", "[a]", "-%2D", "A", "ü")
        ids: list[Any] = [f"{self.mark}{end}" for end in ends] + [uuid.uuid4(), uuid.uuid4()]
        left = {}
        for workflow_id in ids:
            for name in ("a", "1-a", "x-a", "_dotflow_run"):
                left[self.storage.key(task=task(workflow_id, name))] = workflow_id
        for key in left:
            self.put(key, key)
        for gone in ids:
            self.storage.clear(workflow_id=gone)
            for key, workflow_id in list(left.items()):
                if workflow_id == gone:
                    self.expect(key, None, why=f"clear({str(gone)!r}) must remove it")
                    del left[key]
                else:
                    self.expect(key, key, why=f"clear({str(gone)!r}) removed a key of {str(workflow_id)!r}")
        self.storage.clear(workflow_id=self.mark)

    # -- looking before writing ---------------------------------------------------------------------------

    def test_create_saves_once(self) -> None:
        """A key that is there stays as it is."""
        if not self.about("create"):
            return
        key, other = f"{self.mark}-a", self.client()
        claim(self.storage.create(key=key, context=Context([1], "t", self.mark)) is True, "create() must return True")
        self.expect(key, [1], other)
        claim(other.create(key=key, context=Context([2])) is False, "create() of a key that is there must return False")
        self.expect(key, [1], why="create() replaced it")
        if self.has("delete"):
            self.storage.delete(key=key)
            claim(other.create(key=key, context=Context([3])) is True, "create() after delete() must return True")

    def test_of_threads_that_create_one_wins(self) -> None:
        """Eight at once; what is saved is the winner's."""
        if not self.about("create"):
            return
        for number in range(8):
            key, winners = f"{self.mark}-{number}", list[int]()

            def work(me: int, key: str = key, winners: list[int] = winners) -> None:
                if self.storage.create(key=key, context=Context(me)):
                    winners.append(me)

            together(8, work)
            claim(len(winners) == 1, f"of eight threads that created one key, {len(winners)} won")
            self.expect(key, winners[0], why="it must be what the winner saved")

    @across_processes
    def test_of_processes_that_create_one_wins(self) -> None:
        """Four at once."""
        if not self.about("create"):
            return
        for number in range(3):
            key = f"{self.mark}-{number}"
            children = [self.children.start(works.create, key, me) for me in range(4)]
            for child in children:
                child.hear()
            for child in children:
                child.say("go")
            winners = [me for me, child in enumerate(children) if child.result()]
            claim(len(winners) == 1, f"of four processes that created one key, {len(winners)} won")
            self.expect(key, winners[0], why="it must be what the winner saved")

    def test_atomic_swap_compares(self) -> None:
        """The value, where ``None`` stands for a missing key; a refusal changes nothing."""
        if not self.about("atomic_swap"):
            return
        key, storage = f"{self.mark}-a", self.storage

        def swap(expected: Any, new: Any) -> bool:
            return storage.atomic_swap(key=key, expected=expected, new=new)

        claim(swap(1, 2) is False, "atomic_swap() of a missing key that expects a value must return False")
        self.expect(key, None)
        claim(swap(None, {"n": [1]}) is True, "atomic_swap() of a missing key that expects None must return True")
        self.expect(key, {"n": [1]}, self.client())
        for wrong in (None, {"n": [2]}, {}, "x"):
            claim(swap(wrong, "wrong") is False, f"atomic_swap() took {wrong!r} for {{'n': [1]}}")
            self.expect(key, {"n": [1]}, why="a refused atomic_swap() changed it")
        claim(swap({"n": [1]}, "ü") is True, "atomic_swap() must take an equal value")
        claim(swap("ü", Context("as a context")) is True, "atomic_swap() must take a Context as the new value")
        self.expect(key, "as a context", self.client())
        if self.has("delete"):
            storage.delete(key=key)
            claim(swap(None, 0) is True, "atomic_swap() after delete() must find nothing")

    def test_threads_that_swap_lose_nothing(self) -> None:
        """Four count to 40 together."""
        if not self.about("atomic_swap"):
            return
        key = f"{self.mark}-a"

        def work(_: int) -> None:
            for _round in range(10):
                works.swap_up(self.storage, key)

        together(4, work)
        self.expect(key, 40, why="threads counted by atomic_swap()")

    @across_processes
    def test_processes_that_swap_lose_nothing(self) -> None:
        """Four count to 60 together."""
        if not self.about("atomic_swap"):
            return
        key = f"{self.mark}-a"
        children = [self.children.start(works.count_by_swapping, key, 15) for _ in range(4)]
        for child in children:
            child.result()
        self.expect(key, 60, why="processes counted by atomic_swap()")

    # -- locks --------------------------------------------------------------------------------------------

    def test_one_leads(self) -> None:
        """Until it gives that up; another workflow has another leader."""
        if not self.about("lock"):
            return
        other = self.client()
        release = self.storage.lock(self.mark)
        try:
            self._refused(other, self.mark)
            self._refused(self.storage, self.mark)
            other.lock(f"{self.mark}-1")()
        finally:
            release()
        other.lock(self.mark)()
        release()
        again = other.lock(self.mark, wait=10)
        release()  # of a lead that was given up, and is another's now
        self._refused(self.storage, self.mark)
        again()

    def test_who_waits_gets_the_lead(self) -> None:
        """As soon as it is given up."""
        if not self.about("lock"):
            return
        release = self.storage.lock(self.mark)
        got: list[Callable[[], None]] = []
        waiter = threading.Thread(target=lambda: got.append(self.storage.lock(self.mark, wait=30)))
        waiter.start()
        release()
        waiter.join()
        claim(got, "lock(wait=30) did not get a lead that was given up")
        got[0]()

    @across_processes
    def test_processes_lead_one_after_the_other(self) -> None:
        """Three count to 12 together."""
        if not self.about("lock"):
            return
        key = f"{self.mark}-a"
        children = [self.children.start(works.count_under_lock, self.mark, key, 4) for _ in range(3)]
        for child in children:
            child.result()
        self.expect(key, 12, why="processes counted under lock()")

    @across_processes
    def test_a_killed_leader_holds_nothing(self) -> None:
        """While it lives, it does."""
        if not self.about("lock"):
            return
        child = self.children.start(works.hold, self.mark)
        child.hear()
        self._refused(self.storage, self.mark)
        child.kill()
        self.storage.lock(self.mark, wait=50)()

    def _refused(self, storage: Storage, workflow_id: str) -> None:
        try:
            storage.lock(workflow_id)()
        except WorkflowBusy as error:
            claim(str(workflow_id) in str(error), f"WorkflowBusy must name {workflow_id!r}: {error}")
            return
        raise AssertionError(f"lock({workflow_id!r}) was given twice")

    # -- the rest -----------------------------------------------------------------------------------------

    def test_healthcheck_is_content(self) -> None:
        """With a storage that works, and changes nothing in it."""
        if not self.about("healthcheck"):
            return
        self.client().healthcheck()
        self.put(f"{self.mark}-a", 1)
        self.storage.healthcheck()
        self.expect(f"{self.mark}-a", 1)
        if self.storage.can("list_keys"):
            claim(list(self.storage.list_keys(self.mark)) == [f"{self.mark}-a"], "healthcheck() left a key")

    def test_what_is_left_out_is_named(self) -> None:
        """Every optional method that the class does not have raises ``MissingAbility`` with its name."""
        for ability in CALLS:
            self.has(ability)
