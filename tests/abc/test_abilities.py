"""The contracts themselves: what a provider inherits, and what it is told that it lacks."""

from __future__ import annotations

import functools
import inspect
import json
import logging
from typing import Any

import pytest

from dotflow import Task, action
from dotflow.abc.executor import Executor
from dotflow.abc.log import LEVELS, Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.abc.tracer import Tracer
from dotflow.core import types
from dotflow.core.context import Context
from dotflow.core.exception import MissingAbility, StorageError
from dotflow.core.types.overlap import TypeCatchUp


@action
def nothing() -> None:
    """Stand for a step that is not called."""


def task(task_id: str, workflow_id: str = "w") -> Task:
    """Make a task that is not part of a workflow."""
    return Task(task_id, nothing, workflow_id=workflow_id)


class Plain(Storage):
    """A storage with the three methods of the contract and no more."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def post(self, key: str, context: Context) -> None:
        self.kept[key] = context.storage

    def get(self, key: str) -> Context:
        return Context(self.kept.get(key))

    def key(self, task: Task) -> str:
        return default_key(task)


ABILITIES: dict[str, tuple[Any, ...]] = {
    "get_many": (["w-a"],),
    "post_many": ([("w-a", Context(1))],),
    "delete": ("w-a",),
    "delete_prefix": ("w-",),
    "list_keys": (),
    "clear": ("w",),
    "create": ("w-a", Context(1)),
    "atomic_swap": ("w-a", None, 1),
    "lock": ("w",),
    "healthcheck": (),
}


@pytest.mark.parametrize(
    ("contract", "methods"),
    [
        (Storage, {"post", "get", "key"}),
        (Executor, {"submit"}),
        (Scheduler, {"start", "stop"}),
        (Notify, {"hook_status_task"}),
        (Server, {"create_workflow", "update_workflow", "create_task", "update_task"}),
        (Tracer, {"start_workflow", "end_workflow", "start_task", "end_task"}),
        (
            Metrics,
            {
                "workflow_started",
                "workflow_completed",
                "workflow_failed",
                "task_completed",
                "task_failed",
                "task_retried",
            },
        ),
    ],
)
def test_contract_cannot_be_made_without_its_methods(contract: Any, methods: set[str]) -> None:
    """A class that lacks a required method is refused when it is made, and the method is named."""
    assert set(contract.__abstractmethods__) == methods
    with pytest.raises(TypeError, match=min(methods)):
        contract()


# -- Storage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ABILITIES)
def test_optional_ability_that_is_missing_names_itself_and_the_class(name: str) -> None:
    """A storage with three methods answers a call of any other with its own name and that of the method."""
    storage = Plain()

    with pytest.raises(MissingAbility, match=rf"optional method {name}\(\), which Plain does not implement") as caught:
        getattr(storage, name)(*ABILITIES[name])

    assert (caught.value.method, caught.value.provider, caught.value.key) == (name, "Plain", None)
    assert isinstance(caught.value, StorageError)
    assert isinstance(caught.value, NotImplementedError)
    assert not storage.can(name)
    assert storage.kept == {}


def test_every_ability_is_tried_here() -> None:
    """A new optional method has to be added to this file."""
    public = {name for name, _ in inspect.getmembers(Storage, inspect.isfunction) if not name.startswith("_")}

    assert public - {"post", "get", "key", "can", "hands_on", "close"} == set(ABILITIES)


def test_close_of_a_storage_without_connections_may_be_called_twice() -> None:
    """The default of ``close`` keeps what is stored, and the storage works on."""
    storage = Plain()
    storage.post("w-a", Context(1))
    storage.close()
    storage.close()

    assert storage.get("w-a").storage == 1


class Deleting(Plain):
    def delete(self, key: str) -> bool:
        return self.kept.pop(key, None) is not None


def test_ability_is_found_by_what_the_class_overrides() -> None:
    """Overriding a method, here or in a base, is all it takes to have the ability."""
    child = type("Child", (Deleting,), {})()

    assert [name for name in ABILITIES if child.can(name)] == ["delete"]
    child.post("w-a", Context(1))
    assert (child.delete("w-a"), child.delete("w-a")) == (True, False)


class Ending(Plain):
    def post(self, key: str, context: Context, ttl: float | None = None) -> None:
        super().post(key, context)


class EndsNoMore(Ending):
    def post(self, key: str, context: Context) -> None:  # type: ignore[override]  # what a careless author may do
        super().post(key, context)


class HandsOnAnything(Ending):
    def post(self, *args: Any, **kwargs: Any) -> None:
        super().post(*args, **kwargs)


class Measured(Ending):
    @functools.wraps(Ending.post)
    def post(self, *args: Any, **kwargs: Any) -> None:
        super().post(*args, **kwargs)


def test_time_to_live_is_found_by_what_post_declares() -> None:
    """By name, in the class that has the last word; arguments that it does not name are no promise."""
    told = {kind.__name__: kind().can("ttl") for kind in (Plain, Ending, EndsNoMore, HandsOnAnything, Measured)}

    assert told == {"Plain": False, "Ending": True, "EndsNoMore": False, "HandsOnAnything": False, "Measured": True}


def test_signature_of_a_class_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every call."""
    kind = type("Fresh", (Plain,), {"post": lambda self, key, context, ttl=None: None})
    looked: list[Any] = []
    signature = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda given: looked.append(given) or signature(given))

    assert [kind().can("ttl") for _ in range(3)] == [True] * 3
    assert looked == [vars(kind)["post"]]


