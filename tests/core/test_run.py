"""``Run``, the rules alone: plain numbers for a clock, no thread, no sleep."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from doubles import lost, make_run, task, won

from dotflow import Context, Task, action
from dotflow.core.messages import Attempt, Outcome, Stop
from dotflow.core.run import Run
from dotflow.core.types import TypeStatus, WorkflowStatus


@action
def plain() -> None: ...


@action
def previous(previous_context: Context) -> None: ...


@action
def everything(initial_context: Context, previous_context: Context, task: Any) -> None: ...


@action(retry=3, retry_delay=10)
def retried() -> None: ...


def order_of(run: Run, now: float = 0) -> Attempt:
    """Return the next attempt, which there must be."""
    order = run.next(now)
    assert order is not None
    return order


def all_of(run: Run, now: float = 0) -> list[str]:
    """Return the names of all attempts that can be made now."""
    found = []
    while (order := run.next(now)) is not None:
        found.append(order.task_id)
    return found


def chain(*steps: Any, **options: Any) -> Run:
    """Make a sequential run of steps, named a, b, c …"""
    return make_run(*(task(name, step=step) for name, step in zip("abcdefgh", steps, strict=False)), **options)


# -- launching ------------------------------------------------------------------------------------------------


def test_chain_launches_one_task_at_a_time() -> None:
    """A task is launched when the one before it has completed, and not earlier."""
    run = chain(plain, plain)
    first = order_of(run)

    assert (first.task_id, first.number, first.workflow_id, first.timeout) == ("a", 1, "w", 0)
    assert run.tasks[0].status is TypeStatus.IN_PROGRESS
    assert run.next(0) is None
    assert (run.flying, run.expects(0), run.expects(1), run.over) == ([0], True, False, False)

    run.complete(won(first, 5), 2)

    assert run.tasks[0].status is TypeStatus.COMPLETED
    assert order_of(run, 2).task_id == "b"


def test_lane_takes_as_many_as_it_has_slots() -> None:
    """X6: no more attempts are under way than there are slots, in the order of the queue."""
    run = make_run(*map(task, "abcd"), mode="parallel", slots=(2,))
    first, second = order_of(run), order_of(run)

    assert run.next(0) is None
    run.complete(won(second), 1)
    assert all_of(run) == ["c"]
    run.fail(lost(first), 1)
    assert all_of(run) == []


def test_lane_without_a_limit_takes_all() -> None:
    """``slots=None`` is any number."""
    run = make_run(*map(task, "abcd"), mode="parallel", slots=(None,))

    assert all_of(run) == ["a", "b", "c", "d"]


def test_full_lane_does_not_hold_up_another() -> None:
    """Lanes fill independently of each other."""
    run = make_run(*map(task, "abcd"), mode="parallel", lanes=[0, 0, 1, 1], slots=(1, None))

    assert all_of(run) == ["a", "c", "d"]


def test_alone_means_that_nothing_else_could_start() -> None:
    """A single attempt is alone only while nothing is ready and no pause is running."""
    run = make_run(task("a"), task("b", needs=[]), mode="sequential", slots=(None,))
    first = order_of(run)
    assert not run.alone
    order_of(run)
    assert not run.alone
    run.complete(won(first), 1)
    assert run.alone


def test_graph_waits_for_every_parent() -> None:
    """A task with several parents is launched when the last of them is done."""
    run = make_run(task("a", needs=[]), task("b", needs=[]), task("c", needs=["a", "b"]), slots=(None,))
    a, b = order_of(run), order_of(run)

    run.complete(won(b), 1)
    assert all_of(run) == []
    run.complete(won(a), 1)
    assert all_of(run) == ["c"]


# -- contexts -------------------------------------------------------------------------------------------------


def test_first_task_has_an_empty_previous_context_of_the_workflow() -> None:
    """The first task gets a context without a value that carries the workflow id."""
    order = order_of(chain(previous))

    assert order.previous == Context(None, "", "w")
    assert order.initial is None


def test_previous_context_is_the_value_of_the_one_parent() -> None:
    """Decided: one parent, its value, with the name of the task that made it."""
    run = chain(plain, previous, epoch=1000.0)
    run.complete(won(order_of(run, 1), {"rows": 3}), 5)

    order = order_of(run, 6)

    assert order.previous == Context({"rows": 3}, "a", "w")
    assert order.previous is not None
    assert order.previous.time == datetime.fromtimestamp(1005, UTC)
    told = run.tasks[1].previous_context
    assert (told.storage, told.task_id) == (order.previous.storage, order.previous.task_id)


def test_previous_context_of_several_parents_is_a_dictionary() -> None:
    """Decided: several parents, task id → value, ``None`` included."""
    run = make_run(task("a", needs=[]), task("b", needs=[]), task("c", needs=["a", "b"], step=previous), slots=(None,))
    a, b = order_of(run), order_of(run)
    run.complete(won(a, None), 1)
    run.complete(won(b, 0), 1)

    order = order_of(run, 1)

    assert order.previous == Context({"a": None, "b": 0}, "", "w")
    assert run.tasks[2].previous_context.storage == {"a": None, "b": 0}


def test_what_the_storage_hands_on_is_what_the_next_step_gets() -> None:
    """P7: a value that the storage gives back differently is the one handed on; the task keeps what it returned."""
    run = make_run(
        task("a", needs=[]),
        task("b", needs=["a"], step=previous),
        task("c", needs=["a", "b"], step=previous),
    )
    run.complete(won(order_of(run), 5), 1, "from the storage")
    second = order_of(run, 1)
    run.complete(won(second, 7), 1)
    third = order_of(run, 1)

    assert second.previous is not None
    assert third.previous is not None
    assert second.previous.storage == "from the storage"
    assert third.previous.storage == {"a": "from the storage", "b": 7}
    assert run.tasks[0].value == 5


def test_step_gets_only_what_it_asks_for() -> None:
    """Contexts and ``task`` are made for steps that name them; the key is made then, too."""
    run = make_run(Task("a", everything, initial_context=3), Task("b", plain), run_id="r")
    first = order_of(run)
    run.complete(won(first), 1)
    second = order_of(run, 1)

    assert first.initial == Context(3, "a")
    assert first.previous is not None
    assert re.fullmatch("[0-9a-f]{32}", first.idempotency_key)
    assert (second.initial, second.previous, second.idempotency_key) == (None, None, "")
    assert run.tasks[0].idempotency_key == first.idempotency_key


def test_idempotency_key_is_the_same_for_each_attempt() -> None:
    """X7: a retry and a resumed run of one run id have the same key; another run or task has another.

    It is fit for a header of HTTP or mail, whatever the name of the task.
    """
    step = action(retry=2, retry_delay=0)(everything.func)

    def keys(run_id: str, name: str = "a") -> list[str]:
        run = make_run(Task(name, step), run_id=run_id)
        first = order_of(run)
        run.fail(lost(first), 0)
        return [first.idempotency_key, order_of(run).idempotency_key]

    made = [keys("r"), keys("s"), keys("r", 'wild: \u2028 "<ä>"')]
    assert all(first == second and re.fullmatch("[0-9a-f]{32}", first) for first, second in made)
    assert len({first for first, _ in made}) == 3
    assert keys("r") == made[0]


def test_tick_is_stamped_on_tasks_and_contexts() -> None:
    """A scheduled run tells its steps which tick it is for."""
    tick = datetime(2026, 1, 1, tzinfo=UTC)
    order = order_of(make_run(Task("a", everything, initial_context=3), scheduled_for=tick))

    assert order.initial is not None
    assert order.previous is not None
    assert (order.initial.scheduled_for, order.previous.scheduled_for) == (tick, tick)


# -- retries --------------------------------------------------------------------------------------------------


def test_failed_attempt_is_followed_by_another_after_the_pause() -> None:
    """S3: three calls at most, with a pause between; each failure is an entry with its number, the last one too."""
    run = chain(retried)
    for number, now in ((1, 0), (2, 10)):
        order = order_of(run, now)
        assert order.number == number
        run.fail(lost(order, TimeoutError(f"try {number}")), now)
        assert run.tasks[0].status is TypeStatus.RETRY
        assert run.wait(now) == 10
        assert run.next(now + 9.99) is None
        assert not run.over

    last = order_of(run, 20)
    run.fail(lost(last), 21)

    [done] = run.tasks
    assert (done.status, done.retry_count, done.duration) == (TypeStatus.FAILED, 2, 21)
    assert [error.attempt for error in done.errors] == [1, 2, 3]
    assert run.over
    assert run.finish() is WorkflowStatus.FAILED


def test_success_after_a_retry_keeps_the_errors() -> None:
    """A task that completed in its second attempt still shows the first; its time counts from the first start."""
    run = chain(retried)
    run.fail(lost(order_of(run, 5)), 6)
    run.complete(won(order_of(run, 16), 1), 17)

    [done] = run.tasks
    assert (done.status, done.retry_count, len(done.errors), done.duration) == (TypeStatus.COMPLETED, 1, 1, 12)
    assert run.finish() is WorkflowStatus.COMPLETED


def test_failure_that_is_not_worth_another_attempt_is_final() -> None:
    """``retry_on``: what the policy leaves out fails the task at once."""
    run = chain(retried)

    run.fail(lost(order_of(run), again=False), 0)

    assert run.tasks[0].status is TypeStatus.FAILED
    assert run.tasks[0].retry_count == 0


def test_final_failure_is_not_retried() -> None:
    """P4: a result that the storage refused does not make the body run again."""
    run = chain(retried)

    run.fail(lost(order_of(run)), 0, final=True)

    assert run.tasks[0].status is TypeStatus.FAILED
    assert all_of(run, 99) == []


@pytest.mark.parametrize(
    ("policy", "pauses"),
    [
        ({"retry_delay": 2}, [2, 2, 2]),
        ({"retry_delay": 2, "backoff": True}, [2, 4, 8]),
        ({"retry_delay": 2, "backoff": True, "max_delay": 5}, [2, 4, 5]),
        ({"retry_delay": 2, "jitter": 0.5}, [3, 3, 3]),
        ({"retry_delay": 0}, [0, 0, 0]),
    ],
)
def test_pauses_follow_the_policy(policy: dict[str, Any], pauses: list[float]) -> None:
    """The pauses are those of the policy; chance is asked only where there is jitter."""
    asked: list[int] = []

    def chance() -> float:
        asked.append(1)
        return 1.0

    run = chain(action(retry=4, **policy)(plain.func), chance=chance)
    now, seen = 0.0, []
    for _ in pauses:
        run.fail(lost(order_of(run, now)), now)
        pause = run.wait(now)
        assert pause is not None
        seen.append(pause)
        now += pause

    assert seen == pauses
    assert bool(asked) is ("jitter" in policy)


def test_pause_of_one_task_does_not_hold_up_others() -> None:
    """While one task pauses, its slot is free."""
    run = make_run(task("a", step=retried), task("b"), mode="parallel", slots=(1,))
    run.fail(lost(order_of(run)), 0)

    second = order_of(run, 0)

    assert second.task_id == "b"
    assert run.wait(0) is None  # the slot is taken: only an outcome can change anything
    assert run.next(50) is None
    run.complete(won(second), 50)
    assert order_of(run, 50).task_id == "a"


def test_pauses_that_are_over_come_in_the_order_of_their_ends() -> None:
    """The pause that ends first is served first."""
    slow, quick = action(retry=2, retry_delay=9)(plain.func), action(retry=2, retry_delay=3)(plain.func)
    run = make_run(task("a", step=slow), task("b", step=quick), mode="parallel", slots=(None,))
    for order in (order_of(run), order_of(run)):
        run.fail(lost(order), 0)

    assert run.wait(1) == 2
    assert all_of(run, 3) == ["b"]
    assert run.wait(3) == 6
    assert run.wait(99) == 0
    assert all_of(run, 9) == ["a"]


# -- failures and keep_going ----------------------------------------------------------------------------------


def test_nothing_new_is_launched_after_a_failure() -> None:
    """Decided: what runs is awaited, what was never reached stays ``Not started``, and the run has failed."""
    run = make_run(*map(task, "abc"), mode="parallel", slots=(2,))
    first, second = order_of(run), order_of(run)
    run.fail(lost(first), 1)

    assert all_of(run) == []
    assert not run.over
    run.complete(won(second), 2)
    assert run.over
    assert [str(each.status) for each in run.tasks] == ["Failed", "Completed", "Not started"]
    assert run.finish() is WorkflowStatus.FAILED


def test_pause_that_runs_when_another_task_fails_still_ends() -> None:
    """A task between two attempts has been reached: it is awaited to its own end."""
    run = make_run(task("a", step=retried), task("b"), task("c"), mode="parallel", slots=(2,))
    first, second = order_of(run), order_of(run)
    run.fail(lost(first), 0)
    run.fail(lost(second), 1)

    assert not run.over
    assert all_of(run, 10) == ["a"]


def test_keep_going_runs_the_dependents_with_nothing_in_place_of_the_failed() -> None:
    """Decided: with ``keep_going`` dependents run with an empty context; the run still counts as failed."""
    run = chain(plain, previous, plain, keep_going=True)
    run.fail(lost(order_of(run)), 1)
    second = order_of(run, 1)

    assert second.previous is not None
    assert second.previous.storage is None
    run.complete(won(second), 1)
    run.complete(won(order_of(run, 1)), 1)
    assert run.over
    assert run.finish() is WorkflowStatus.FAILED


def test_keep_going_leaves_the_failed_parent_empty_among_others() -> None:
    """With several parents the failed one's place holds ``None``."""
    run = make_run(
        task("a", needs=[]),
        task("b", needs=[]),
        task("c", needs=["a", "b"], step=previous),
        slots=(None,),
        keep_going=True,
    )
    a, b = order_of(run), order_of(run)
    run.fail(lost(a), 1)
    run.complete(won(b, 2), 1)

    order = order_of(run, 1)

    assert order.previous is not None
    assert order.previous.storage == {"a": None, "b": 2}


