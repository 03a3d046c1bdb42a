"""``dotflow schedule``: keep a schedule, look at it, and run ticks out of turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dotflow.cli.choice import Commands, Known, Listed, StorageName
from dotflow.core.exception import ConfigurationError, UnsupportedOption
from dotflow.core.module import nearest
from dotflow.core.types.overlap import TypeCatchUp, TypeOverlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from dotflow.abc.storage import Storage
    from dotflow.cli.target import Target, Wish
    from dotflow.core.agenda import State
    from dotflow.providers._desk import Desk
    from dotflow.providers._paced import Paced

FORMAT = "%Y-%m-%d %H:%M:%S"


class Overlap(Known):
    """A word for overlapping runs, or ``parallel(3)``."""

    def __init__(self) -> None:
        super().__init__("overlap", tuple(word.value for word in TypeOverlap))

    def accepts(self, text: str) -> bool:
        """Whether *text* is one of the words."""
        from dotflow.core.agenda import PARALLEL

        return super().accepts(text) or bool(PARALLEL.fullmatch(text))


RULE: tuple[Callable[..., Any], ...] = (
    click.option("--cron", metavar="LINE", help="When: a cron line such as '30 2 * * *', or a name such as @daily."),
    click.option("--every", type=float, metavar="SECONDS", help="When: time from one start to the next."),
    click.option("--at", multiple=True, metavar="MOMENT", help="When: 2027-03-01T09:00; may be given several times."),
    click.option("--tz", metavar="ZONE", help="Time zone of --cron and --at; default: this machine's."),
)
POLICY: tuple[Callable[..., Any], ...] = (
    click.option("--overlap", type=Overlap(), default="skip", help="What becomes of a tick while a run is active."),
    click.option(
        "--catch-up",
        type=Known("catch-up", tuple(word.value for word in TypeCatchUp)),
        default="none",
        help="What is run of the ticks that nobody was there for.",
    ),
    click.option("--window", type=float, metavar="SECONDS", help="How late a tick may be to be caught up."),
    click.option("--pause-after", type=int, metavar="N", help="Pause after so many failed runs in a row."),
    click.option("--max-runs", type=int, metavar="N", help="End after so many runs."),
    click.option("--until", metavar="MOMENT", help="The last instant that may be due."),
    click.option("--name", metavar="TEXT", help="Name of the schedule; default: the workflow id."),
    click.option("--lease", type=float, default=30.0, metavar="SECONDS", help="A run is taken over after it."),
)
PLACE: tuple[Callable[..., Any], ...] = (
    click.option("-w", "--workflow", metavar="PATH", help="A function that returns the DotFlow that is scheduled."),
    click.option("-o", "--storage", type=StorageName(), help="Where the state is kept."),
    click.option("-p", "--path", metavar="PATH", help="Where the storage is."),
)


def options(*groups: tuple[Callable[..., Any], ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of *groups*."""

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return give


