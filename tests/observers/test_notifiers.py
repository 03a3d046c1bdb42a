"""Each notifier against a receiver that enforces the service's rules."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default as mail_policy
from pathlib import Path
from typing import Any

import pytest
from receivers import Receiver, Reply, Request, discord, parse_markdown, slack, teams, telegram

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.core.exception import ConfigurationError, DeliveryFailed, NotCallableObject
from dotflow.core.messages import TaskError
from dotflow.core.task import Task
from dotflow.core.types import TypeStatus
from dotflow.providers import (
    NotifyApprise,
    NotifyDigest,
    NotifyDiscord,
    NotifyEmail,
    NotifyFilter,
    NotifyMany,
    NotifySlack,
    NotifyTeams,
    NotifyTelegram,
    NotifyThrottle,
    NotifyWebhook,
)
from dotflow.providers.notify_email import body_of

TOKEN = "123456:right-token_0"
NASTY = [
    "plain",
    "_*`[~|>#<!channel> <@U1> & ```unclosed ** __ \\ [x](http://evil) @everyone",
    "`" * 50 + "*" * 50,
    "line\nbreak\r\n\x00\x07\x1b[31mred\x7f",
    "lone \ud800 surrogate, 🧨" * 20,
    "🧨" * 30_000,
    "<&>" * 30_000,
    "\\" * 30_000,
]


@action
def step() -> None:
    """Stand for a step."""


def task_of(value: Any = None, error: str | None = None, status: str = TypeStatus.FAILED) -> Task:
    made = Task("load_orders", step, workflow_id="etl*daily_", initial_context=value)
    made.status = TypeStatus(status)
    made.duration = 1.5
    if error is not None:
        made.errors.append(TaskError(ValueError(error), 1))
    return made


Maker = Callable[..., Notify]
SERVICES: dict[str, tuple[Callable[[Request], Reply], Callable[[str, dict[str, Any]], Notify]]] = {
    "slack": (slack, lambda url, kw: NotifySlack(f"{url}/services/T0/B0/abcdefgh", **kw)),
    "discord": (discord, lambda url, kw: NotifyDiscord(f"{url}/api/webhooks/1/abcdefgh", **kw)),
    "telegram": (telegram, lambda url, kw: NotifyTelegram(TOKEN, 42, server=url, **kw)),
    "teams": (teams, lambda url, kw: NotifyTeams(f"{url}/workflows/abcdefgh", **kw)),
}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest, receiver: Receiver) -> Callable[..., Notify]:
    rule, make = SERVICES[request.param]
    receiver.rule = rule
    return lambda **kw: make(receiver.url, {"timeout": 5, **kw})


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_whatever_a_step_says_is_accepted(service: Maker, receiver: Receiver, text: str) -> None:
    """Limits are kept and markup is escaped, in the error and in the result."""
    service(show_result=True).hook_status_task(task_of({"text": text}, text))

    [request] = receiver.got
    assert "Failed" in json.dumps(request.json(), ensure_ascii=False)
    assert b"\x1b" not in request.body


def test_a_result_of_a_hundred_megabytes_is_left_out(service: Maker, receiver: Receiver) -> None:
    """A huge result neither goes out nor is turned into text first."""
    service(show_result=True).hook_status_task(task_of("x" * 100_000_000, "no"))

    assert len(receiver.got[0].body) < 30_000
    assert b"size exceeded" in receiver.got[0].body


def test_an_error_of_a_hundred_megabytes_is_cut(service: Maker, receiver: Receiver) -> None:
    """Its beginning arrives, in no more time than a short one takes to be sent."""
    task = task_of()
    error = TaskError(None, 1)
    error.exception, error.message, error.traceback = "ValueError", "begins " + "x" * 100_000_000, "x" * 100_000_000
    task.errors.append(error)
    before = time.process_time()
    service(show_result=True).hook_status_task(task)

    assert time.process_time() - before < 5  # it would be half a minute
    assert b"begins x" in receiver.got[0].body
    assert len(receiver.got[0].body) < 30_000


def test_a_program_and_a_mailbox_get_what_fits(receiver: Receiver) -> None:
    """The webhook and the mail leave out a huge result too."""
    task = task_of("x" * 100_000_000, "no")
    NotifyWebhook(receiver.url).hook_status_task(task)
    mail = NotifyEmail("localhost", "a@example.org", "b@example.org", show_result=True)

    assert len(receiver.got[0].body) < 110_000
    assert receiver.got[0].json()["task"]["initial_context"] == {"message": "Context size exceeded"}
    assert len(body_of(mail.message_of(task))) < 130_000


def test_a_service_that_hangs_is_given_up(receiver: Receiver) -> None:
    """After the timeout, without a second try: the message may have arrived."""
    receiver.hang()
    with pytest.raises(DeliveryFailed, match="did not answer within 0.1 s") as caught:
        NotifySlack(f"{receiver.url}/services/abcdefgh", timeout=0.1).hook_status_task(task_of())

    assert caught.value.later
    assert len(receiver.got) == 1


def test_a_type_that_is_not_wanted_is_not_sent(service: Maker, receiver: Receiver) -> None:
    """``notification_type`` names the one status that is told."""
    notify = service(notification_type=TypeStatus.FAILED)

    notify.hook_status_task(task_of(status=TypeStatus.COMPLETED))
    notify.hook_status_task(task_of(error="x"))

    assert len(receiver.got) == 1


def test_the_result_is_real_json(receiver: Receiver) -> None:
    """What stands between the fences of Discord's field can be read by a program."""
    receiver.rule = discord
    NotifyDiscord(f"{receiver.url}/api/webhooks/1/abcdefgh", show_result=True).hook_status_task(task_of({"n": 1}))

    [field] = receiver.got[0].json()["embeds"][0]["fields"]
    found = json.loads(field["value"].removeprefix("```json\n").removesuffix("```"))
    assert json.loads(found["initial_context"]) == {"n": 1}