def test_empty_run_completes() -> None:
    """Decided: a workflow without tasks completes."""
    run = make_run()

    assert run.over
    assert run.finish() is WorkflowStatus.COMPLETED


# -- stopping and resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [WorkflowStatus.CANCELLED, WorkflowStatus.INTERRUPTED])
def test_stopped_run_launches_nothing_more(status: WorkflowStatus) -> None:
    """After a stop what runs is awaited, pauses are given up, and the run counts as what the request says."""
    run = make_run(task("a", step=retried), task("b"), task("c"), mode="parallel", slots=(2,))
    first, second = order_of(run), order_of(run)
    run.fail(lost(first), 0)
    run.stop(Stop(status))

    assert all_of(run, 99) == []
    assert run.wait(0) is None
    run.complete(won(second), 1)
    assert run.over
    assert [each.task_id for each in run.abandon(2)] == ["a"]
    assert [str(each.status) for each in run.tasks] == ["Paused", "Completed", "Not started"]
    assert run.finish() is status


def test_failure_after_a_stop_is_not_retried() -> None:
    """A task that fails while the run is being stopped has failed: nobody would make the next attempt."""
    run = chain(retried)
    order = order_of(run)
    run.stop(Stop(WorkflowStatus.CANCELLED))

    run.fail(lost(order), 1)

    assert run.tasks[0].status is TypeStatus.FAILED
    assert run.finish() is WorkflowStatus.CANCELLED


