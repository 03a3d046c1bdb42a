"""What a schedule has done and does next: a pure state, kept as JSON, and the rules that change it.

Nothing here has a clock, a thread or a storage. Whoever keeps the state (this process, or a storage that several share)
replaces it by what these functions return, if it is still what they were given: then each tick is decided once, by
one process. ``through`` is the last tick that was decided, so no tick is ever decided again, however clocks jump.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.exception import ConfigurationError
from dotflow.core.types.overlap import TypeCatchUp, TypeOverlap
from dotflow.core.when import instant, interval_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from dotflow.core.when import When

AT_ONCE = 10  # runs of a parallel schedule
MOST = 1000  # ticks that wait; further ones are dropped
COUNTED = 10_000  # missed ticks that are counted one by one; of more, not all are
KEPT = 200  # ended ticks that are remembered, and whose checkpoints are kept
PARALLEL = re.compile(r"parallel\s*\(\s*([1-9][0-9]{0,3})\s*\)")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a schedule does when things do not go by the clock.

    Attributes:
        overlap: What becomes of a tick that comes while a run is active.
        at_once: How many runs may be active.
        catch_up: What becomes of ticks that are later than *grace*.
        window: How late a tick may be to be caught up; ``None``: any.
        grace: How late a tick may be to count as on time.
        pause_after: Pause after so many failed runs in a row; ``None``: never.
        max_runs: Start so many runs in all; ``None``: any number.
        until: The last instant that may be due; ``None``: none is the last.
    """

    overlap: TypeOverlap = TypeOverlap.SKIP
    at_once: int = 1
    catch_up: TypeCatchUp = TypeCatchUp.NONE
    window: timedelta | None = None
    grace: timedelta = timedelta(seconds=5)
    pause_after: int | None = None
    max_runs: int | None = None
    until: datetime | None = None


def make_policy(
    name: str,
    overlap: object = "skip",
    catch_up: object = "none",
    window: object = None,
    grace: object = 5.0,
    pause_after: object = None,
    max_runs: object = None,
    until: object = None,
) -> Policy:
    """Return the policy that these words stand for; *name* is the class that was given them.

    Raises:
        ConfigurationError: a word that is not known, or a number that makes no sense.
    """
    word, at_once = overlap, 1
    if isinstance(overlap, str) and (found := PARALLEL.fullmatch(overlap.strip())):
        word, at_once = TypeOverlap.PARALLEL, int(found[1])
    elif word in (TypeOverlap.PARALLEL, TypeOverlap.CANCEL_PREVIOUS):
        at_once = AT_ONCE
    if word not in tuple(TypeOverlap):
        raise ConfigurationError(f"{name}(overlap={overlap!r}): use {_words(TypeOverlap)}, or 'parallel(3)'")
    if catch_up not in tuple(TypeCatchUp):
        raise ConfigurationError(f"{name}(catch_up={catch_up!r}): use {_words(TypeCatchUp)}")
    for what, number in (("pause_after", pause_after), ("max_runs", max_runs)):
        if number is not None and (type(number) is not int or number < 1):
            raise ConfigurationError(f"{name}({what}=...) needs a whole number from 1 on or None, got {number!r}")
    try:
        late = interval_of(grace, name)
        back = None if window is None else interval_of(window, name)
    except ConfigurationError:
        raise ConfigurationError(
            f"{name}(grace=..., window=...) need seconds above 0 or a timedelta, got {grace!r}, {window!r}"
        ) from None
    last = None if until is None else instant(until, f"{name}(until=...)")
    return Policy(
        TypeOverlap(str(word)),
        at_once,
        TypeCatchUp(str(catch_up)),
        back,
        late,
        pause_after,  # type: ignore[arg-type]  # checked above, by name
        max_runs,  # type: ignore[arg-type]  # the same
        last,
    )


def _words(kind: type[TypeOverlap] | type[TypeCatchUp]) -> str:
    *most, last = (repr(str(word)) for word in kind)
    return f"{', '.join(most)} or {last}"


class Tick(NamedTuple):
    """One tick that a process has to run.

    Attributes:
        schedule: Name of the schedule.
        at: The instant.
        epoch: 1 for the first process that runs it, one more for each that takes it over.
        own: Whether the run has a workflow id of its own.
        fenced: Whether several processes may come to run it.
    """

    schedule: str
    at: datetime
    epoch: int = 1
    own: bool = False
    fenced: bool = False

    @property
    def id(self) -> str:
        """Schedule and instant, such as ``nightly@20270301T090000Z``."""
        return tick_id(self.schedule, self.at)


