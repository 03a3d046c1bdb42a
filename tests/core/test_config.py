"""``Config``: which providers are taken, which are refused, and what stands in for those left out."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from doubles import Plain, ToldLog, ToldMetrics, ToldNotify, ToldServer, ToldTracer, flow

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.log import LEVELS, Log
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.storage import Storage, default_key, workflow_of
from dotflow.core.config import CONTRACTS
from dotflow.core.exception import ConfigurationError, MissingAbility, NotCallableObject
from dotflow.providers import (
    ExecutorInline,
    LogDefault,
    SchedulerDefault,
    StorageDefault,
    StorageFile,
    StorageSQLite,
)


class Once(Scheduler):
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> Any:
        return workflow(**kwargs)

    def stop(self) -> None: ...


MADE: dict[str, Any] = {
    "storage": Plain(),
    "notify": ToldNotify([]),
    "log": ToldLog([]),
    "server": ToldServer([]),
    "scheduler": Once(),
    "tracer": ToldTracer([]),
    "metrics": ToldMetrics([]),
    "executor": ExecutorInline(),
}


@action
def step() -> int:
    return 1


def test_given_providers_are_the_very_objects() -> None:
    """Any subset may be replaced; what was given is what is used."""
    config = Config(**MADE)

    for name, provider in MADE.items():
        assert getattr(config, name) is provider
        assert config.given(name)


def test_providers_may_be_given_by_position() -> None:
    """API §7: storage, notify, log, server, scheduler, tracer, metrics, in this order."""
    config = Config(*(MADE[name] for name in list(CONTRACTS)[:7]))

    assert all(getattr(config, name) is MADE[name] for name in list(CONTRACTS)[:7])


@pytest.mark.parametrize("name", list(CONTRACTS)[:7])
def test_left_out_provider_is_a_default(name: str) -> None:
    """A default that not every run uses is made when it is first asked for; each is made once."""
    config = Config()

    assert config.given(name) is (name in ("storage", "log"))
    assert type(getattr(config, name)).__name__ == f"{CONTRACTS[name]}Default"
    assert getattr(config, name) is getattr(config, name)


def test_executor_is_left_to_the_mode() -> None:
    """Without ``executor=`` there is none."""
    assert Config().executor is None


def test_unknown_provider_is_an_attribute_error() -> None:
    """A mistyped attribute names what there is."""
    with pytest.raises(AttributeError, match=r"Config has no 'storge'; it has storage, notify"):
        _ = Config().storge


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("wrong", [0, "", "redis", object(), "class", "other"])
def test_provider_of_the_wrong_kind_is_refused(name: str, wrong: Any) -> None:
    """P2: checked at construction; the message names the argument, what was expected and what was given."""
    if wrong == "class":
        wrong = type(MADE[name])
    elif wrong == "other":
        wrong = MADE["notify" if name != "notify" else "storage"]

    with pytest.raises(NotCallableObject) as caught:
        Config(**{name: wrong})

    text = str(caught.value)
    assert text.startswith(f"Config({name}=...) needs an instance of dotflow.abc.{name}.{CONTRACTS[name]}, got ")
    assert text.endswith(f"inherit from {CONTRACTS[name]}")
    if isinstance(wrong, type):
        assert "pass an instance" in text


def test_duck_is_refused_and_a_virtual_subclass_passes() -> None:
    """``isinstance`` decides: a class with the right methods needs ``Notify.register``."""

    class Duck:
        def hook_status_task(self, task: Any) -> None: ...

    with pytest.raises(NotCallableObject, match="Duck"):
        Config(notify=Duck())  # type: ignore[arg-type]
    Notify.register(Duck)
    assert isinstance(Config(notify=Duck()).notify, Duck)  # type: ignore[arg-type]


def test_config_of_another_type_is_refused() -> None:
    """``DotFlow(config=...)`` takes a ``Config`` only."""
    for wrong in ({}, 0, Config):
        with pytest.raises(NotCallableObject, match=r"DotFlow\(config=...\) needs a dotflow.Config"):
            DotFlow(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["unsafe", 3, None])
def test_codec_that_does_not_exist_is_refused(mode: Any) -> None:
    """The message names the argument."""
    with pytest.raises(ConfigurationError, match="codec"):
        Config(codec=mode)


@pytest.mark.parametrize("secrets", ["a single text", [3], ["abc"]])
def test_secrets_that_make_no_sense_are_refused(secrets: Any) -> None:
    """X5: a secret is a text of at least four characters, and the message does not tell it."""
    with pytest.raises(ConfigurationError, match="secrets="):
        Config(secrets=secrets)


def test_storage_by_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P8: ``Config.from_url`` takes a URL, else the environment, else the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOTFLOW_STORAGE", raising=False)
    given = Config.from_url(f"sqlite:///{tmp_path / 'flow.db'}", log=MADE["log"])
    assert isinstance(given.storage, StorageSQLite)
    assert given.log is MADE["log"]
    assert isinstance(Config.from_url().storage, StorageDefault)

    monkeypatch.setenv("DOTFLOW_STORAGE", f"file://{tmp_path}{os.sep}kept")

    assert isinstance(Config.from_url().storage, StorageFile)
    with pytest.raises(ConfigurationError, match="storge"):
        Config.from_url("storge://x")
    given.storage.close()


# -- contracts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        ("storage", {"post", "get", "key"}),
        ("notify", {"hook_status_task"}),
        ("log", set[str]()),
        ("scheduler", {"start", "stop"}),
        ("tracer", {"start_workflow", "end_workflow", "start_task", "end_task"}),
        (
            "metrics",
            {
                "workflow_started", "workflow_completed", "workflow_failed",
                "task_completed", "task_failed", "task_retried",
            },
        ),
        ("server", {"create_workflow", "update_workflow", "create_task", "update_task"}),
        ("executor", {"submit"}),
    ],
)  # fmt: skip
def test_contract_demands_exactly_these_methods(kind: str, methods: set[str]) -> None:
    """P1: a class with only those methods works everywhere."""
    contract = getattr(importlib.import_module(f"dotflow.abc.{kind}"), CONTRACTS[kind])

    assert contract.__abstractmethods__ == methods


OPTIONAL: dict[str, tuple[Any, ...]] = {
    "get_many": (["k"],),
    "post_many": ([("k", Context(1))],),
    "delete": ("k",),
    "delete_prefix": ("k",),
    "list_keys": (),
    "clear": ("w",),
    "create": ("k", Context(1)),
    "atomic_swap": ("k", 1, 2),
    "lock": ("w",),
    "healthcheck": (),
}


@pytest.mark.parametrize("method", OPTIONAL)
def test_missing_ability_is_named(method: str) -> None:
    """P1: where an optional ability is needed and missing, the error names method and provider."""
    storage = Plain()

    assert not storage.can(method)
    assert StorageDefault().can(method) is (method != "lock")
    with pytest.raises(MissingAbility, match=rf"{method}\(\), which Plain does not implement") as caught:
        getattr(storage, method)(*OPTIONAL[method])
    assert (caught.value.provider, caught.value.method) == ("Plain", method)


def test_closing_a_storage_is_optional() -> None:
    """``close`` may be called on any storage."""
    assert Plain().close() is None  # type: ignore[func-returns-value]  # that is the claim


def test_only_a_proved_storage_hands_on_what_it_was_given() -> None:
    """P7: a subclass that changes ``post`` or ``get`` has to be proved anew."""

    class Faithful(Plain):
        faithful = True

    class Subclass(Faithful):
        pass

    class Transforms(Faithful):
        def get(self, key: str) -> Context:
            return Context("changed")

    class Bare(Storage):
        post = get = key = None  # type: ignore[assignment]

    assert not Plain().hands_on()
    assert Faithful().hands_on()
    assert Subclass().hands_on()
    assert not Transforms().hands_on()
    assert not Bare().hands_on()  # type: ignore[abstract]


def test_default_key_never_gives_two_tasks_one_key() -> None:
    """X4: dashes and percent signs of the task id are escaped; the workflow id can be read back."""
    from doubles import task

    def key(workflow_id: Any, task_id: str) -> str:
        made = task(task_id)
        made.workflow_id = workflow_id
        return default_key(made)

    assert key("w", "a") == "w-a"
    assert key("w", "a-2") == "w-a%2D2"
    assert key("w-a", "2") != key("w", "a-2")
    assert key("w", "a%2D2") != key("w", "a-2")
    assert workflow_of(key("my-flow", "a-2")) == "my-flow"


class Lines:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, text: str, *args: Any) -> None:
        self.lines.append((level, text % args if args else text))


def test_log_needs_info_and_error_only() -> None:
    """§19-17: a log with the seed's two methods works at a retry too; ``debug`` does nothing."""
    calls: list[Any] = []
    log = ToldLog(calls)
    made = flow(step).task.queue[0]

    log.warning(task=made)
    log.debug(task=made)

    assert calls == [("log.info", "step", "Not started")]


