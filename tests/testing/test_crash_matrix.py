"""A run killed at every point of its way gives, once resumed, the results of a run that nobody disturbed."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path

import pytest

from dotflow.testing import CrashTable, Point, crash_matrix


@pytest.fixture(autouse=True)
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "effects"
    path.touch()
    monkeypatch.setenv("CRASH_EFFECTS", str(path))
    return path


def bodies(effects: Path) -> dict[str, Counter[str]]:
    """How often the body of each step ran, by room."""
    found: dict[str, Counter[str]] = {}
    for line in effects.read_text().splitlines():
        room, name = line.split(" ")
        found.setdefault(room, Counter())[name] += 1
    return found


@pytest.fixture
def servers(valkey: tuple[str, int], postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say where ``crash_flow`` finds the servers, and a part of each that is this test's own."""
    monkeypatch.setenv("CRASH_POSTGRES", postgres)
    monkeypatch.setenv("CRASH_VALKEY", str(valkey[1]))
    monkeypatch.setenv("CRASH_SPACE", f"crash_{uuid.uuid4().hex[:8]}")


@pytest.mark.usefixtures("servers")
@pytest.mark.parametrize("name", ["on_file", "on_sqlite", "on_postgres", "on_valkey"])
def test_every_kill_is_survived(name: str, effects: Path) -> None:
    """Twelve tasks, retries, a group, values of every type: no saved step runs again, and nothing is lost."""
    table = crash_matrix(f"crash_flow:{name}")

    assert {"before post values", "after post values", "at TaskCompleted last", "at TaskRetried clean"} <= {
        str(crash.point) for crash in table
    }
    assert {crash.point.what for crash in table} >= {"WorkflowStarted", "WorkflowFinished", "TaskStarted", "post"}
    ran = bodies(effects)
    for crash in table:
        assert len(ran[crash.room]) == 12
        for task in (task.replace("part-", "part") for task in crash.saved):
            assert ran[crash.room][task] == 1, f"{task} ran twice, killed {crash.point}"
        assert max(ran[crash.room].values()) <= 2
    assert len(table) >= 60


def test_three_methods_are_enough(effects: Path) -> None:
    """A storage with nothing else: the same, with a read after each save."""
    table = crash_matrix("crash_flow:on_three_methods")

    assert {"before post nothing", "after post nothing", "before get nothing"} <= {str(crash.point) for crash in table}
    ran = bodies(effects)
    assert all(ran[crash.room][task] == 1 for crash in table for task in crash.saved)


def test_processes_that_die_with_their_parent(effects: Path) -> None:
    """The same in parallel mode, at some points."""
    points = ["before post empty", "after post clean", "at TaskRetried clean"]

    table = crash_matrix("crash_flow:on_sqlite", points, mode="parallel")

    assert [str(crash.point) for crash in table] == points
    assert "clean" in table[1].saved
    assert "clean" not in table[1].again


def test_a_factory_without_a_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its storage is cleared before each run."""
    monkeypatch.setenv("CRASH_DATABASE", str(tmp_path / "one.db"))

    table = crash_matrix("crash_flow:on_one_file")

    by_point = {str(crash.point): crash for crash in table}
    assert by_point["before post extract"].saved == ()
    assert by_point["before post extract"].again == ("extract", "clean", "nothing")
    assert by_point["after post extract"].again == ("clean", "nothing")
    assert by_point["at WorkflowFinished"].again == ()
    assert "after post extract" in str(table)


def test_a_storage_that_forgets_is_found() -> None:
    """The points at which it fails are listed."""
    with pytest.raises(AssertionError, match="extract was saved and ran again") as caught:
        crash_matrix("crash_flow:on_a_forgetful_one")

    message = str(caught.value)
    assert "after post extract" in message
    assert "before post extract" not in message


def test_results_that_differ_are_found() -> None:
    """A step that gives something else each time, and was saved in neither run."""
    with pytest.raises(AssertionError, match="whose is "):
        crash_matrix("crash_flow:never_the_same", ["before post whose"])


@pytest.mark.parametrize(
    ("workflow", "points", "message"),
    [
        ("crash_flow:in_memory", None, "ends with its process"),
        ("crash_flow:on_file", ["after post nobody"], "did not reach this point"),
        ("crash_flow:nowhere", None, "exit code"),
    ],
)
def test_what_cannot_be_done_is_told(workflow: str, points: list[str] | None, message: str) -> None:
    """A storage in memory, a point that is not there, a workflow that is not there."""
    with pytest.raises(AssertionError, match=message):
        crash_matrix(workflow, points)


def test_an_empty_table() -> None:
    """Has a head."""
    assert str(CrashTable()).split() == ["killed", "saved", "before", "run", "again"]
    assert Point.parse("after post a b #2") == Point("after", "post", "a b", 2)