def test_telegrams_text_reads_as_it_was_meant(receiver: Receiver) -> None:
    """After the service's parser, the user's own characters are what they were."""
    receiver.rule = telegram
    NotifyTelegram(TOKEN, "@room", server=receiver.url).hook_status_task(task_of(error="a_b*c[d`e"))

    body = receiver.got[0].json()
    assert (body["chat_id"], body["parse_mode"]) == ("@room", "markdown")
    assert parse_markdown(body["text"]).splitlines() == [
        "❌ Failed", "ValueError: a_b*c[d`e", "etl*daily_ — Task load_orders",
    ]  # fmt: skip


def test_a_wrong_token_is_told_without_the_token(receiver: Receiver) -> None:
    """The error names the server and its answer."""
    receiver.rule = telegram
    with pytest.raises(DeliveryFailed, match=r"401.*Unauthorized") as caught:
        NotifyTelegram("999999:wrong-token", 1, server=receiver.url).hook_status_task(task_of())

    assert "wrong-token" not in str(caught.value)
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("headers", "text"),
    [({"Retry-After": "0.05"}, ""), ({}, '{"retry_after": 0.05}'), ({}, '{"parameters": {"retry_after": 0.05}}')],
)
def test_a_service_that_is_busy_is_asked_again(receiver: Receiver, headers: dict[str, str], text: str) -> None:
    """``Retry-After`` is honoured, in the header or in the JSON."""
    receiver.rule = lambda request: (429, headers, text) if len(receiver.got) < 3 else (200, {}, "ok")

    NotifySlack(f"{receiver.url}/services/abcdefgh").hook_status_task(task_of())

    assert len(receiver.got) == 3


def test_500_is_tried_again_and_then_told(receiver: Receiver) -> None:
    """Three tries, then the failure."""
    receiver.rule = lambda request: (503, {"Retry-After": "0"}, "down")
    with pytest.raises(DeliveryFailed, match="answered 503: down"):
        NotifySlack(f"{receiver.url}/services/abcdefgh").hook_status_task(task_of())

    assert len(receiver.got) == 3


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((302, {"Location": "http://127.0.0.1:9/"}, ""), "redirects"),
        ((400, {}, "no_text"), "answered 400: no_text"),
        ((200, {}, "invalid_token"), "invalid_token"),
        ((200, {"Content-Length": "100"}, "half"), "broke the connection"),
        (None, "broke the connection"),
    ],
)
def test_what_is_no_success_is_a_failure(receiver: Receiver, reply: Reply | None, message: str) -> None:
    """A redirect is not followed; a connection that breaks is not taken for an answer."""

    def rule(request: Request) -> Reply | None:
        return reply

    receiver.rule = rule
    with pytest.raises(DeliveryFailed, match=message):
        NotifySlack(f"{receiver.url}/services/abcdefgh", timeout=0.5).hook_status_task(task_of())

    assert len(receiver.got) == 1


