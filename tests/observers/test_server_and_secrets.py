"""The server's client, and what no sink may tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from receivers import Receiver

from dotflow import Config, DotFlow, action
from dotflow.abc.log import Log
from dotflow.core import redact
from dotflow.core.exception import ConfigurationError, DeliveryFailed
from dotflow.core.redact import mask, mask_value, masked, register
from dotflow.core.task import Task
from dotflow.providers import LogDefault, NotifySlack, NotifyWebhook, ServerDefault, TracerOpenTelemetry

SECRET = 'hunter-"2"/ü$ecret'


@action
def good() -> int:
    return 1


@action
def leaks(initial_context: Any) -> Any:
    raise RuntimeError(f"cannot log in with {initial_context.storage['password']} at postgres://me:pa55word@db/x")


@action
def returns(initial_context: Any) -> Any:
    return {"url": "https://u:pa55word@host/", "bytes": SECRET.encode(), "list": [SECRET], **initial_context.storage}


def test_a_secret_appears_nowhere(tmp_path: Path, receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in a log of ours, in a log of the user's, in a message, a trace or a report."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    told: list[str] = []

    class Custom(Log):
        def info(self, **kwargs: Any) -> None:
            task = kwargs["task"]
            contexts = (task.initial_context, task.previous_context, task.current_context)
            told.extend([str(task.result()), *(str(each.storage) for each in contexts)])

        def error(self, **kwargs: Any) -> None:
            self.info(**kwargs)
            last = kwargs["task"].errors[-1]
            told.extend([last.message, last.traceback, str(last.error)])

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server = ServerDefault(receiver.url, "server-token", spool=tmp_path / "spool.db")
    logs = (
        LogDefault(output="both", path=tmp_path / "a.log"),
        LogDefault(output="both", path=tmp_path / "b.log", format="json"),
        Custom(),
    )
    for log in logs:
        for notify in (NotifySlack(f"{receiver.url}/services/abcdefgh", show_result=True), NotifyWebhook(receiver.url)):
            config = Config(
                log=log, notify=notify, server=server, tracer=TracerOpenTelemetry(provider=provider), secrets=[SECRET]
            )
            workflow = DotFlow(config)
            workflow.task.add([leaks, returns], initial_context={"password": SECRET})
            run = workflow.start(keep_going=True)
            assert run.observer_faults == []
    assert run.tasks[1].current_context.storage["password"] == SECRET  # what a step returned is never changed
    spans = " ".join(span.to_json() for span in exporter.get_finished_spans())
    files = " ".join(path.read_text() for path in tmp_path.glob("*.log"))
    bodies = " ".join(request.body.decode() for request in receiver.got)
    captured = capfd.readouterr()
    everything = " ".join([spans, files, bodies, *told, captured.out, captured.err])

    assert len(bodies) > 1000
    for sink in (files, bodies, spans, " ".join(told)):
        assert "***" in sink
    for form in redact._forms(SECRET) | {"pa55word", "hunter-"}:
        assert form not in everything, form


def test_variables_whose_names_look_secret_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are when a run begins; short ones and paths are left alone."""
    monkeypatch.setenv("MY_API_KEY", "k3y-of-mine")
    monkeypatch.setenv("OTHER_TOKEN", "abc")
    monkeypatch.setenv("TOKEN_FILE", "/run/token")
    redact.refresh()

    assert mask("k3y-of-mine abc /run/token") == "*** abc /run/token"
    monkeypatch.delenv("MY_API_KEY")
    redact.refresh()
    assert mask("k3y-of-mine") == "k3y-of-mine"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgres://me:s3cret@host/db", "postgres://me:***@host/db"),
        ("redis://:s3cret@host", "redis://:***@host"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("nothing here", "nothing here"),
    ],
)
def test_passwords_in_urls_and_bearer_tokens_are_masked(text: str, clean: str) -> None:
    """And nothing else."""
    assert mask(text) == clean


def test_values_are_masked_in_copies() -> None:
    """The value itself stays; what would tell a secret when it is printed becomes a text."""

    class Thing:
        def __str__(self) -> str:
            return "http://a:bcdef@c"

    value = {"a": ["http://a:bcdef@c", (1, None, 2.5, True)], "b": Thing()}
    assert mask_value(value) == {"a": ["http://a:***@c", (1, None, 2.5, True)], "b": "http://a:***@c"}
    assert value["a"][0] == "http://a:bcdef@c"  # type: ignore[index]  # a list
    loop: list[Any] = []
    loop.append(loop)
    assert "***" in str(mask_value(loop))


@pytest.mark.parametrize("wrong", ["text", [1], ["abc"], ["   ab"]])
def test_secrets_that_cannot_be_are_refused(wrong: Any) -> None:
    """A single text, a number, a word too short; the message does not show it."""
    with pytest.raises(ConfigurationError):
        register(wrong)


