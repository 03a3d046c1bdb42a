"""The commands, and what becomes of errors: a line and an exit code.

Exit codes: 0 completed, 1 failed, 2 nothing has run (wrong usage, say), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dotflow import __description__, __version__
from dotflow.cli.choice import MODES, STORAGES, Commands, Known, Reference, StorageName
from dotflow.cli.history import add_to as add_history
from dotflow.cli.notify import SERVICES
from dotflow.cli.tools import add_tools
from dotflow.core.exception import DotflowError, WorkflowBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.cli.target import Wish

COMPLETED, NOTHING_RAN = 0, 2
CLICKS_LEAST = 52
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run() -> NoReturn:
    """Run the command line of this process, and end the process."""
    code = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # nobody reads it, or there is none
            from dotflow.views.progress import silence

            silence(stream)
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run the command line *arguments*; return the exit code."""
    if "_DOTFLOW_COMPLETE" in os.environ:
        from dotflow.cli.completion import prepare

        prepare()
    try:
        given: dict[str, Any] = {"terminal_width": narrow()}
        return int(commands.main(arguments, prog_name="dotflow", standalone_mode=False, **given) or COMPLETED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        return 130
    except BrokenPipeError:  # of --help
        return COMPLETED
    except WorkflowBusy as error:
        complain(
            f"Error: workflow {str(error.workflow_id)!r} is being run by {error.holder}; wait for it with --wait "
            "SECONDS, or use another --workflow-id"
        )
        return NOTHING_RAN
    except DotflowError as error:  # of a run that has begun, the command itself has told
        complain(f"Error: {error}")
        return NOTHING_RAN


def narrow() -> int | None:
    """Return the width for help in a window that is narrower than click takes one to be at least."""
    import shutil

    columns = shutil.get_terminal_size().columns
    return columns - 1 if 20 < columns < CLICKS_LEAST else None


def complain(text: str) -> None:
    """Write *text* to standard error, without control characters."""
    from dotflow.views.progress import escape, write

    write(sys.stderr, escape(text))


@click.group(cls=Commands, context_settings=SETTINGS, invoke_without_command=True, help=__description__)
@click.version_option(__version__, "-v", "--version", message="dotflow==%(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Say what there is."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


PATHS = "; ".join(f"{name}: {row.place}" for name, row in STORAGES.items() if row.place != "not used")
TARGET: tuple[Callable[..., Any], ...] = (
    click.option("-s", "--step", type=Reference(), metavar="PATH", help="The step to run, as package.module:name."),
    click.option(
        "-w",
        "--workflow",
        type=Reference(),
        metavar="PATH",
        help="A DotFlow, or a function that returns one, written like that.",
    ),
    click.option(
        "-c", "--callback", type=Reference(), metavar="PATH", help="Called with the task when the step has ended."
    ),
    click.option("-i", "--initial-context", metavar="TEXT", help="What the step gets as initial_context: this text."),
    click.option("-o", "--storage", type=StorageName(), help="Where results are kept; in memory by default."),
    click.option("-p", "--path", metavar="PATH", help=f"Where the storage is ({PATHS})."),
    click.option("-m", "--mode", type=Known("mode", MODES), default=MODES[0], help="How tasks follow each other."),
    click.option("--workflow-id", metavar="TEXT", help="Name of the workflow; default: WORKFLOW_ID, else random."),
    click.option(
        "--wait",
        type=click.FloatRange(min=0),
        default=0,
        metavar="SECONDS",
        help="Wait for another run of this id.",
    ),
    click.option("--keep-going", is_flag=True, help="Go on after a failed task."),
)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the options that say what to run, and how."""
    for option in reversed(TARGET):
        command = option(command)
    return command


@commands.command(short_help="Run a step or a workflow once.")
@target_options
@click.option("--resume", is_flag=True, help="Keep the results of an earlier run with this workflow id.")
def start(mode: str, keep_going: bool, wait: float, **wish: Any) -> int:
    """Run a step or a workflow once.

    Modules are looked for in the working folder first. Exit codes: 0 completed, 1 failed, 2 nothing has run,
    130 interrupted, 143 terminated.
    """
    from dotflow.cli.running import run_once

    return guarded(run_once, wish, mode=mode, keep_going=keep_going, wait=wait)


@commands.group(cls=Commands, short_help="Try out where notifications go.")
def notify() -> None:
    """Try out where notifications go."""


@notify.command("test", short_help="Send a message and show the answer.")
@click.argument("url")
@click.option("--as", "service", type=Known("service", SERVICES), help="Which service it is, if the URL does not say.")
def notify_test(url: str, service: str | None) -> int:
    """Send one message to URL and show the answer.

    URL is a webhook of Slack, Discord or Teams, smtp://host?from=...&to=..., tgram://token/chat, any other address of
    http or https (which gets JSON), or a URL of Apprise.
    """
    from dotflow.cli.notify import send_test

    return send_test(url, service)


def guarded(command: Callable[..., int], wish: dict[str, Any], **options: Any) -> int:
    """Run *command*; errors of the user's own code are shown as they are."""
    from dotflow.cli.target import UserError, Wish, as_text
    from dotflow.core.wake import Wake

    asked: Wish = Wish(**wish)
    try:
        with Wake():
            return command(asked, **options)
    except UserError as error:
        complain(f"Error while {error.doing}:\n{as_text(error)}")
        return NOTHING_RAN


def _schedule() -> click.Group:
    from dotflow.cli.schedule import make_group

    return make_group(target_options, guarded)


def _provider() -> click.Group:
    from dotflow.cli.provider import make_group

    return make_group(guarded, Commands)


commands.add_command(_schedule())
add_tools(commands, guarded)
add_history(commands, target_options, guarded)
commands.add_command(_provider())
