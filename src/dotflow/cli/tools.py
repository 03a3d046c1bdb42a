"""The commands ``init``, ``graph``, ``doctor`` and ``completion``; what they do is in modules of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dotflow.cli.choice import MODES, Known, Reference, StorageName

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = ("text", "mermaid", "svg", "png")
TEMPLATES = ("pipeline", "scheduled")
SHELLS = ("bash", "zsh", "fish")
WHERE: tuple[Callable[..., Any], ...] = (
    click.option("--storage", type=StorageName(), help="Where results are kept; default: what is configured."),
    click.option("-p", "--path", metavar="PATH", help="Where the storage is."),
)


def add_tools(commands: click.Group, guarded: Callable[..., int]) -> None:
    """Give *commands* the tools; *guarded* is the error handling that all commands share."""
    for make in (_init, _graph, _doctor, _completion):
        commands.add_command(make(guarded))


def _init(guarded: Callable[..., int]) -> click.Command:
    @click.command(short_help="Make a small project that runs and passes its own tests.")
    @click.argument("folder", default=".", metavar="[FOLDER]")
    @click.option("-t", "--template", type=Known("template", TEMPLATES), default=TEMPLATES[0], help="What it does.")
    @click.option("--force", is_flag=True, help="Overwrite files that are there.")
    def init(folder: str, template: str, force: bool) -> int:
        """Make a small project in FOLDER, by default here, that runs and passes its own tests.

        Nothing is asked, and no file is overwritten without --force.
        """
        from dotflow.cli.project import make_project

        return make_project(folder, template, force)

    return init


def _graph(guarded: Callable[..., int]) -> click.Command:
    @click.command(short_help="Draw a workflow.")
    @click.argument("target", type=Reference())
    @click.option("-f", "--format", "style", type=Known("format", FORMATS), help="Default: by FILE's ending, or text.")
    @click.option("-o", "--output", metavar="FILE", help="Write to FILE instead of standard output.")
    @click.option("--force", is_flag=True, help="Overwrite FILE if it is there.")
    @click.option("-m", "--mode", type=Known("mode", MODES), default=MODES[0], help="The mode it is started in.")
    @click.option("--run", metavar="ID", help="Show the run with this workflow id, or run id.")
    @WHERE[0]
    @WHERE[1]
    def graph(target: str, storage: str | None, path: str | None, **options: Any) -> int:
        """Draw the workflow at TARGET: package.module:name of a function that returns a DotFlow, or of a DotFlow.

        With --run or --storage, statuses are shown: from the history of runs, or else what is saved. PNG needs the
        png extra.
        """
        from dotflow.cli.drawing import draw

        return guarded(draw, {"workflow": target, "storage": storage, "path": path}, **options)

    return graph


def _doctor(guarded: Callable[..., int]) -> click.Command:
    @click.command(short_help="Look for what is wrong, and say how to mend it.")
    @click.option("-w", "--workflow", type=Reference(), metavar="PATH", help="Check the storage of this workflow.")
    @WHERE[0]
    @WHERE[1]
    @click.option(
        "--timeout",
        type=click.FloatRange(min=0.1),
        default=5.0,
        metavar="SECONDS",
        help="How long a connection may take; 5 by default.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Write JSON.")
    def doctor(timeout: float, as_json: bool, **wish: Any) -> int:
        """Look for what is wrong with this installation, its configuration and its connections.

        Exit codes: 0 nothing is wrong, 1 something is.
        """
        from dotflow.cli.doctor import examine

        return guarded(examine, wish, timeout=timeout, as_json=as_json)

    return doctor


def _completion(guarded: Callable[..., int]) -> click.Command:
    @click.command(short_help="Print the script that completes commands in a shell.")
    @click.argument("shell", type=Known("shell", SHELLS))
    @click.pass_context
    def completion(ctx: click.Context, shell: str) -> int:
        """Print the script that lets SHELL (bash, zsh or fish) complete commands, options and workflows.

        \b
        bash: eval "$(dotflow completion bash)"                            in ~/.bashrc
        zsh:  eval "$(dotflow completion zsh)"                             in ~/.zshrc
        fish: dotflow completion fish > ~/.config/fish/completions/dotflow.fish
        """  # noqa: D301  # the mark of a block that click keeps as it is
        from dotflow.cli.completion import script

        click.echo(script(ctx.find_root().command, shell), nl=False)
        return 0

    return completion
