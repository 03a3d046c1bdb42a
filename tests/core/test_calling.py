"""Calls with arguments that there are none of: who was called, and what was probably meant."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from dotflow import Config, DotFlow, action, providers
from dotflow.core.calling import explained
from dotflow.core.exception import NotCallableObject
from dotflow.providers import NotifySlack, StorageDefault


@action
def step() -> int:
    return 1


def made() -> Any:
    workflow = DotFlow()
    workflow.task.add(step)
    return workflow


class Own(Config):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)


CALLS: dict[str, Callable[[], Any]] = {
    "action() has no argument 'retries'; did you mean 'retry'?": lambda: action(retries=3),  # type: ignore[call-overload]
    "Config() has no argument 'storge'; did you mean 'storage'?": lambda: Config(storge=1),  # type: ignore[call-arg]
    "Config() has no argument 'notfy'; did you mean 'notify'?": lambda: Own(notfy=1),
    "Config() has no argument 'storag'; did you": lambda: Config.from_url(storag=1),  # type: ignore[call-arg]
    "DotFlow() has no argument 'workflow'; did you mean 'workflow_id'?": lambda: DotFlow(workflow="x"),  # type: ignore[call-arg]
    "start() has no argument 'resum'; did you mean 'resume'?": lambda: made().start(resum=True),
    "start_async() has no argument 'mod'; did you mean 'mode'?": lambda: asyncio.run(made().start_async(mod=1)),
    "schedule() has no argument 'keepgoing'; did you mean 'keep_going'?": lambda: made().schedule(keepgoing=True),
    "start(): too many positional arguments": lambda: made().start("parallel"),
    "NotifySlack(): missing a required argument: 'webhook_url'": lambda: NotifySlack(),  # type: ignore[call-arg]
    "NotifySlack() has no argument 'timout'; did you": lambda: NotifySlack("http://x/", timout=1),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("said", CALLS)
def test_argument_that_is_none_gets_the_nearest(said: str) -> None:
    """By the name that is written, in one error without another below it."""
    with pytest.raises(TypeError) as caught:
        CALLS[said]()

    assert str(caught.value).startswith(said)
    assert "During handling" not in "".join(traceback.format_exception(caught.value))


def test_error_of_the_function_itself_passes() -> None:
    """A TypeError that is not about the call stays as it was raised, and so does the signature."""

    @explained
    def work(number: int, *, name: str = "") -> int:
        return len(number)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        work(1)
    assert str(inspect.signature(work)) == "(number: 'int', *, name: 'str' = '') -> 'int'"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Config(storage="sqlite:///x.db"), "write Config.from_url('sqlite:///x.db')"),
        (lambda: Config(storage="redis://me:hunter2@h/0"), "write Config.from_url('redis://me:***@h/0')"),
        (lambda: Config(storage="x.db"), "got the text 'x.db'; write Config.from_url('sqlite:///flow.db')"),
        (lambda: DotFlow(StorageDefault()), "write DotFlow(Config(storage=...))"),
        (lambda: DotFlow(NotifySlack("http://127.0.0.1/")), "write DotFlow(Config(notify=...))"),
        (lambda: DotFlow("nightly"), "a name is given as DotFlow(workflow_id='nightly')"),
        (lambda: DotFlow("sqlite:///x.db"), "a storage is given as DotFlow(Config.from_url(...))"),
    ],
)
def test_what_is_in_the_wrong_place_is_shown_its_own(make: Callable[[], Any], said: str) -> None:
    """A URL, a provider or a name where a config or a storage is expected; no password is shown."""
    with pytest.raises(NotCallableObject) as caught:
        make()

    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_misspelt_provider_gets_the_nearest() -> None:
    """And not the list of all; only where nothing is like it."""
    with pytest.raises(AttributeError, match="no attribute 'StorageSqlite'; did you mean 'StorageSQLite'\\?$"):
        providers.StorageSqlite  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'Foo'; there are ExecutorAsync, "):
        providers.Foo  # noqa: B018