def tick_id(schedule: str, at: datetime) -> str:
    """Return the id of a tick."""
    utc = at.astimezone(UTC)
    return f"{schedule}@{utc:%Y%m%dT%H%M%S}{f'.{utc:%f}' if utc.microsecond else ''}Z"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is remembered of a schedule.

    Attributes:
        rule: When it is due, as text: processes that share the state must agree on it.
        through: The last tick that was decided.
        open: The ticks that run: who runs them, for which time, and a number that grows while he lives.
        queue: The ticks that wait for them.
        watch: The processes that keep the schedule: a number that grows, what they call themselves, and how they
            are told from others.
        paused: Why nothing runs; empty if it does.
        failures: Failed runs in a row.
        started: Runs started in all.
        completed: Runs that completed.
        failed: Runs that did not.
        dropped: Ticks that came while a run was active and that nothing remembers.
        missed: Ticks that nobody was there for, and that were not caught up.
        last: The latest tick whose run ended.
        result: How it ended.
        history: The last ticks whose runs ended, and how.
    """

    rule: str
    through: str
    open: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queue: tuple[str, ...] = ()
    watch: Mapping[str, Any] = field(default_factory=dict)
    paused: str = ""
    failures: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    dropped: int = 0
    missed: int = 0
    last: str = ""
    result: str = ""
    history: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> State:
        """Return what ``raw`` gave."""
        known = {name: raw[name] for name in cls.__dataclass_fields__ if name in raw}
        known["queue"] = tuple(known.get("queue", ()))
        known["history"] = tuple((tick, status) for tick, status in known.get("history", ()))
        return cls(**known)

    def raw(self) -> dict[str, Any]:
        """Return the state as JSON has it."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**found, "queue": list(self.queue), "history": [list(each) for each in self.history]}

    def owned(self, tick: Tick, owner: str) -> bool:
        """Whether *owner* runs *tick*, and nobody has taken it over."""
        found = self.open.get(text(tick.at))
        return found is not None and found["owner"] == owner and found["epoch"] == tick.epoch


class Decision(NamedTuple):
    """What is to be done now."""

    state: State
    starts: list[tuple[datetime, int]]
    cancels: list[datetime]


def text(moment: datetime) -> str:
    """Return *moment* as the state keeps it."""
    return moment.astimezone(UTC).isoformat()


def moment(kept: str) -> datetime:
    """Return what ``text`` was given."""
    return datetime.fromisoformat(kept)


def decide(
    state: State, rule: When, policy: Policy, now: datetime, owner: str, stale: Collection[str] = ()
) -> Decision:
    """Decide every tick that is due, and take over the runs whose owners are gone.

    Args:
        state: What is.
        rule: When the schedule is due.
        policy: What to do when they overlap or are late.
        now: The time.
        owner: Who decides, and runs what starts.
        stale: The open ticks whose owner has given no sign of life during his lease.
    """
    taken = _take_over(state, owner, stale)
    if state.paused or ended(taken.state, rule, policy):
        return taken
    work = _Work(taken.state, policy, owner, taken.starts)
    due, late, missed, through = _due(state, rule, policy, now)
    work.missed += missed
    for tick in late:
        work.wait(tick)
    work.drain()
    for tick in due:
        work.offer(tick)
    work.drain()
    return work.decision(through)


def _due(state: State, rule: When, policy: Policy, now: datetime) -> tuple[list[datetime], list[datetime], int, str]:
    """Return what is on time, what is late and to be caught up, how many are missed, and what is decided with it."""
    limit = now if policy.until is None else min(now, policy.until)
    edge = now - policy.grace
    due: list[datetime] = []
    late: list[datetime] = []
    missed, through = 0, state.through
    tick = rule.next(moment(through))
    while tick is not None and tick <= limit:
        through = text(tick)
        if tick >= edge:
            due.append(tick)
        elif policy.window is not None and now - tick > policy.window:
            missed += 1
        elif policy.catch_up is TypeCatchUp.ALL:
            late.append(tick)
            if len(late) > MOST:
                del late[0]
                missed += 1
        else:
            missed += len(late) if policy.catch_up is TypeCatchUp.LATEST else 1
            late[:] = [tick] if policy.catch_up is TypeCatchUp.LATEST else []
        if missed > COUNTED and tick < edge and policy.catch_up is not TypeCatchUp.ALL:
            tick = rule.latest(tick, edge) or rule.next(tick)  # there are many: the last one that is late
        else:
            tick = rule.next(tick)
    return due, late, missed, through