def test_a_name_that_does_not_resolve_is_told(receiver: Receiver) -> None:
    """So is a port where nobody listens."""
    for url in ("http://no-such-host.invalid/abcdefgh", "http://127.0.0.1:9/abcdefgh"):
        with pytest.raises(DeliveryFailed, match="cannot be reached"):
            NotifySlack(url).hook_status_task(task_of())


@pytest.mark.parametrize("url", ["", "ftp://x/y", "http://", "http://x:y/", "http://x/\n", 7, "https://ü.example/"])
def test_an_address_that_is_none_is_refused(url: Any) -> None:
    """At the constructor, as everything that cannot work."""
    for make in (NotifySlack, NotifyDiscord, NotifyTeams, NotifyWebhook):
        with pytest.raises(ConfigurationError):
            make(url)


def test_a_webhook_is_signed_and_names_the_event(receiver: Receiver) -> None:
    """The signature holds for this body and key; the id is that of the change."""
    notify = NotifyWebhook(f"{receiver.url}/hook", key="sixteen characters")
    for _ in range(2):
        notify.hook_status_task(task_of({"a": 1}, "bad"))
    notify.hook_status_task(task_of(status=TypeStatus.COMPLETED))

    first, second, other = receiver.got
    signature = first.headers["X-Dotflow-Signature"]
    assert NotifyWebhook.verify("sixteen characters", signature, first.body)
    assert not NotifyWebhook.verify("sixteen characters", signature, first.body + b" ")
    assert not NotifyWebhook.verify("another key, longer", signature, first.body)
    assert not NotifyWebhook.verify("sixteen characters", signature, first.body, tolerance=-1)
    assert not NotifyWebhook.verify("sixteen characters", "nonsense", first.body)
    assert first.json()["id"] == second.json()["id"] == first.headers["X-Dotflow-Event-Id"] != other.json()["id"]
    assert first.json()["task"]["error"]["message"] == "bad"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "2", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


class Mailbox:
    """An SMTP server's handler."""

    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.mails.append(message_from_bytes(envelope.content, policy=mail_policy))
        return "250 OK"


@pytest.fixture
def smtp(certificate: Path) -> Iterator[tuple[Mailbox, int, ssl.SSLContext]]:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == b"right password", handled=False)

    class OnAnyPort(Controller):
        def _trigger_server(self) -> None:
            assert self.server is not None
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    box = Mailbox()
    controller = OnAnyPort(
        box, hostname="localhost", port=0, tls_context=own, require_starttls=True, auth_required=True,
        authenticator=authenticate,
    )  # fmt: skip
    controller.start()
    yield box, controller.port, ssl.create_default_context(cafile=certificate / "cert.pem")
    controller.stop()


def test_a_mail_goes_out_encrypted(smtp: tuple[Mailbox, int, ssl.SSLContext]) -> None:
    """STARTTLS, a login, and a body that says what happened; no line break gets into a header."""
    box, port, trust = smtp
    notify = NotifyEmail(
        "localhost", "a@example.org", ["b@example.org", "c@example.org"], port, "me", "right password", context=trust,
        show_result=True,
    )  # fmt: skip
    task = task_of({"n": 1}, "first\nBcc: evil@example.org \ud800")
    task.workflow_id = "x\r\nBcc: evil@example.org"
    notify.hook_status_task(task)

    [mail] = box.mails
    assert mail["Bcc"] is None
    assert "❌ Failed" in mail["Subject"]
    assert "ValueError: first\nBcc: evil@example.org" in mail.get_content().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("to", "password", "message"),
    [("nobody@example.org", "right password", "550"), ("b@example.org", "wrong password", "535")],
)
def test_a_mail_that_is_refused_is_a_failure(
    smtp: tuple[Mailbox, int, ssl.SSLContext], to: str, password: str, message: str
) -> None:
    """A wrong password and an unknown recipient are told, without the password."""
    box, port, trust = smtp
    with pytest.raises(DeliveryFailed, match=message) as caught:
        NotifyEmail("localhost", "a@example.org", to, port, "me", password, context=trust).hook_status_task(task_of())

    assert password not in str(caught.value)
    assert not box.mails


