"""The loop of the schedulers that come with dotflow: waits for instants, decides, and runs."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from dotflow.abc.scheduler import Scheduler
from dotflow.core.agenda import (
    Decision,
    Policy,
    State,
    Tick,
    add,
    beat,
    decide,
    ended,
    finish,
    leave,
    moment,
    release,
    text,
    tick_id,
)
from dotflow.core.exception import ConfigurationError, StorageError
from dotflow.core.identity import identity
from dotflow.core.messages import Stop
from dotflow.core.types import WorkflowStatus
from dotflow.core.types.overlap import TypeOverlap
from dotflow.providers._desk import Cell, Crew, Desk, Happened, Memo, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.core.when import When

LONGEST = 1.0  # seconds between two looks at the clock, which may have been set
EARLY = 0.003  # seconds before a tick at which the loop wakes, so that what it needs is in the caches
AWAKE = 0.0005  # seconds before a tick that are not slept through: a thread that sleeps is woken late
AGAIN = 1.0  # seconds after a storage failed
FOREVER = timedelta(days=36_500)
FRESH = timedelta(microseconds=1)
STOP, ENDED, LOOK = "stop", "ended", "look"
log = logging.getLogger("dotflow")


class Paced(Scheduler):
    """What the schedulers share: ``start``, ``stop``, ``pause`` and ``resume``.

    Args:
        rule: When ticks are due.
        policy: What to do when things do not go by the clock.
        name: Of the schedule, for processes that share it; ``None``: the workflow id, if one was given.
        lease: Seconds without a sign of life after which the runs of a process are taken over.
        clock: Stands in for the module ``time``, for tests.
    """

    returns_on_stop: ClassVar[bool] = True

    def __init__(self, rule: When | None, policy: Policy, name: str | None, lease: float, clock: Any) -> None:
        kind = type(self).__name__
        if isinstance(lease, bool) or not isinstance(lease, (int, float)) or not 0.1 <= lease < 1e9:
            raise ConfigurationError(f"{kind}(lease=...) needs seconds, 0.1 or more, got {lease!r}")
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise ConfigurationError(f"{kind}(name=...) needs a text that is not empty, got {name!r}")
        self.rule, self.policy, self.name = rule, policy, name
        self.lease, self.clock = float(lease), clock if clock is not None else time
        self.running = False
        self._stopped = False
        self._loop: Loop | None = None
        self._over = threading.Event()
        self._starting = threading.Lock()

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> Happened:
        """Block, and run *workflow* at each tick, until ``stop`` or until no tick can come; return what happened."""
        with self._starting:
            if self._loop is not None:
                raise ConfigurationError(f"this {type(self).__name__} is running already; make another one")
            self._loop = loop = Loop(self, workflow, kwargs)
            self._over.clear()
        try:
            self.running = not self._stopped
            return loop.run() if self.running else Happened()
        finally:
            self.running = self._stopped = False
            self._loop = None
            self._over.set()

    def stop(self, timeout: float | None = None) -> None:
        """End the loop; the runs in progress finish.

        Waits for that, at most *timeout* seconds, unless it is called from the loop or from one of its runs.
        """
        self._stopped, self.running = True, False
        loop = self._loop
        if loop is not None:
            loop.inbox.put((STOP, None, ""))
            if not loop.is_mine(threading.get_ident()):
                self._over.wait(timeout)

    def pause(self, reason: str = "paused by hand") -> None:
        """Run nothing until ``resume``; what is due meanwhile is then late, and caught up as the policy says."""
        self._change(lambda state: replace(state, paused=reason))

    def resume(self) -> None:
        """Run again, after a pause."""
        self._change(lambda state: replace(state, paused="", failures=0))

    def state(self) -> State | None:
        """Return the state of the schedule while it runs, else ``None``."""
        loop = self._loop
        return None if loop is None else loop.desk.look()

    def _change(self, change: Callable[[State], State]) -> None:
        loop = self._loop
        if loop is None:
            raise ConfigurationError(f"this {type(self).__name__} is not running")
        loop.desk.update(change)
        loop.inbox.put((LOOK, None, ""))

    def _rule_from(self, now: datetime) -> tuple[When, datetime]:
        """Return the rule of a schedule that starts *now*, and the instant that counts as decided."""
        assert self.rule is not None
        return self.rule, now

    def _shareable(self) -> bool:
        """Whether the ticks are the same in every process."""
        return True

    def _inline(self) -> bool:
        """Whether runs are made in the thread of the loop."""
        return False


class Loop:
    """One call of ``start``."""

    def __init__(self, scheduler: Paced, workflow: Callable[..., Any], kwargs: dict[str, Any]) -> None:
        self.scheduler, self.policy = scheduler, scheduler.policy
        self.inbox: SimpleQueue[tuple[str, Tick | None, str]] = SimpleQueue()
        self._workflow, self._kwargs = workflow, kwargs
        self._clock, self._lease = scheduler.clock, scheduler.lease
        self._real = self._clock is time
        self._ours = hasattr(workflow, "cell")
        cell = workflow.cell(scheduler.name) if self._ours and scheduler._shareable() else None  # type: ignore[attr-defined]  # a Ticker
        self._cell: Cell | None = cell
        self.name = str(cell.name if cell is not None else scheduler.name or getattr(workflow, "name", "schedule"))
        self._owner = os.urandom(8).hex()
        self._identity = identity()
        self._me = f"process {os.getpid()} on host {socket.gethostname()}"
        now = self._now()
        rule, through = scheduler._rule_from(now)
        self._rule, self._rule_text = Memo(rule), repr(rule)
        self.desk = Desk(cell, State(self._rule_text, text(through)))
        self._own = cell is not None or self.policy.overlap in (TypeOverlap.PARALLEL, TypeOverlap.CANCEL_PREVIOUS)
        self._fenced = cell is not None and cell.shared
        self._crew = Crew()
        self._mine: dict[Tick, Any] = {}
        self._unwanted: set[datetime] = set()  # ticks whose runs are to be cancelled
        self._unnoted: list[tuple[Tick, str]] = []  # ends of runs that the storage did not take
        self._seen: dict[str, tuple[Any, float]] = {}
        self._looked = self._due = 0.0
        self._home = threading.get_ident()
        self._problem: BaseException | None = None
        self._stopping = self._done = self._launched = self._early = self._told = False
        self._finished = threading.Event()
        self._counts = dict.fromkeys(("runs", "completed", "failed", "dropped", "missed"), 0)

    def is_mine(self, ident: int) -> bool:
        """Whether a thread belongs to the loop."""
        return ident == self._home or ident in self._crew.idents

    # -- the cycle ----------------------------------------------------------------------------------------

    def run(self) -> Happened:
        """Go on until told to stop, or until no tick can come."""
        self._home = threading.get_ident()
        keeper = self._begin()
        try:
            if not self.scheduler._inline():
                self._crew.run(warm)  # the first tick finds a thread that waits, and modules that are loaded
            while not self._stopping:
                self._cycle()
            while self._mine:
                self._note(*self.inbox.get())
        except KeyboardInterrupt:
            if not self.scheduler._stopped:
                for manager in list(self._mine.values()):
                    if manager is not None:
                        manager.stop(Stop(WorkflowStatus.INTERRUPTED))
                raise
        finally:
            self._close(keeper)
        if self._problem is not None:
            raise self._problem
        return Happened(**self._counts, reason="over" if self._done else "stopped")

    def once(self, ticks: Iterable[datetime], again: bool) -> Happened:
        """Run *ticks* now, one after the other, whatever the rule says; *again* includes those that completed."""
        keeper = self._begin()
        try:
            for at in ticks:
                history = dict(self.desk.look().history)
                if not again and history.get(text(at)) == "Completed":
                    continue
                _, after = self.desk.update(lambda state, at=at: add(state, at, self._owner))  # type: ignore[misc]
                if again and self._cell is not None and after is not None:
                    self._cell.forget_run(tick_id(self.name, at))
                if after is None:
                    log.warning("schedule %s: %s runs already", self.name, tick_id(self.name, at))
                    continue
                self._launch(at, 2, inline=True)
                self._note(*self.inbox.get())
        finally:
            self._close(keeper)
        return Happened(**self._counts, reason="over")

    def _cycle(self) -> None:
        self._launched = False
        self._note_again()
        try:
            state = self._step()
            pause = self._pause(state)
            if not self._told:
                self._tell(state)
        except StorageError:
            log.exception("schedule %s: its state cannot be reached; trying again", self.name)
            pause = AGAIN
        if pause > 0:
            self._wait(pause)
        if self._due:
            self._stay_awake()
        self._drain()

    def _tell(self, state: State) -> None:
        """Say, once, what the schedule waits for."""
        self._told = True
        if self._ours and not self._done:
            due = self._rule.next(moment(state.through))
            self._workflow.begun(self.name, None if due is None else self._rule.rule.local(due), state.paused)  # type: ignore[attr-defined]  # a Ticker

    def _step(self) -> State:
        now, decision = self._now(), Decision(self.desk._state, [], [])

        def change(state: State) -> State:
            nonlocal decision
            decision = decide(state, self._rule, self.policy, now, self._owner, self._stale(state))
            return decision.state

        before, _ = self.desk.update(change)
        after = decision.state
        self._count(before, after)
        for at in decision.cancels:
            self._cancel(at)
        for at, epoch in self._to_launch(after):
            self._launch(at, epoch, inline=self.scheduler._inline())
        if after.open and not self._mine and self._cell is None:
            return self.desk.look()  # an inline run has ended
        return after

    def _to_launch(self, state: State) -> list[tuple[datetime, int]]:
        """Return the runs that are ours and that nobody makes: new ones, and one whose claim came through unheard."""
        ours = [(moment(kept), each["epoch"]) for kept, each in state.open.items() if each["owner"] == self._owner]
        known = {(tick.at, tick.epoch) for tick in (*self._mine, *(tick for tick, _ in self._unnoted))}
        return [each for each in ours if each not in known]

    def _pause(self, state: State) -> float:
        if not self.inbox.empty():
            return 0.0
        pause = LONGEST if self._cell is None else min(LONGEST, self._lease / 3)
        if ended(state, self._rule, self.policy):
            if not state.open and not (state.queue and not state.paused):
                self._done = self._stopping = True
                return 0.0
            return pause
        if state.paused:
            return pause
        due = self._rule.next(moment(state.through))
        if due is None:
            return pause
        left: float = due.timestamp() - self._clock.time()
        if left > 0 and not self._launched:
            self._rule.next(due)  # found now, not when the tick is due; but not while a run is about to begin
        if not self._real:
            return max(left, 0.0)
        if left > 2 * EARLY:
            self._early = True
            return min(pause, left - EARLY)
        if self._early and self._ours and left > EARLY / 3:
            self._early = False
            if self.scheduler._inline():
                self._workflow.rehearse()  # type: ignore[attr-defined]  # a Ticker
            else:
                self._crew.run(self._workflow.rehearse)  # type: ignore[attr-defined]  # the same
            left = max(0.0, due.timestamp() - self._clock.time())
        if left > 0:
            self._due = due.timestamp()
            return max(0.0, left - AWAKE)
        return left

    def _wait(self, seconds: float) -> None:
        try:
            if self._real:
                message = self.inbox.get(timeout=seconds)
            elif self._mine:
                message = self.inbox.get()  # a clock of a test stands still while something runs
            else:
                message = self.inbox.get_nowait()
        except Empty:
            if not self._real:
                self._clock.sleep(seconds)
            return
        self._note(*message)

    def _stay_awake(self) -> None:
        """Wait for the last moment before a tick."""
        due, self._due = self._due, 0.0
        latest = time.monotonic() + 2 * AWAKE  # the clock may be set back meanwhile
        while self._clock.time() < due and time.monotonic() < latest and self.inbox.empty():
            pass

    def _drain(self) -> None:
        while True:
            try:
                message = self.inbox.get_nowait()
            except Empty:
                return
            self._note(*message)

    def _note(self, what: str, tick: Tick | None, status: str) -> None:
        if what == STOP:
            self._stopping = True
        elif what == ENDED and tick is not None:
            self._end(tick, status)

    # -- runs ---------------------------------------------------------------------------------------------

    def _launch(self, at: datetime, epoch: int, *, inline: bool) -> None:
        tick = Tick(self.name, at, epoch, self._own, self._fenced)
        self._mine[tick] = None
        if not inline:
            self._launched = True
            self._crew.run(lambda: self._make(tick))
            return
        self._make(tick)
        late = replace(self.policy, grace=FOREVER)  # they were not late: the run kept us from looking
        now = self._now()
        if not self._stopping and not self.scheduler._stopped:
            before, after = self.desk.update(
                lambda state: decide(state, self._rule, late, now, self._owner, ()).state if state.open else None
            )
            self._count(before, after)

    def _make(self, tick: Tick) -> None:
        status = WorkflowStatus.FAILED.value
        try:
            if self._ours:
                manager = self._workflow(
                    tick=tick, on_manager=lambda manager: self._know(tick, manager), **self._kwargs
                )
            else:
                manager = self._workflow(**self._kwargs)
            status = str(getattr(manager, "status", WorkflowStatus.COMPLETED))
        except KeyboardInterrupt:
            status = WorkflowStatus.INTERRUPTED.value
            if threading.get_ident() == self._home:
                self.inbox.put((ENDED, tick, status))
                self._drain()
                if not self.scheduler._stopped:
                    raise
                return
        except ConfigurationError as error:  # no run of it can start
            self._problem = error
            self.inbox.put((STOP, None, ""))
        except Exception:  # a workflow that is not ours, or a fault of ours: the schedule goes on (ADR 0010)
            log.exception("schedule %s: a run failed", self.name)
        except SystemExit:  # of an observer, say; it ends the program only where it would without a schedule
            if threading.get_ident() == self._home:
                raise
            log.exception("schedule %s: a run failed", self.name)
        finally:
            self.inbox.put((ENDED, tick, status))

    def _know(self, tick: Tick, manager: Any) -> None:
        self._mine[tick] = manager
        if tick.at in self._unwanted:  # since before there was a handle to cancel it by
            manager.cancel()

    def _end(self, tick: Tick, status: str) -> None:
        if self._mine.pop(tick, self) is self:
            return
        self._unwanted.discard(tick.at)
        self._note_end(tick, status)

    def _note_end(self, tick: Tick, status: str) -> None:
        give_up = status == WorkflowStatus.INTERRUPTED and self._cell is not None and self.scheduler._stopped

        def change(state: State) -> State | None:
            if give_up:
                return release(state, tick, self._owner)
            return finish(state, tick, self._owner, status, self.policy)

        try:
            before, after = self.desk.update(change)
        except StorageError:
            log.exception("schedule %s: the end of %s could not be noted; trying again", self.name, tick.id)
            self._unnoted.append((tick, status))
            return
        if after is None:
            log.warning("schedule %s: %s was taken over by another process", self.name, tick.id)
            return
        self._counts["runs"] += 1
        self._counts["completed"] += status == WorkflowStatus.COMPLETED
        self._counts["failed"] += status == WorkflowStatus.FAILED
        if after.paused and not before.paused:
            log.error("schedule %s is paused: %s", self.name, after.paused)
        if self._cell is not None and len(before.history) == len(after.history):
            for kept in {kept for kept, _ in before.history} - {kept for kept, _ in after.history}:
                self._forget(kept)

    def _note_again(self) -> None:
        unnoted, self._unnoted = self._unnoted, []
        for tick, status in unnoted:
            self._note_end(tick, status)

    def _forget(self, kept: str) -> None:
        assert self._cell is not None
        try:
            self._cell.forget_run(tick_id(self.name, moment(kept)))
        except StorageError:
            log.warning("schedule %s: old checkpoints could not be removed", self.name, exc_info=True)

    def _cancel(self, at: datetime) -> None:
        self._unwanted.add(at)
        for tick, manager in list(self._mine.items()):
            if tick.at == at and manager is not None:
                manager.cancel()

    def _count(self, before: State, after: State | None) -> None:
        if after is not None:
            self._counts["dropped"] += after.dropped - before.dropped
            self._counts["missed"] += after.missed - before.missed

    # -- other processes ----------------------------------------------------------------------------------

    def _begin(self) -> threading.Thread | None:
        if self._cell is None:
            return None
        self._agree()
        keeper = threading.Thread(target=self._keep, name="dotflow-lease", daemon=True)
        keeper.start()
        return keeper

    def _agree(self) -> None:
        """Take up the schedule, unless a process that lives keeps one of that name with another rule."""
        state = self.desk.look()
        if state.rule != self._rule_text and state.watch:
            until = time.monotonic() + self._lease
            first = state.watch
            while time.monotonic() < until and state.rule != self._rule_text and not self.scheduler._stopped:
                time.sleep(min(0.1, self._lease / 10))
                state = self.desk.look()
                for owner, (count, who, *_) in state.watch.items():
                    if state.rule != self._rule_text and (owner not in first or first[owner][0] != count):
                        raise ConfigurationError(
                            f"schedule {self.name!r} is kept by {who} with the rule {state.rule}, not "
                            f"{self._rule_text}; give one of them another name="
                        )
            self.desk.update(lambda state: leave(state, first))
        self.desk.update(
            lambda state: beat(replace(state, rule=self._rule_text), self._owner, self._me, self._identity)
        )

    def _keep(self) -> None:
        """Give signs of life, and stop runs that are not ours any more."""
        pause, due = min(LONGEST, self._lease / 3), time.monotonic() + self._lease / 3
        while not self._finished.wait(pause):
            try:
                if time.monotonic() >= due:
                    _, state = self.desk.update(lambda state: beat(state, self._owner, self._me, self._identity))
                    due = time.monotonic() + self._lease / 3
                else:
                    state = self.desk.look() if self._mine else None
            except StorageError:
                log.exception("schedule %s: its lease could not be renewed", self.name)
                continue
            if state is not None:
                self._obey(state)

    def _obey(self, state: State) -> None:
        for tick, manager in list(self._mine.items()):
            entry = state.open.get(text(tick.at), {})
            if manager is not None and (not state.owned(tick, self._owner) or entry.get("cancel")):
                manager.cancel()
        if state.rule != self._rule_text and self._problem is None:
            self._problem = ConfigurationError(
                f"schedule {self.name!r} has been given the rule {state.rule} while this process was away; it was "
                f"{self._rule_text}"
            )
            self.inbox.put((STOP, None, ""))

    def _stale(self, state: State) -> set[str]:
        """Return the open ticks whose owner has given no sign of life for as long as his lease, as we have seen."""
        if self._cell is None:
            return set()
        now = time.monotonic()
        if now - self._looked > self._lease / 2:
            self._seen.clear()  # we were away, and cannot tell
        self._looked = now
        before, self._seen = self._seen, {}
        gone = set()
        for kept, entry in state.open.items():
            if entry["owner"] == self._owner:
                continue
            sign = (entry["owner"], entry["epoch"], entry["beat"])
            known, since = before.get(kept, (None, now))
            self._seen[kept] = (sign, since if known == sign else now)
            if known == sign and now - since >= self._lease:
                gone.add(kept)
        return gone

    def _close(self, keeper: threading.Thread | None) -> None:
        self._crew.close()
        self._note_again()
        if keeper is None:
            return
        self._finished.set()
        try:
            self.desk.update(lambda state: leave(state, (self._owner,)))
        except StorageError:
            log.warning("schedule %s: could not sign off", self.name, exc_info=True)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), UTC)