class Proved(Plain):
    faithful = True


class Inherits(Proved):
    def delete(self, key: str) -> bool:
        return False


class ChangesPost(Proved):
    def post(self, key: str, context: Context) -> None:
        super().post(key, Context(0))


class ChangesGet(Proved):
    def get(self, key: str) -> Context:
        return Context(0)


class ProvedAnew(ChangesGet):
    faithful = True


class Withdrawn(Proved):
    faithful = False


class Unwritten(Storage):
    """Takes all it has from the contract."""


Unwritten.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Plain, False),
        (Proved, True),
        (Inherits, True),
        (ChangesPost, False),
        (ChangesGet, False),
        (ProvedAnew, True),
        (Withdrawn, False),
        (Unwritten, False),
    ],
)
def test_value_is_handed_on_only_where_the_last_word_is_a_proof(kind: type[Storage], expected: bool) -> None:
    """``faithful`` counts for the class that sets it and its children, until one overrides ``post`` or ``get``."""
    assert kind().hands_on() is expected


def test_proof_on_the_object_alone_does_not_count_for_an_overriding_class() -> None:
    """An attribute set on one object is no proof of its class."""
    storage = ChangesPost()
    storage.faithful = True  # type: ignore[misc]  # what a careless caller may do

    assert storage.hands_on() is False


def test_default_keys_differ_for_every_pair_of_ids() -> None:
    """Dashes and percent signs of a task id are escaped; the workflow id is read back from any key."""
    tasks = {"a": "w-a", "a-b": "w-a%2Db", "a%2Db": "w-a%252Db", "%": "w-%25", "-": "w-%2D"}
    keys = {name: default_key(task(name)) for name in tasks}

    assert keys == tasks
    assert {workflow_of(key) for key in keys.values()} == {"w"}


def test_default_key_follows_a_change_of_the_workflow() -> None:
    """The remembered text of one workflow id is not used for the next."""
    made = [task("a"), task("a", "other-flow"), task("a")]

    assert [default_key(each) for each in made] == ["w-a", "other-flow-a", "w-a"]
    assert workflow_of("other-flow-a") == "other-flow"


# -- Log ----------------------------------------------------------------------------------------------------------


class Bare(Log):
    """Overrides what the contract asks for."""

    def __init__(self) -> None:
        self.said: list[tuple[str, Any]] = []

    def info(self, **kwargs: Any) -> None:
        self.said.append(("info", kwargs["task"].task_id))

    def error(self, **kwargs: Any) -> None:
        self.said.append(("error", kwargs["task"].task_id))


def test_warning_of_a_log_without_one_is_told_by_info() -> None:
    """A class with ``info`` and ``error`` alone hears of retries through ``info``, and never of details."""
    log = Bare()
    log.warning(task=task("a"))
    log.debug(task=task("b"))
    log.error(task=task("c"))

    assert log.said == [("info", "a"), ("error", "c")]


