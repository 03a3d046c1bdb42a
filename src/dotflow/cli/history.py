"""The commands about runs that were: their options. What they do stands in modules of their own, imported when used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dotflow.cli.choice import Known, Listed, StorageName

if TYPE_CHECKING:
    from collections.abc import Callable


def _run_ids(options: dict[str, Any]) -> list[str]:
    """Return what a RUN can be completed to."""
    from dotflow.cli.completion import run_ids

    return run_ids(options)


STATUSES = ("completed", "failed", "interrupted", "cancelled", "in progress")
LEVELS = ("debug", "info", "warning", "error")
PLACE: tuple[Callable[..., Any], ...] = (
    click.option("-o", "--storage", type=StorageName(), help="Where to look; see below."),
    click.option("-p", "--path", metavar="PATH", help="Where that storage is."),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")
RUN = click.argument("run", metavar="RUN", type=Listed(_run_ids))
WHERE = (
    "Looks in --storage, else in DOTFLOW_STORAGE, else in the storage that [tool.dotflow] of pyproject.toml names, "
    "else in dotflow.db or .output of this folder."
)
WHICH = "RUN is the id of a run, or as much of its beginning as no other id shares."


class AnyCase(Known):
    """One of a few names, in any case."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return *value* as it is in the table."""
        return super().convert(str(value).lower(), param, ctx)


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say which storage is meant."""
    for option in reversed(PLACE):
        command = option(command)
    return command


def add_to(
    group: click.Group, target_options: Callable[[Callable[..., Any]], Callable[..., Any]], guarded: Callable[..., int]
) -> None:
    """Add the commands to *group*; options and error handling are those that all commands share."""
    _add_reading(group)
    _add_acting(group, guarded)
    _add_plan(group, target_options, guarded)
    _add_logs(group)


def _add_reading(group: click.Group) -> None:
    @group.command(short_help="List runs.", epilog=WHERE)
    @place_options
    @click.option("--status", type=AnyCase("status", STATUSES), help="Only those that stand there.")
    @click.option("--workflow", metavar="TEXT", help="Only those of this workflow id, or name.")
    @click.option("--since", metavar="WHEN", help="Only those begun since: 90m, 2h, 7d, 2027-03-01, 2027-03-01T09:00.")
    @click.option("-n", "--limit", type=click.IntRange(min=1), default=20, help="At most so many; 20 by default.")
    @JSON
    def runs(**given: Any) -> int:
        """List runs, the newest first."""
        from dotflow.cli.listing import list_runs

        return list_runs(**given)

    @group.command(short_help="Show a run: tasks, times, errors.", help=f"Show a run. {WHICH}", epilog=WHERE)
    @RUN
    @place_options
    @JSON
    def show(**given: Any) -> int:
        from dotflow.cli.listing import show_run

        return show_run(**given)

    @group.command(short_help="Show when each task of a run ran.", help=f"Draw a run over time. {WHICH}", epilog=WHERE)
    @RUN
    @place_options
    @click.option("--svg", "output", metavar="FILE", help="Write an SVG picture to FILE; - is standard output.")
    @click.option("--force", is_flag=True, help="Replace FILE if it is there.")
    @JSON
    def timeline(**given: Any) -> int:
        from dotflow.cli.timeline import draw

        return draw(**given)


def _add_acting(group: click.Group, guarded: Callable[..., int]) -> None:
    @group.command(
        short_help="Go on with a run that did not complete.",
        help=f"Go on with a run that did not complete. {WHICH} The workflow is the one that the run came from, if that "
        "is on record. A record in a storage that others can write is not trusted to say what is loaded: then --yes "
        "or --workflow is needed, or your answer. Exit codes are those of start.",
        epilog=WHERE,
    )
    @RUN
    @place_options
    @click.option("-w", "--workflow", metavar="PATH", help="The function that returns the DotFlow, as module:name.")
    @click.option("-i", "--initial-context", metavar="TEXT", help="For a run of one step whose text is not on record.")
    @click.option("-y", "--yes", is_flag=True, help="Load what the record names.")
    @click.option("--wait", type=click.FloatRange(min=0), default=0, metavar="SECONDS", help="Wait for the lead.")
    @click.option("--keep-going", is_flag=True, help="Go on after a failed task.")
    def resume(**given: Any) -> int:
        from dotflow.cli.resuming import resume_run

        return resume_run(guarded, **given)

    @group.command(
        short_help="End a run in another process.",
        help=f"End a run in another process, in order. {WHICH} It can be resumed.",
        epilog=WHERE,
    )
    @RUN
    @place_options
    @click.option(
        "--wait",
        type=click.FloatRange(min=0),
        default=10.0,
        metavar="SECONDS",
        help="How long to wait for its end; 10 by default.",
    )
    @click.option("--kill", is_flag=True, help="Kill its process if it has not ended by then; on this machine only.")
    def cancel(**given: Any) -> int:
        from dotflow.cli.cancelling import cancel_run

        return cancel_run(**given)


def _add_plan(
    group: click.Group, target_options: Callable[[Callable[..., Any]], Callable[..., Any]], guarded: Callable[..., int]
) -> None:
    @group.command(short_help="Show what a resume would run, and what it would skip.")
    @target_options
    @click.option(
        "--on-input-change",
        type=Known("policy", ("reuse", "reset", "raise")),
        default="reuse",
        help="What a changed input does to saved results.",
    )
    @JSON
    def plan(on_input_change: str, as_json: bool, **given: Any) -> int:
        """Show what "start --resume" would run, what it would skip, and why. No step runs and nothing is written."""
        from dotflow.cli.planning import show_plan

        mode, _, _ = given.pop("mode"), given.pop("keep_going"), given.pop("wait")
        return guarded(show_plan, given, mode=mode, on_input_change=on_input_change, as_json=as_json)


def _add_logs(group: click.Group) -> None:
    @group.command(short_help="Read the file that LogDefault writes.")
    @click.argument("file", metavar="[FILE]", default=".output/flow.log")
    @click.option("-f", "--follow", is_flag=True, help="Wait for more lines, until Ctrl-C.")
    @click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Only the last N records.")
    @click.option(
        "--level", type=AnyCase("level", LEVELS), default="debug", help="Only records of that level or above."
    )
    @click.option("--task", metavar="ID", help="Only records of this task.")
    @click.option("--workflow", metavar="ID", help="Only records of this workflow id.")
    @click.option("--run", metavar="RUN", help="Only records of this run, which is looked up as for 'show'.")
    @place_options
    @JSON
    def logs(**given: Any) -> int:
        """Read the file that LogDefault writes, and those it put aside; FILE is .output/flow.log by default.

        Its three formats (simple, json, logfmt) are told apart line by line.
        """
        from dotflow.cli.logs import read_logs

        return read_logs(**given)
