"""``dotflow resume``: from a run on record to the workflow it came from."""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any

from dotflow.cli.lookup import find_place, print_line
from dotflow.core.exception import ConfigurationError, UnsupportedOption
from dotflow.core.types import WorkflowStatus
from dotflow.history import SHORT, Runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.cli.lookup import Place
    from dotflow.cli.target import Target
    from dotflow.history import Run

PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
OTHERS_MAY_WRITE = 0o022


def resume_run(
    guarded: Callable[..., int],
    *,
    run: str,
    storage: str | None,
    path: str | None,
    workflow: str | None,
    initial_context: str | None,
    yes: bool,
    wait: float,
    keep_going: bool,
) -> int:
    """Go on with a run; return the exit code."""
    from dotflow.cli.running import run_once

    place = find_place(storage, path)
    runs = Runs(place.storage)
    found = runs.get(run)
    if found.status is WorkflowStatus.COMPLETED and workflow is None:
        print_line(f"run {found.run_id[:SHORT]} has completed; there is nothing to resume")
        return 0
    check_state(runs, found)
    wish = {"workflow": workflow, "workflow_id": found.workflow_id, "resume": True}
    if workflow is None:
        wish.update(on_record(found, place, initial_context, yes))
    elif initial_context is not None:
        raise UnsupportedOption("--initial-context is for a run of one step; a workflow has its own")

    def check(target: Target) -> None:
        kept = Runs(target.workflow.config.storage)
        if not kept.resumable(found):
            raise ConfigurationError(
                f"{workflow or found.origin.get('workflow')} keeps its results elsewhere: "
                f"{target.workflow.config.storage!r} has no results of run {found.run_id[:SHORT]}"
            )

    return guarded(run_once, wish, check=check, mode=found.mode, keep_going=keep_going, wait=wait)


def way_on(runs: Runs, run: Run, storage: str | None, path: str | None) -> str:
    """Return how a run that has ended is resumed, or why it cannot be; *storage* and *path* as they were given."""
    if schedule := schedule_of(run):
        return f"it is a tick of the schedule {schedule!r}, which finishes its own runs: start the schedule"
    if not runs.resumable(run):
        return "it cannot be resumed: its results were cleared"
    given = (("--storage", storage), ("--path", path))
    command = shlex.join(
        ["dotflow", "resume", run.run_id[:SHORT], *(word for name, value in given if value for word in (name, value))]
    )
    if run.origin.get("workflow") or run.origin.get("step"):
        return f"resume with: {command}"
    program = run.origin.get("program")
    where = f" in {program}" if program else ""
    return (
        f"resume with: start(resume=True){where}\n"
        f"or with:     {command} --workflow MODULE:NAME  (the DotFlow, or a function that returns it)"
    )


def schedule_of(run: Run) -> str:
    """Return the schedule that *run* is a tick of, and that finishes it; empty if there is none."""
    schedule = run.workflow_id.rpartition("@")[0]
    if run.scheduled_for is None or not schedule:
        return ""
    from dotflow.core.agenda import tick_id

    return schedule if tick_id(schedule, run.scheduled_for) == run.workflow_id else ""


def check_state(runs: Runs, run: Run) -> None:
    """Refuse a run that cannot be resumed."""
    short = run.run_id[:SHORT]
    if run.status is WorkflowStatus.IN_PROGRESS:
        last = run.sessions[-1]
        raise ConfigurationError(
            f"run {short} still goes on, in process {last.pid} on host {last.host}; end it with: dotflow cancel {short}"
        )
    if schedule := schedule_of(run):
        raise UnsupportedOption(
            f"run {short} is a tick of the schedule {schedule!r}, which finishes its own runs: start the schedule"
        )
    if not runs.resumable(run):
        raise ConfigurationError(
            f"run {short} cannot be resumed: its results were cleared, by a later start of {run.workflow_id!r} without "
            "--resume for one"
        )


def on_record(run: Run, place: Place, initial_context: str | None, yes: bool) -> dict[str, Any]:
    """Return what to load as the record tells it, if that can be trusted or somebody agrees."""
    origin, short = run.origin, run.run_id[:SHORT]
    target = origin.get("workflow") or origin.get("step")
    if target is None:
        program = origin.get("program")
        came = f"it was started by the program {program}; start that with resume=True" if program else "it is not known"
        raise ConfigurationError(
            f"where run {short} came from: {came}, or name the workflow with --workflow module:name"
        )
    callback = origin.get("callback")
    for each in filter(None, (target, callback)):
        if not PATH.fullmatch(each):
            raise ConfigurationError(f"run {short} names {each!r}, which is no module:name; use --workflow module:name")
    if not yes and not only_mine(place.file):
        ask(short, target)
    folder = origin.get("folder", "")
    if folder and os.path.realpath(folder) != os.path.realpath(os.curdir):
        raise ConfigurationError(
            f"run {short} was started in the folder {folder!r}: go there, or use --workflow module:name"
        )
    if origin.get("workflow"):
        if initial_context is not None:
            raise UnsupportedOption("--initial-context is for a run of one step; a workflow has its own")
        return {"workflow": target}
    text = initial_context if initial_context is not None else origin.get("initial_context")
    return {
        "step": target,
        "callback": callback,
        "initial_context": text,
        "storage": place.name,
        "path": place.path,
    }


def only_mine(file: str) -> bool:
    """Whether a storage is a file or folder that only this user can write: its records are as good as his word."""
    if not file or not hasattr(os, "geteuid"):
        return False
    for path in (file, os.path.dirname(os.path.abspath(file))):
        try:
            found = os.stat(path)
        except OSError:
            return False
        if found.st_uid != os.geteuid() or found.st_mode & OTHERS_MAY_WRITE:
            return False
    return True


def ask(run: str, target: str) -> None:
    """Ask whether to load *target*; where there is nobody to ask, refuse."""
    import click

    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()):
        raise ConfigurationError(
            f"run {run} says that it came from {target!r}; others can write to that storage, so that has to be "
            f"confirmed: add --yes, or --workflow {target}"
        )
    if not click.confirm(f"run {run} says that it came from {target!r}. Load and resume it?", err=True):
        raise click.Abort