def test_first_request_decides_what_the_run_counts_as_and_the_last_how_long_it_waits() -> None:
    """A second signal shortens the grace time and changes nothing else."""
    run = chain(plain)
    run.stop(Stop(WorkflowStatus.INTERRUPTED, 10))
    run.stop(Stop(WorkflowStatus.CANCELLED, 0))

    assert run.stopping == Stop(WorkflowStatus.INTERRUPTED, 0)


def test_run_that_was_complete_when_it_was_stopped_is_complete() -> None:
    """A stop that comes too late changes nothing."""
    run = chain(plain)
    order = order_of(run)
    run.stop(Stop(WorkflowStatus.CANCELLED))
    run.complete(won(order), 1)

    assert run.finish() is WorkflowStatus.COMPLETED


def test_interrupted_task_is_paused() -> None:
    """A task that was stopped in the middle is ``Paused``, with its time."""
    run = chain(plain)
    order_of(run, 2)

    paused = run.pause(0, 5)

    assert (paused.status, paused.duration) == (TypeStatus.PAUSED, 3)


def test_abandoned_tasks_are_paused() -> None:
    """Whatever still runs when the run is given up is paused and can start again."""
    run = make_run(*map(task, "ab"), mode="parallel", slots=(None,))
    all_of(run)

    assert sorted(each.task_id for each in run.abandon(1)) == ["a", "b"]
    assert run.over