@pytest.fixture
def server(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerDefault:
    monkeypatch.setattr("dotflow.providers.server_default.PAUSES", (0.0,))
    return ServerDefault(f"{receiver.url}/", "the-token", spool=tmp_path / "deep" / "spool.db")


def report(server: ServerDefault, *steps: Any, **kwargs: Any) -> Any:
    workflow = DotFlow(Config(server=server), workflow_id="etl/daily")
    workflow.task.add(list(steps))
    return workflow.start(**kwargs)


def test_a_run_is_reported_as_the_specification_says(server: ServerDefault, receiver: Receiver) -> None:
    """Addresses, headers, bodies, and order."""
    run = report(server, good)

    assert run.observer_faults == []
    assert [(each.method, each.path) for each in receiver.got] == [
        ("POST", "/cli/workflows"),
        ("PATCH", "/cli/workflows/etl%2Fdaily"),
        ("POST", "/cli/workflows/etl%2Fdaily/tasks"),
        ("PATCH", "/cli/workflows/etl%2Fdaily/tasks/good"),
        ("PATCH", "/cli/workflows/etl%2Fdaily"),
    ]
    assert {each.headers["Authorization"] for each in receiver.got} == {"Bearer the-token"}
    assert receiver.got[0].json()["tasks"][0]["status"] == "Not started"  # a copy of that moment
    assert receiver.got[3].json()["duration"] is not None
    assert receiver.got[4].json() == {"status": "Completed"}
    assert server.waiting == 0


def test_what_a_server_that_is_away_misses_is_sent_when_it_is_back(server: ServerDefault, receiver: Receiver) -> None:
    """From the file, in order, the last of several updates only; by another client too."""
    receiver.rule = lambda request: (503, {}, "away")
    for _ in range(3):
        with pytest.raises(DeliveryFailed):
            server.update_workflow("w", status="In progress")
    with pytest.raises(DeliveryFailed):
        server.create_task(Task("t", good, workflow_id="w"))
    assert server.waiting == 2
    receiver.rule = lambda request: (200, {}, "")
    receiver.got.clear()
    again = ServerDefault(receiver.url, "the-token", spool=server._spool)
    again.update_workflow("w2", status="Completed")

    assert [each.path for each in receiver.got] == ["/cli/workflows/w", "/cli/workflows/w/tasks", "/cli/workflows/w2"]
    assert again.waiting == 0
    assert server._spool.stat().st_mode & 0o77 == 0


def test_a_request_that_is_refused_does_not_stop_the_others(server: ServerDefault, receiver: Receiver) -> None:
    """400 is told and dropped; a wrong token is kept, since it may be put right."""
    receiver.rule = lambda request: (400, {}, "bad")
    with pytest.raises(DeliveryFailed, match="400"):
        server.update_workflow("w", status="x")
    assert server.waiting == 0
    receiver.rule = lambda request: (401, {}, "who?")
    with pytest.raises(DeliveryFailed, match="401"):
        server.update_workflow("w", status="x")
    assert server.waiting == 1


def test_many_tasks_are_reported_in_pieces(server: ServerDefault, receiver: Receiver) -> None:
    """Each call keeps its deadline, whatever the number of tasks."""
    run = report(server, *[good] * 50)
    receiver.wait_for(103)

    assert run.status == "Completed"
    assert len([each for each in receiver.got if each.method == "POST"]) == 51


def test_the_address_comes_from_the_environment_or_the_file(receiver: Receiver, tmp_path: Path) -> None:
    """The default provider of a program that does not mention it; empty variables count as absent."""
    home = tmp_path / "home"
    (home / ".dotflow").mkdir(parents=True)
    cloud = {"base_url": receiver.url, "token": "file-token"}
    (home / ".dotflow" / "config.json").write_text(json.dumps({"cloud": cloud}))
    program = (
        "from dotflow import DotFlow, action\n@action\ndef a(): pass\n"
        "w = DotFlow(); w.task.add(a); r = w.start(); assert not r.observer_faults, r.observer_faults"
    )
    tokens = {"": "file-token", "env-token": "env-token"}
    for given, token in tokens.items():
        receiver.got.clear()
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "SERVER_USER_TOKEN": given}
        subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True, timeout=60)
        assert {each.headers["Authorization"] for each in receiver.got} == {f"Bearer {token}"}


def test_without_an_address_nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is silent, and every method may be called."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SERVER_BASE_URL", "SERVER_USER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server = ServerDefault()

    assert server.silent
    server.create_workflow(None)
    server.update_workflow("w")
    server.create_task(None)
    server.update_task(None)


def test_the_command_line_tests_a_notifier(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """It sends one message and shows the answer, or the failure with exit code 1."""
    from dotflow.cli.command import main

    assert main(["notify", "test", "--as", "slack", f"{receiver.url}/services/abcdefgh"]) == 0
    assert capsys.readouterr() == ("slack: 200 ok\n", "")
    assert main(["notify", "test", f"{receiver.url}/hook"]) == 0
    assert "guessed: a webhook that gets JSON" in (told := capsys.readouterr().err)
    assert "--as NAME (slack, discord, teams, telegram, email, apprise)" in told
    receiver.rule = lambda request: (404, {}, "no_service")
    assert main(["notify", "test", "--as", "slack", f"{receiver.url}/services/abcdefgh"]) == 1
    assert "404: no_service" in capsys.readouterr().err
    assert main(["notify", "test", "nonsense"]) == 2


def test_a_masked_copy_stays_as_it_is() -> None:
    """What happens to the task later is not seen."""
    task = Task("t", good, workflow_id="w")
    copy = masked(task)
    task.status = "Failed"  # type: ignore[assignment]  # what the run would do

    assert copy.status == copy.snapshot().status == "Not started"
