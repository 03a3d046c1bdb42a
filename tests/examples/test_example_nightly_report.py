"""The report comes by mail each morning in New York, with its plot, and trouble is told."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from example_tools import EXAMPLES, assert_promised, run

from dotflow.providers import SchedulerCron
from dotflow.testing import FakeClock


class Mailbox:
    """Keeps what it is sent; refuses as many mails as it is told to first."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  # named by aiosmtpd
        if self.refuse:
            self.refuse -= 1
            return "451 come back later"
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


class OnAnyPort(Controller):
    """Is asked for port 0, and knows afterwards which one that was."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # of aiosmtpd


@pytest.fixture
def smtp() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    controller = OnAnyPort(box, hostname="127.0.0.1", port=0)
    controller.start()
    yield box, controller.port
    controller.stop()


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES / "nightly_report"))
    return importlib.import_module("report")


def test_report_by_hand(smtp: tuple[Mailbox, int], tmp_path: Path) -> None:
    """``--now`` sends one mail: text, HTML, and in it the plot."""
    box, port = smtp
    output = run(
        str(EXAMPLES / "nightly_report" / "report.py"), "--host", "127.0.0.1", "--port", str(port),
        "--security", "none", "--to", "you@example.org", "--now", folder=tmp_path,
    )  # fmt: skip

    [mail] = box.mails
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert mail["To"] == "you@example.org"
    assert mail["Message-ID"].endswith("@dotflow.example>")
    assert "LGA" in parts["text/plain"]
    assert "<td>LGA</td>" in parts["text/html"]
    assert "cid:plot" in parts["text/html"]
    assert parts["image/png"].startswith(b"\x89PNG")
    assert_promised("nightly_report", output)


def test_report_comes_at_six_in_new_york(smtp: tuple[Mailbox, int], report: ModuleType, tmp_path: Path) -> None:
    """Two mornings, between which the clocks are changed; each mail is about the day before."""
    box, port = smtp
    clock = FakeClock(datetime(2026, 3, 7, 15, tzinfo=UTC).timestamp())
    due: list[str] = []
    scheduler = SchedulerCron(report.EVERY_MORNING, tz=report.ZONE, max_runs=2, clock=clock)
    mail = report.Mail("127.0.0.1", port, "reports@example.org", "you@example.org", "none")
    workflow = report.build(mail, scheduler, str(tmp_path / "report.db"))

    happened = workflow.schedule(listeners=[lambda event: due.append(f"{clock.now():%d %H:%M}")])

    assert (happened.runs, happened.completed) == (2, 2)
    assert list(dict.fromkeys(due)) == ["08 10:00", "09 10:00"], "it is 6:00 there, after the change on the 8th"
    assert [each["Subject"] for each in box.mails] == [
        "Flights from New York, 07 March 2013", "Flights from New York, 08 March 2013",
    ]  # fmt: skip
    assert len({each["Message-ID"] for each in box.mails}) == 2


def test_a_report_that_fails_is_told_to_its_sender(
    smtp: tuple[Mailbox, int], report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the data are missing, the sender gets a mail with the error, and nobody else gets one."""
    box, port = smtp
    monkeypatch.setattr(report, "data_folder", lambda: tmp_path)
    mail = report.Mail("127.0.0.1", port, "reports@example.org", "you@example.org", "none")

    manager = report.build(mail, database=str(tmp_path / "report.db")).start()

    assert manager.status == "Failed"
    [told] = box.mails
    assert told["To"] == "reports@example.org"
    assert "FileNotFoundError" in told.get_content()


def test_each_day_has_one_of_2013(report: ModuleType) -> None:
    """Days of leap years too."""
    assert f"{report.in_2013(datetime(2024, 12, 31)):%d %B %Y}" == "31 December 2013"
    assert f"{report.in_2013(datetime(2026, 3, 1)):%d %B %Y}" == "01 March 2013"