@pytest.mark.parametrize("value", [None, 0, "", [], 5])
def test_restored_task_is_completed_and_feeds_the_next(value: Any) -> None:
    """R2: a checkpoint counts, whatever value it holds; the task does not run."""
    run = chain(plain, previous)
    restored = run.restore(0, value)

    order = order_of(run)

    assert (restored.status, restored.restored, restored.value) == (TypeStatus.COMPLETED, True, value)
    assert order.task_id == "b"
    assert order.previous is not None
    assert order.previous.storage == value


def test_restored_task_in_the_middle_is_skipped_when_its_turn_comes() -> None:
    """R3: a checkpoint behind a new step is used, though the new step runs first."""
    run = chain(plain, plain, previous)
    run.restore(1, "kept")
    first = order_of(run)
    run.complete(won(first, 1), 1)

    last = order_of(run, 1)

    assert (first.task_id, last.task_id) == ("a", "c")
    assert last.previous is not None
    assert last.previous.storage == "kept"


# -- times ----------------------------------------------------------------------------------------------------


def test_times_come_from_the_clock_of_the_run() -> None:
    """``started_at`` and ``finished_at`` are wall-clock times of the monotonic clock's moments."""
    run = chain(plain, epoch=1_000_000)
    run.complete(won(order_of(run, 5)), 8)

    [done] = run.tasks
    assert done.started_at == datetime.fromtimestamp(1_000_005, UTC)
    assert done.finished_at == datetime.fromtimestamp(1_000_008, UTC)
    assert done.duration == 3


