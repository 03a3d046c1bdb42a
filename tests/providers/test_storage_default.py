"""StorageDefault: contexts in memory."""

from __future__ import annotations

import os
import threading

import pytest

from dotflow.core.context import Context
from dotflow.providers.storage_default import StorageDefault


def test_it_keeps_the_context_itself() -> None:
    """No copy is made, and any object can be kept."""
    storage, context = StorageDefault(), Context({1, object()})

    storage.post("wf-a", context)

    assert storage.get("wf-a") is context
    assert storage.get("wf-b") == Context()
    assert storage.keeps_objects
    assert storage.hands_on()


def test_it_takes_the_arguments_of_any_storage() -> None:
    """What another storage needs is ignored."""
    storage = StorageDefault("x", path="/nowhere", bucket="b")

    assert repr(storage) == "StorageDefault()"
    storage.healthcheck()
    storage.close()


def test_many_are_kept_and_found_at_once() -> None:
    """Missing keys are left out."""
    storage = StorageDefault()

    storage.post_many([("a", Context(1)), ("b", Context(None)), ("a", Context(3))])

    assert storage.get_many(["a", "b", "c"]) == {"a": Context(3), "b": Context(None)}


def test_keys_are_removed_one_by_one_and_by_prefix() -> None:
    """The answer tells what was there, and the empty prefix is refused."""
    storage = StorageDefault()
    storage.post_many([(key, Context(1)) for key in ("p-1", "p-2", "q-1")])

    assert storage.delete("q-1")
    assert not storage.delete("q-1")
    with pytest.raises(ValueError, match="would remove everything"):
        storage.delete_prefix("")
    assert storage.delete_prefix("p-") == 2
    assert list(storage.list_keys()) == []


def test_clear_spares_other_workflows() -> None:
    """A workflow whose id begins with the cleared one keeps its contexts."""
    storage = StorageDefault()
    storage.post_many([(key, Context(1)) for key in ("wf-1-a", "wf-1-x-a", "wf-10-a", "wf-1-b")])

    storage.clear("wf-1")

    assert sorted(storage.list_keys("wf-1")) == ["wf-1-x-a", "wf-10-a"]


def test_create_and_swap_look_before_they_write() -> None:
    """Only an absent key is created, and only the expected value is replaced."""
    storage, context = StorageDefault(), Context(1, "t", "wf")

    assert storage.create("k", context)
    assert not storage.create("k", context)
    assert not storage.atomic_swap("k", 2, 3)
    assert storage.atomic_swap("k", 1, 2)
    assert storage.get("k") == Context(2, "t", "wf")
    assert storage.atomic_swap("new", None, Context(5, "u"))
    assert storage.get("new") == Context(5, "u")


def test_of_many_threads_one_creates() -> None:
    """Threads that count by swapping lose nothing."""
    storage, won = StorageDefault(), []

    def work() -> None:
        won.append(storage.create("once", Context(1)))
        for _ in range(200):
            while not storage.atomic_swap("n", value := storage.get("n").storage, (value or 0) + 1):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(won) == 1
    assert storage.get("n").storage == 800


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_while_the_lock_is_held_does_not_block_the_child() -> None:
    """The child gets a lock of its own."""
    storage = StorageDefault()
    with storage._mutex:
        pid = os.fork()
        if pid == 0:
            storage.post("k", Context(1))
            os._exit(0 if storage.get("k").storage == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