@pytest.mark.parametrize(("form", "start"), [("simple", "ID "), ("json", "{"), ("logfmt", "timestamp=")])
def test_log_may_inherit_every_method_with_a_logger(form: str, start: str) -> None:
    """A log that sets ``_logger`` writes one line per call, from its level on, in its form."""

    class Mine(Log):
        _logger = Lines()
        _format = form

    made = flow(step).task.queue[0]
    log = Mine()
    log.debug(task=made)
    log.info(task=made)
    log.warning(task=made)
    log.error(task=made)

    assert [level for level, _ in log._logger.lines] == [LEVELS[name] for name in ("INFO", "WARNING", "ERROR")]
    assert all(text.startswith(start) for _, text in log._logger.lines)


def test_log_without_anything_writes_nothing() -> None:
    """The base class itself can be used; it has nowhere to write to."""

    class Silent(Log):
        pass

    manager = flow(step, log=Silent()).start()

    assert manager.status == "Completed"
    assert manager.observer_faults == []


def test_default_scheduler_says_that_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    """Decided: ``schedule()`` without a scheduler runs nothing and says so."""
    workflow = flow(step)

    assert workflow.schedule() is None
    assert isinstance(workflow.config.scheduler, SchedulerDefault)
    assert "schedule() has no scheduler and runs nothing" in caplog.text
    assert workflow.result_task()[0].status == "Not started"


def test_default_log_is_the_standard_logger() -> None:
    """With nothing configured, records go to the standard logger ``dotflow``, which gets no handler."""
    import logging

    log = Config().log

    assert isinstance(log, LogDefault)
    assert log._logger is logging.getLogger("dotflow")
    assert logging.getLogger("dotflow").handlers == []