def test_log_that_overrides_nothing_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Without a logger, all four methods are silent."""
    with caplog.at_level(1):
        for name in ("debug", "info", "warning", "error"):
            getattr(Log(), name)(task=task("a"))

    assert caplog.records == []


class Lines(Log):
    """Sets a logger and inherits all the rest."""

    def __init__(self, level: str = "INFO", form: str = "simple") -> None:
        self._logger = logging.getLogger("test.abc.log")
        self._level = LEVELS[level]
        self._format = form


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("INFO", ["INFO", "WARNING", "ERROR"]),
        ("WARNING", ["WARNING", "ERROR"]),
        ("ERROR", ["ERROR"]),
    ],
)
def test_log_with_a_logger_writes_from_its_level_upwards(
    level: str, expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each method writes one line at its own level, unless that is below the level of the log."""
    log = Lines(level)
    with caplog.at_level(1):
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)(task=task("a"))

    assert [each.levelname for each in caplog.records] == expected
    assert {each.getMessage() for each in caplog.records} == {"ID w - a - Not started"}


@pytest.mark.parametrize("form", ["simple", "json", "logfmt", "unknown"])
def test_form_of_a_line_is_chosen_by_its_name(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """``simple``, ``json`` and ``logfmt`` are known; another name is written as ``simple``."""
    with caplog.at_level(1):
        Lines(form=form).info(task=task("a"))
    text = caplog.records[0].getMessage()

    if form == "json":
        assert json.loads(text)["task_id"] == "a"
    elif form == "logfmt":
        assert text.endswith('workflow_id=w task_id=a status="Not started"')
    else:
        assert text == "ID w - a - Not started"


# -- The others ---------------------------------------------------------------------------------------------------


def test_defaults_of_an_executor_take_every_step_and_one_attempt() -> None:
    """A class with ``submit`` alone takes one attempt at a time, checks nothing and holds nothing."""
    executor = type("Mine", (Executor,), {"submit": lambda self, attempt, report: None})()

    assert (executor.slots, executor.inline, executor.stops, executor.takes_async) == (1, False, False, False)
    assert executor.check(task("a").step) is None
    assert [executor.close(), executor.close()] == [None, None]


def test_optional_hook_of_a_notifier_does_nothing() -> None:
    """A notifier with the one hook of 1.x ignores the end of a run."""
    notify = type("Mine", (Notify,), {"hook_status_task": lambda self, task: None})()

    assert notify.hook_status_workflow(None) is None
    assert notify.patience == 10.0


def test_scheduler_is_left_by_an_exception_unless_it_says_otherwise() -> None:
    """``returns_on_stop`` has to be claimed."""
    assert Scheduler.returns_on_stop is False


# -- Names --------------------------------------------------------------------------------------------------------


def test_every_status_has_a_symbol_of_its_own_and_other_texts_have_none() -> None:
    """The symbol is found by the status or by its text."""
    found = {status: types.TypeStatus.get_symbol(status) for status in types.TypeStatus}

    assert None not in found.values()
    assert len(set(found.values())) == len(types.TypeStatus)
    assert types.TypeStatus.get_symbol("Completed") == "✅"
    assert types.TypeStatus.get_symbol("Unheard of") is None


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (types.TypeExecution, ["sequential", "sequential_group", "background", "parallel"]),
        (types.TypeInputChange, ["reuse", "reset", "raise"]),
        (types.TypeOverlap, ["skip", "queue", "queue_all", "cancel_previous", "parallel"]),
        (TypeCatchUp, ["none", "latest", "all"]),
        (types.TypeStatus, ["Not started", "In progress", "Completed", "Paused", "Retry", "Failed"]),
        (types.TypeStorage, ["default", "file", "sqlite", "s3", "gcs"]),
        (types.WorkflowStatus, ["New", "In progress", "Completed", "Failed", "Interrupted", "Cancelled"]),
    ],
)
def test_names_are_their_own_texts(kind: Any, texts: list[str]) -> None:
    """A member equals its text and is found by it; these sets are closed."""
    assert list(kind) == texts
    assert [str(kind(text)) for text in texts] == texts
    with pytest.raises(ValueError, match="is not a valid"):
        kind("another")


def test_policies_are_the_members_in_order() -> None:
    """``VALID_POLICIES`` names them all."""
    assert types.VALID_POLICIES == ("reuse", "reset", "raise")