def make_group(target_options: Callable[..., Any], guarded: Callable[..., int]) -> click.Group:
    """Return the group, made of the options and the error handling that all commands share."""
    resume = click.option("--resume", is_flag=True, help="Let the first run finish one that was interrupted.")

    def keep(**given: Any) -> int:
        wish, rest = _split(given)
        return guarded(_start, wish, **rest)

    @click.group(cls=Commands, invoke_without_command=True, short_help="Run a step or a workflow again and again.")
    @target_options
    @options(RULE, POLICY)
    @resume
    @click.pass_context
    def schedule(ctx: click.Context, /, **given: Any) -> int:
        """Run a step or a workflow again and again, until a signal ends that.

        When is said by --cron, --every (at once, and then again and again) or --at; a workflow may bring a scheduler
        of its own instead. Without a command this is the same as "schedule start".
        """
        return keep(**given) if ctx.invoked_subcommand is None else 0

    @schedule.command(short_help="The same, by name.")
    @target_options
    @options(RULE, POLICY)
    @resume
    def start(**given: Any) -> int:
        """Run a step or a workflow again and again, until a signal ends that."""
        return keep(**given)

    @schedule.command("next", short_help="Print the ticks to come.")
    @options(RULE)
    @click.option("-w", "--workflow", metavar="PATH", help="A function that returns a DotFlow with a scheduler.")
    @click.option("-n", "--count", type=click.IntRange(1, 10_000), default=5, help="How many; 5 by default.")
    @click.option("--after", metavar="MOMENT", help="From when on; default: now.")
    def coming(**given: Any) -> int:
        """Print the ticks to come, in local time and UTC."""
        wish, rest = _split(given)
        return guarded(_next, wish, **rest)

    @schedule.command("list", short_help="Print the schedules in a storage.")
    @options(PLACE)
    def listing(**given: Any) -> int:
        """Print the schedules that a storage remembers: last tick, result, missed, next."""
        wish, rest = _split(given)
        return guarded(_list, wish, **rest)

    def changing(name: str, doing: Callable[..., int], text: str) -> None:
        @schedule.command(name, help=text, short_help=text)
        @click.argument("schedule_name", metavar="[NAME]", required=False, type=Listed(_names_for))
        @options(PLACE)
        def change(**given: Any) -> int:
            wish, rest = _split(given)
            return guarded(doing, wish, **rest)

    changing(
        "pause", _pause, "Run nothing until it is resumed; processes that keep the schedule notice within seconds."
    )
    changing("resume", _resume, "Run again after a pause.")

    @schedule.command(short_help="Run once, now, as a tick of the schedule.")
    @target_options
    @options(RULE, POLICY)
    def trigger(**given: Any) -> int:
        """Run once, now, as a tick of the schedule."""
        wish, rest = _split(given)
        return guarded(_trigger, wish, **rest)

    @schedule.command(short_help="Run the ticks of a time that is over.")
    @target_options
    @options(RULE, POLICY)
    @click.option("--from", "start", required=True, metavar="MOMENT", help="The first instant.")
    @click.option("--to", "end", required=True, metavar="MOMENT", help="The last instant; not later than now.")
    @click.option("--again", is_flag=True, help="Also those that are known to have completed.")
    def backfill(**given: Any) -> int:
        """Run the ticks of a time that is over, one after the other."""
        wish, rest = _split(given)
        return guarded(_backfill, wish, **rest)

    return schedule