def test_a_certificate_nobody_vouches_for_is_refused(smtp: tuple[Mailbox, int, ssl.SSLContext]) -> None:
    """By default the system's certificates decide."""
    with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
        NotifyEmail("localhost", "a@example.org", "b@example.org", smtp[1]).hook_status_task(task_of())


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # imported by apprise itself
def test_apprise_delivers(receiver: Receiver) -> None:
    """Any of its URLs; a service that refuses is a failure."""
    host = receiver.url.removeprefix("http://")
    notify = NotifyApprise(f"json://{host}/somewhere")
    notify.hook_status_task(task_of(error="bad"))
    receiver.rule = lambda request: (500, {}, "")

    assert "bad" in receiver.got[0].json()["message"]
    with pytest.raises(DeliveryFailed, match="Apprise"):
        notify.hook_status_task(task_of())
    with pytest.raises(ConfigurationError):
        NotifyApprise("no such url")


class Ear(Notify):
    """Remembers what it was told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[str] = []
        self._error = error

    def hook_status_task(self, task: Any) -> None:
        self.heard.append(f"{task.task_id} {task.status}")
        if self._error is not None:
            raise self._error

    def hook_status_workflow(self, run: Any) -> None:
        self.heard.append(f"run {run.status}")


def run_of(notify: Notify, *steps: Any) -> Any:
    workflow = DotFlow(Config(notify=notify))
    workflow.task.add(list(steps))
    return workflow.start(keep_going=True)


@action
def good() -> int:
    return 1


@action
def bad() -> None:
    raise ValueError("bad")


def test_many_are_told_although_one_fails() -> None:
    """In a run each member is an observer of its own; by hand, what they raise comes together."""
    broken, other = Ear(OSError("gone")), Ear()
    run = run_of(NotifyMany(broken, other), good)

    assert other.heard == broken.heard == ["good In progress", "good Completed", "run Completed"]
    assert run.observer_fault_counts == {"Ear": 2}
    with pytest.raises(ExceptionGroup):
        NotifyMany(broken, other).hook_status_task(task_of())


def test_a_filter_lets_through_what_is_wanted() -> None:
    """By status and by step."""
    ear = Ear()
    run_of(NotifyFilter(ear, statuses=["Failed", "Completed"], steps=["b*"], runs=False), good, bad)

    assert ear.heard == ["bad Failed"]
    with pytest.raises(ConfigurationError, match="Faled"):
        NotifyFilter(ear, statuses=["Faled"])
    with pytest.raises(NotCallableObject):
        NotifyFilter("slack")  # type: ignore[arg-type]  # that is the point


def test_a_throttle_drops_and_counts() -> None:
    """So many in a span, failures all the same, and room again later."""
    now = [0.0]
    ear = Ear()
    notify = NotifyThrottle(ear, most=2, seconds=10, clock=lambda: now[0])
    for status in ("In progress", "Completed", "Completed", "Failed"):
        notify.hook_status_task(task_of(status=status))
    now[0] = 10.0
    notify.hook_status_task(task_of(status="Completed"))

    assert [line.split(" ", 1)[1] for line in ear.heard] == ["In progress", "Completed", "Failed", "Completed"]
    assert notify.dropped == 1


def test_a_digest_is_one_message_for_a_run(receiver: Receiver) -> None:
    """It says how many completed, and what failed."""
    run_of(NotifyDigest(NotifySlack(f"{receiver.url}/services/abcdefgh")), good, bad)

    [request] = receiver.got
    text = request.json()["text"]
    assert re.search(r"❌ Failed\n1 of 2 tasks completed in \d+\.\d s\nbad: ValueError: bad\n", text)


def test_a_digest_by_one_that_cannot_is_refused() -> None:
    """A notifier that knows only tasks cannot sum up a run."""

    class Plain(Notify):
        def hook_status_task(self, task: Any) -> None:
            pass

    with pytest.raises(ConfigurationError, match="hook_status_workflow"):
        NotifyDigest(Plain())


def test_the_seed_pages_notifier_works_verbatim(receiver: Receiver) -> None:
    """Its class, as the page prints it."""

    class NotifySlack(Notify):
        def __init__(self, webhook_url: str):
            self.webhook_url = webhook_url

        def hook_status_task(self, task: Any) -> None:
            import requests

            requests.post(self.webhook_url, json={
                "text": f"Task {task.task_id}: {task.status}"
            })  # fmt: skip

    receiver.rule = slack
    run_of(NotifySlack(webhook_url=receiver.url), good)

    assert [request.json()["text"] for request in receiver.got] == ["Task good: In progress", "Task good: Completed"]