class _Work:
    """A decision in the making."""

    def __init__(self, state: State, policy: Policy, owner: str, starts: list[tuple[datetime, int]]) -> None:
        self.state, self.policy, self.owner = state, policy, owner
        self.open = dict(state.open)
        self.queue = list(state.queue)
        self.starts, self.cancels = list(starts), list[datetime]()
        self.missed = self.dropped = 0
        self.started = state.started

    def offer(self, tick: datetime) -> None:
        """Start a tick that is on time, let it wait, or drop it."""
        overlap, busy = self.policy.overlap, len(self.open) + len(self.queue)
        if self._spent(len(self.queue)):
            return
        if overlap is TypeOverlap.CANCEL_PREVIOUS and len(self.open) < self.policy.at_once:
            for kept, entry in self.open.items():
                if not entry.get("cancel"):
                    self.open[kept] = {**entry, "cancel": True}
                    self.cancels.append(moment(kept))
            self.dropped += len(self.queue)
            self.queue.clear()
            self._start(tick)
        elif busy < self.policy.at_once and not self.queue:
            self._start(tick)
        elif (overlap is TypeOverlap.QUEUE and not self.queue) or overlap is TypeOverlap.QUEUE_ALL:
            self.wait(tick)
        else:
            self.dropped += 1

    def wait(self, tick: datetime) -> None:
        """Let a tick wait for the runs that are active."""
        if len(self.queue) < MOST:
            self.queue.append(text(tick))
        else:
            self.dropped += 1

    def drain(self) -> None:
        """Start what waits, as far as there is room."""
        room = self.policy.at_once if self.policy.overlap is TypeOverlap.PARALLEL else 1
        while self.queue and len(self.open) < room and not self._spent(0):
            self._start(moment(self.queue.pop(0)))
        if self.queue and self._spent(0):
            self.dropped += len(self.queue)
            self.queue.clear()

    def _spent(self, ahead: int) -> bool:
        return self.policy.max_runs is not None and self.started + ahead >= self.policy.max_runs

    def _start(self, tick: datetime) -> None:
        self.open[text(tick)] = {"owner": self.owner, "epoch": 1, "beat": 0}
        self.starts.append((tick, 1))
        self.started += 1

    def decision(self, through: str) -> Decision:
        """Return it."""
        before = self.state
        state = replace(
            before,
            through=through,
            open=self.open,
            queue=tuple(self.queue),
            started=self.started,
            dropped=before.dropped + self.dropped,
            missed=before.missed + self.missed,
        )
        return Decision(state, self.starts, self.cancels)


def _take_over(state: State, owner: str, stale: Collection[str]) -> Decision:
    found, starts, ended = dict(state.open), list[tuple[datetime, int]](), list[str]()
    for kept, entry in state.open.items():
        if kept in stale or not entry["owner"]:
            if entry.get("cancel"):
                ended.append(kept)  # it was to end anyway
                del found[kept]
                continue
            epoch = entry["epoch"] + 1
            found[kept] = {"owner": owner, "epoch": epoch, "beat": 0}
            starts.append((moment(kept), epoch))
    history = (*state.history, *((kept, "Cancelled") for kept in ended))[-KEPT:]
    return Decision(replace(state, open=found, history=history) if starts or ended else state, starts, [])


def ended(state: State, rule: When, policy: Policy) -> bool:
    """Whether no further tick will come: the rule has none, or the limits are reached. Open runs may go on."""
    if policy.max_runs is not None and state.started >= policy.max_runs:
        return True
    if state.queue:
        return False
    tick = rule.next(moment(state.through))
    return tick is None or (policy.until is not None and tick > policy.until)


def finish(state: State, tick: Tick, owner: str, status: str, policy: Policy) -> State | None:
    """Note how the run of *tick* ended; ``None`` if somebody else has it now."""
    if not state.owned(tick, owner):
        return None
    key, good = text(tick.at), status == "Completed"
    cancelled = status == "Cancelled"
    latest = not state.last or tick.at >= moment(state.last)  # a backfill runs what was due before
    failures = 0 if good else state.failures + (not cancelled)
    paused = state.paused
    if policy.pause_after is not None and failures >= policy.pause_after and not paused:
        paused = f"{failures} runs failed in a row, the last one that of {key}"
    return replace(
        state,
        open={kept: entry for kept, entry in state.open.items() if kept != key},
        paused=paused,
        failures=failures,
        completed=state.completed + good,
        failed=state.failed + (not good and not cancelled),
        last=key if latest else state.last,
        result=status if latest else state.result,
        history=(*state.history, (key, status))[-KEPT:],
    )


def release(state: State, tick: Tick, owner: str) -> State | None:
    """Give up a run that has not ended, for anybody to take it over at once."""
    if not state.owned(tick, owner):
        return None
    key = text(tick.at)
    return replace(state, open={**state.open, key: {**state.open[key], "owner": ""}})


def add(state: State, at: datetime, owner: str) -> State | None:
    """Start a run out of turn; ``None`` if that tick runs already."""
    if text(at) in state.open:
        return None
    entry = {"owner": owner, "epoch": 2, "beat": 0}  # it may have left something when it was due
    return replace(state, open={**state.open, text(at): entry}, started=state.started + 1)


def beat(state: State, owner: str, name: str, known: Mapping[str, Any]) -> State:
    """Give a sign of life for *owner* and everything that he runs; *known*: his ``identity()``."""
    count = (state.watch[owner][0] if owner in state.watch else 0) + 1
    mine = {kept: {**entry, "beat": entry["beat"] + 1} for kept, entry in state.open.items() if entry["owner"] == owner}
    return replace(state, open={**state.open, **mine}, watch={**state.watch, owner: [count, name, dict(known)]})


def leave(state: State, gone: Collection[str]) -> State:
    """Forget processes that do not keep the schedule any more."""
    if not any(owner in state.watch for owner in gone):
        return state
    return replace(state, watch={owner: seen for owner, seen in state.watch.items() if owner not in gone})