def test_way_to_a_worker_does_not_count() -> None:
    """A worker's own start is nearer to the truth than the moment at which the step was sent there."""
    run = make_run(task("a"), mode="parallel", slots=(4,), epoch=1000.0)
    order = order_of(run, 5)

    run.complete(won(order, started=1006.5), 8)

    [done] = run.tasks
    assert done.started_at == datetime.fromtimestamp(1006.5, UTC)
    assert done.duration == pytest.approx(1.5)


def test_clock_of_a_worker_that_goes_before_ours_is_not_believed() -> None:
    """A start before the launch cannot be."""
    run = make_run(task("a"), mode="parallel", slots=(4,), epoch=1000.0)
    run.complete(won(order_of(run, 5), started=3.0), 8)

    assert run.tasks[0].duration == 3


@pytest.mark.parametrize("failed", [False, True])
def test_clock_of_a_worker_that_goes_ahead_of_ours_does_not_turn_time_round(failed: bool) -> None:
    """A wall clock that was set forward during a run makes no duration negative, and no end before its start."""
    run = make_run(task("a"), mode="parallel", slots=(4,), epoch=1000.0)
    order = order_of(run, 5)

    if failed:
        run.fail(lost(order)._replace(started=4600.0), 8)
    else:
        run.complete(won(order, started=4600.0), 8)

    [done] = run.tasks
    assert done.duration is not None
    assert 0 <= done.duration <= 3
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.started_at <= done.finished_at


# -- any order of events --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_any_graph_ends_with_every_rule_kept(seed: int) -> None:
    """For random graphs, lanes, failures and stops: the run ends, no task runs twice or before its parents."""
    chance = random.Random(seed)
    count = chance.randint(1, 12)
    step = action(retry=2, retry_delay=1)(plain.func)
    tasks = [
        task(str(at), needs=[str(other) for other in range(at) if chance.random() < 0.3], step=step)
        for at in range(count)
    ]
    lanes = [chance.randint(0, 1) for _ in tasks]
    run = make_run(*tasks, lanes=lanes, slots=(chance.choice([1, 2]), None), keep_going=chance.random() < 0.5)
    now, flying, attempts, restored = 0.0, list[Attempt](), dict[str, int](), set[int]()
    if chance.random() < 0.3:
        run.restore(0, 1)
        restored.add(0)
    for _ in range(1000):
        while (order := run.next(now)) is not None:
            attempts[order.task_id] = attempts.get(order.task_id, 0) + 1
            assert order.number == attempts[order.task_id]
            for parent in tasks[order.position].depends_on or ():
                assert run.tasks[int(parent)].status in (TypeStatus.COMPLETED, TypeStatus.FAILED)
            flying.append(order)
        assert sum(lanes[order.position] == 0 for order in flying) <= run._slots[0]  # type: ignore[operator]
        if run.over:
            break
        if chance.random() < 0.05:
            run.stop(Stop(WorkflowStatus.CANCELLED))
        if flying and (run.wait(now) is None or chance.random() < 0.7):
            order = flying.pop(chance.randrange(len(flying)))
            if chance.random() < 0.3:
                run.fail(lost(order), now)
            else:
                run.complete(Outcome(order.position, order.number, order.task_id), now)
        now += 0.5
    assert run.over
    run.abandon(now)
    assert not {0} & restored or "0" not in attempts
    assert all(number <= 2 for number in attempts.values())
    finals = {str(each.status) for each in run.tasks}
    assert finals <= {"Completed", "Failed", "Not started", "Paused"}
    assert (run.finish() is WorkflowStatus.COMPLETED) is (finals == {"Completed"})


def test_an_attempt_that_was_given_up_before_it_began_does_not_count() -> None:
    """``retry_count`` counts failures that another attempt followed: after a stop in the pause, none did."""
    run = chain(retried)
    run.fail(lost(order_of(run)), 0)
    assert run.tasks[0].retry_count == 1
    run.stop(Stop(WorkflowStatus.CANCELLED))
    run.abandon(1)

    assert (run.tasks[0].status, run.tasks[0].retry_count) == (TypeStatus.PAUSED, 0)
