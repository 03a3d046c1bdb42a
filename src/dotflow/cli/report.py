"""What is said when a run has ended: how it went, what failed and why, and how it is resumed."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dotflow.core.record import one_line
from dotflow.core.redact import mask_error
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.views.progress import escape, write
from dotflow.views.state import error_line, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.cli.target import Target
    from dotflow.core.task import Task

FAILURES_SHOWN = 10


def report(tasks: Sequence[Task], status: WorkflowStatus, took: float, resume: str) -> None:
    """Write the summary of a run; the traceback of its first failure goes to standard error."""
    write(sys.stdout, f"{status.lower()}: {counts(tasks)} in {seconds(took)}")
    failed = [task for task in tasks if task.status is TypeStatus.FAILED]
    for task in failed[:FAILURES_SHOWN]:
        tries = f", attempt {task.error.attempt}" if (task.error.attempt or 0) > 1 else ""
        write(sys.stdout, f"  {one_line(task.task_id)}{tries}: {error_line(task.error)}")
    if len(failed) > FAILURES_SHOWN:
        write(sys.stdout, f"  and {len(failed) - FAILURES_SHOWN} more")
    if failed:
        more = "" if len(failed) == 1 else ", the first of those that failed"
        write(
            sys.stderr,
            f"\ntraceback of {one_line(failed[0].task_id)}{more}:\n{escape(mask_error(failed[0].error).traceback)}\n",
        )
    if resume and status is not WorkflowStatus.COMPLETED:
        write(sys.stdout, f"resume with: {resume}")


def counts(tasks: Sequence[Task]) -> str:
    """Return how many tasks ended in which way."""
    found = Counter(task.status for task in tasks)
    restored = sum(task.restored for task in tasks)
    parts = [f"{found[TypeStatus.COMPLETED]} of {len(tasks)} completed"]
    if restored:
        parts[0] += f" ({restored} restored)"
    for status in (TypeStatus.FAILED, TypeStatus.PAUSED, TypeStatus.NOT_STARTED):
        if found[status]:
            parts.append(f"{found[status]} {status.lower()}")
    return ", ".join(parts)


def resume_command(target: Target, arguments: Sequence[str]) -> str:
    """Return the command that resumes the run these *arguments* started; nothing if nothing of it is kept."""
    if not target.lasting:
        return ""
    words = list(arguments)
    if words[:1] == ["resume"]:
        return shlex.join([*program(), *words])
    if "--resume" not in words:
        words.append("--resume")
    named = any(word == "--workflow-id" or word.startswith("--workflow-id=") for word in words)
    if target.id_from_outside and not named:
        known = str(target.workflow.workflow_id)
        words += [f"--workflow-id={known}"] if known.startswith("-") else ["--workflow-id", known]
    return shlex.join([*program(), *words])


def program() -> list[str]:
    """Return how this program was started."""
    if Path(sys.argv[0]).name == "__main__.py":
        return [shortest(sys.executable), "-m", "dotflow"]
    return [shortest(sys.argv[0])] if os.path.isfile(sys.argv[0]) else ["dotflow"]


def shortest(program: str) -> str:
    """Return the name of *program* if a shell finds it by that, else its path."""
    import shutil

    found = shutil.which(Path(program).name)
    same = found is not None and os.path.abspath(found) == os.path.abspath(program)
    return Path(program).name if same else program