def _split(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    from dotflow.cli.target import Wish

    return (
        {name: value for name, value in given.items() if name in Wish._fields},
        {name: value for name, value in given.items() if name not in Wish._fields},
    )


# -- what the commands do ---------------------------------------------------------------------------------


def make_scheduler(
    cron: str | None = None,
    every: float | None = None,
    at: tuple[str, ...] = (),
    tz: str | None = None,
    **policy: Any,
) -> Paced | None:
    """Return the scheduler that the options describe; ``None`` if none of them says when."""
    from dotflow.providers import SchedulerAt, SchedulerCron, SchedulerInterval

    if sum((cron is not None, every is not None, bool(at))) > 1:
        raise ConfigurationError("when is given by --cron, --every or --at: one of them")
    if policy.get("until") is not None:
        from dotflow.core.when import instant
        from dotflow.core.zones import zone_of

        policy["until"] = instant(policy["until"], "--until", zone_of(tz))
    if cron is not None:
        return SchedulerCron(cron, tz=tz, **policy)
    if at:
        from dotflow.core.zones import zone_of

        return SchedulerAt(*at, tz=zone_of(tz), **policy)
    if tz is not None:
        raise UnsupportedOption("--tz is the time zone of --cron and --at; an interval has none")
    return None if every is None else SchedulerInterval(every, **policy)


def _say(line: str) -> None:
    import sys

    from dotflow.views.progress import write

    write(sys.stdout, line)


def _when(given: dict[str, Any]) -> dict[str, Any]:
    names = ("cron", "every", "at", "tz", "overlap", "catch_up", "window", "pause_after", "max_runs", "until", "name",
             "lease")  # fmt: skip
    return {name: given.pop(name) for name in names if name in given}


def _start(wish: Wish, **given: Any) -> int:
    from dotflow.cli.running import run_scheduled

    return run_scheduled(wish, scheduler=make_scheduler(**_when(given)), **given)


def _next(wish: Wish, count: int, after: str | None, **given: Any) -> int:
    from datetime import UTC, datetime

    from dotflow.core.when import instant

    scheduler = make_scheduler(**_when(given))
    if scheduler is None:
        if wish.workflow is None:
            raise ConfigurationError("when is given by --cron, --every, --at or --workflow")
        scheduler = _scheduler_of(_target(wish))
    now = datetime.now(UTC)
    rule, _ = scheduler._rule_from(now)
    tick = now if after is None else instant(after, "--after", rule.zone)
    for _ in range(count):
        found = rule.next(tick)
        if found is None:
            break
        tick = found
        local = rule.local(tick)
        _say(f"{local:{FORMAT}} {local:%z} {local.tzname() or ''}  {tick:{FORMAT}} UTC")
    return 0


def _list(wish: Wish) -> int:
    storage = _place(wish)
    if not storage.can("list_keys"):
        raise UnsupportedOption(f"{type(storage).__name__} cannot list what it keeps; name the schedule instead")
    names = _names(storage)
    if not names:
        _say("there are no schedules")
    for name in names:
        state = _desk(storage, name).look()
        _say(f"{name}: {'paused, ' + state.paused if state.paused else 'active'}")
        for what, value in _rows(state):
            _say(f"  {what:10}{value}")
    return 0


def _names(storage: Storage) -> list[str]:
    """Return the schedules in *storage*."""
    from dotflow.core.claims import STATE

    start, end = "schedule:", f"-{STATE}"
    return [key[len(start) : -len(end)] for key in storage.list_keys(prefix=start) if key.endswith(end)]


def _names_for(given: dict[str, Any]) -> list[str]:
    """Return the schedules in the storage that the options say."""
    from dotflow.cli.lookup import find_place

    return _names(find_place(given.get("storage"), given.get("path")).storage)


def _rows(state: State) -> list[tuple[str, str]]:
    counts = f"{state.started} started, {state.completed} completed, {state.failed} failed"
    rows = [("rule", state.rule), ("runs", f"{counts}, {state.dropped} dropped, {state.missed} missed")]
    rows.append(("last", f"{state.last} {state.result}" if state.last else "none has ended"))
    if state.open:
        rows.append(("running", ", ".join(f"{tick}{_fate(state, entry)}" for tick, entry in state.open.items())))
    if state.queue:
        rows.append(("waiting", f"{len(state.queue)}, the first {state.queue[0]}"))
    keepers = [who for _, who, *known in state.watch.values() if not _gone(known)]
    rows.append(("kept by", ", ".join(keepers) or "no process"))
    rows.append(("decided", f"up to {state.through}"))
    return rows


def _fate(state: State, entry: Mapping[str, Any]) -> str:
    """Return what is to be said of an open tick whose process has ended."""
    if not entry["owner"]:
        return " (interrupted)"
    _, _, *known = state.watch.get(entry["owner"], (0, ""))
    return " (interrupted, its process is gone)" if _gone(known) else ""


def _gone(known: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a process is known to have ended; of one on another machine that cannot be told."""
    from dotflow.core.identity import alive

    return bool(known) and alive(dict(known[0])) is False


def _pause(wish: Wish, schedule_name: str | None) -> int:
    return _change(wish, schedule_name, paused="paused by hand")


def _resume(wish: Wish, schedule_name: str | None) -> int:
    return _change(wish, schedule_name, paused="", failures=0)


def _change(wish: Wish, name: str | None, **fields: Any) -> int:
    from dataclasses import replace

    if name is None:
        if wish.workflow is None:
            raise ConfigurationError("which schedule? give its name, or --workflow")
        target = _target(wish)
        name, storage = _name_of(target), target.workflow.config.storage
    else:
        storage = _place(wish)
    desk = _desk(storage, name)
    desk.update(lambda state: replace(state, **fields))
    _say(f"{name}: {'paused' if fields['paused'] else 'active'}")
    return 0


def _trigger(wish: Wish, **given: Any) -> int:
    from datetime import UTC, datetime

    return _once(wish, lambda rule: [datetime.now(UTC)], again=True, **given)


def _backfill(wish: Wish, start: str, end: str, again: bool, **given: Any) -> int:
    from datetime import UTC, datetime

    from dotflow.core.when import TINY, instant

    def ticks(rule: Any) -> list[datetime]:
        first, last = instant(start, "--from", rule.zone), instant(end, "--to", rule.zone)
        if last < first:
            raise ConfigurationError(f"--to {end} is before --from {start}")
        if last > datetime.now(UTC):
            raise ConfigurationError(f"--to {end} is not over yet")
        return list(rule.coming(first - TINY, last))

    return _once(wish, ticks, again=again, **given)


def _once(wish: Wish, ticks: Callable[[Any], list[datetime]], again: bool, **given: Any) -> int:
    """Run some ticks now; return the exit code."""
    from datetime import UTC, datetime

    from dotflow.cli.running import Ticks, listen
    from dotflow.providers import SchedulerAt
    from dotflow.providers._paced import Loop
    from dotflow.views.progress import make_view

    scheduler = make_scheduler(**_when(given))
    target = _target(wish)
    if scheduler is None and wish.workflow is not None:
        scheduler = _scheduler_of(target)
    chosen: Paced = scheduler or SchedulerAt(datetime.now(UTC))
    rule, _ = chosen._rule_from(datetime.now(UTC))
    due = ticks(rule)
    if not due:
        _say("no tick is due in that time")
        return 0
    target.workflow.config.scheduler = chosen
    listen()
    view = make_view()
    try:
        happened = Loop(chosen, Ticks(target), {"listeners": (view,), **given}).once(due, again)
    finally:
        view.close()
    if len(due) > 1:
        _say(f"{len(due)} ticks: {happened.completed} completed, {happened.failed} failed, "
                   f"{len(due) - happened.runs} left alone")  # fmt: skip
    return 0 if happened.completed == happened.runs else 1


def _target(wish: Wish) -> Target:
    from dotflow.cli.target import build

    return build(wish)


def _scheduler_of(target: Target) -> Paced:
    from dotflow.providers._paced import Paced

    scheduler = target.workflow.config.scheduler
    if not isinstance(scheduler, Paced):
        raise ConfigurationError(
            f"{type(scheduler).__name__} does not tell when it is due; add --cron LINE, --every SECONDS or --at MOMENT"
        )
    return scheduler


def _name_of(target: Target) -> str:
    return _scheduler_of(target).name or str(target.workflow.workflow_id)


def _place(wish: Wish) -> Storage:
    """Return the storage that is meant: the workflow's, or that which the commands about runs would take."""
    from dotflow.cli.lookup import find_place

    if wish.workflow is not None:
        return _target(wish).workflow.config.storage
    storage = find_place(wish.storage, wish.path).storage
    if storage.keeps_objects:
        raise ConfigurationError("where are the schedules? give --storage, --workflow or DOTFLOW_STORAGE")
    return storage


def _desk(storage: Storage, name: str) -> Desk:
    from dotflow.core.agenda import State
    from dotflow.core.claims import StorageCell
    from dotflow.core.config import Config
    from dotflow.providers._desk import Desk

    cell = StorageCell(storage, Config().codec, name)
    if cell.read() is None:
        hint = nearest(name, _names(storage)) if storage.can("list_keys") else ""
        shown = hint or "; 'dotflow schedule list' shows them"
        raise ConfigurationError(f"there is no schedule {name!r} in {storage!r}{shown}")
    return Desk(cell, State("", ""))
