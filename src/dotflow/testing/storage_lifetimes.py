"""The clause of the time to live: what has ended is absent to every method."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.core.exception import MissingAbility
from dotflow.testing.storage_abilities import Abilities
from dotflow.testing.storage_clauses import claim

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 600.0  # seconds, which no test takes
PATIENCE = 1.5  # seconds by which an end may be late
WHY = "its ttl is over"


class TimeToLive(Abilities):
    """The clause for storages that let a key end."""

    supports_ttl: bool | None = None
    shortest_ttl: float = 0.3

    def test_a_time_to_live_ends(self) -> None:
        """Then the key is absent to every method; a write without a ttl, or with another, ends the one before."""
        if self.supports_ttl is False or not self._takes_ttl():
            return
        self._post_with_ttl()
        self._create_with_ttl()
        self._swap_with_ttl()
        self._wait_for_the_end()
        for key in self._ended:
            self.expect(key, None, self.client(), WHY)
        for key, value in self._stay.items():
            self.expect(key, value, why="its ttl was replaced, or is long")
        self._write_where_something_ended()
        self._look_at_many()

    def _takes_ttl(self) -> bool:
        self._ended: list[str] = []
        self._stay: dict[str, Any] = {}
        storage: Any = self.storage
        try:
            storage.post(key=self._key("post"), context=Context("ends"), ttl=self.shortest_ttl)
        except (TypeError, MissingAbility) as error:  # an option that is not honoured is refused
            claim(self.supports_ttl is None, "supports_ttl = True, and post() takes no ttl")
            claim(not storage.can("ttl"), 'can("ttl") is True, and post() takes no ttl')
            named = error.method == "ttl" if isinstance(error, MissingAbility) else True
            claim(named, f"post(ttl=) is missing, and the error names another ability: {error}")
            self.absent = ["post(ttl=)"]
            return False
        self._ended.append(self._key("post"))
        return True

    def _post_with_ttl(self) -> None:
        storage: Any = self.storage
        plan: dict[str, Sequence[float | None]] = {
            "over-it": (self.shortest_ttl, None),
            "longer": (self.shortest_ttl, LONG),
            "long": (LONG,),
            "shorter": (LONG, self.shortest_ttl),
            "at-last": (None, self.shortest_ttl),
            "p-ends": (self.shortest_ttl,),
            "p-stays": (None,),
        }
        for name, each in plan.items():
            for number, ttl in enumerate(each):
                more = {} if ttl is None else {"ttl": ttl}
                storage.post(key=self._key(name), context=Context([name, number]), **more)
            if each[-1] == self.shortest_ttl:
                self._ended.append(self._key(name))
            else:
                self._stay[self._key(name)] = [name, len(each) - 1]

    def _create_with_ttl(self) -> None:
        storage: Any = self.storage
        if not self.has("create"):
            return
        key, long = self._key("create"), self._key("create-long")
        claim(
            storage.create(key=key, context=Context(1), ttl=self.shortest_ttl) is True, "create(ttl=) must return True"
        )
        claim(storage.create(key=long, context=Context(2), ttl=LONG) is True, "create(ttl=) must return True")
        claim(storage.create(key=long, context=Context(3), ttl=LONG) is False, "create(ttl=) must return False")
        self._ended.append(key)
        self._stay[long] = 2

    def _swap_with_ttl(self) -> None:
        storage: Any = self.storage
        if not self.has("atomic_swap"):
            return

        def swap(name: str, expected: Any, new: Any, **more: float) -> bool:
            return bool(storage.atomic_swap(key=self._key(name), expected=expected, new=new, **more))

        claim(swap("swap", None, 1, ttl=self.shortest_ttl), "atomic_swap(ttl=) of a missing key must return True")
        claim(swap("swap-2", None, 1, ttl=LONG), "atomic_swap(ttl=) of a missing key must return True")
        claim(swap("swap-2", 1, 2, ttl=self.shortest_ttl), "atomic_swap(ttl=) must take an equal value")
        self._ended += [self._key("swap"), self._key("swap-2")]
        for _ in range(100):  # on a busy machine it may end before it is swapped
            storage.post(key=self._key("swap-3"), context=Context(1), ttl=self.shortest_ttl)
            if swap("swap-3", 1, 2):
                break
        self._stay[self._key("swap-3")] = 2

    def _wait_for_the_end(self) -> None:
        storage: Any = self.storage
        last = self._key("last")  # when it is gone, the time of the others is over too
        storage.post(key=last, context=Context("last"), ttl=self.shortest_ttl)
        until = time.monotonic() + self.shortest_ttl + PATIENCE
        while storage.get(key=last).storage is not None and time.monotonic() < until:
            time.sleep(0.02)
        self._ended.append(last)

    def _write_where_something_ended(self) -> None:
        """Each of these finds nothing; what it writes has no end."""
        storage: Any = self.storage
        if self.has("create"):
            again = self._key("create")
            claim(storage.create(key=again, context=Context("again")) is True, f"create() must return True: {WHY}")
            self._ended.remove(again)
            self._stay[again] = "again"
        if self.has("atomic_swap"):
            swap, key = storage.atomic_swap, self._key("swap-2")
            claim(swap(key=key, expected=2, new=3) is False, f"atomic_swap() compared with what was there: {WHY}")
            claim(swap(key=key, expected=None, new=4) is True, f"atomic_swap() must find nothing: {WHY}")
            self._ended.remove(key)
            self._stay[key] = 4
        if self.has("delete"):
            claim(storage.delete(key=self._key("post")) is False, f"delete() must return False: {WHY}")
        if self.has("delete_prefix"):
            count = storage.delete_prefix(self._key("p-"))
            claim(count == 1, f"delete_prefix() removed one key, counted what had ended, and returned {count!r}")
            del self._stay[self._key("p-stays")]

    def _look_at_many(self) -> None:
        storage = self.storage
        if self.has("get_many"):
            found = storage.get_many(keys=[*self._ended, *self._stay])
            claim(set(found) == set(self._stay), f"get_many() gave {sorted(found)}, not {sorted(self._stay)}")
        if self.has("list_keys"):
            for _ in range(2):
                listed = sorted(storage.list_keys(self.mark))
                claim(listed == sorted(self._stay), f"list_keys() gave {listed}, not {sorted(self._stay)}")
        for key, value in self._stay.items():
            self.expect(key, value, self.client(), "it has not ended")

    def _key(self, name: str) -> str:
        return f"{self.mark}-{name}"
