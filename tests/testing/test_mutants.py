"""The storage kit bites: each way of breaking the contract fails the clause that is about it."""

from __future__ import annotations

import functools
from pathlib import Path

import mutants
import pytest

from dotflow.testing import check_storage

BITES = {
    mutants.TearsWrites: "a_killed_writer_leaves_old_or_new",
    mutants.FirstWriteWins: "the_last_write_wins, an_empty_context_reads_as_missing",
    mutants.Shouts: "keys_do_not_meet, what_is_missing_is_an_empty_context",
    mutants.CutsKeys: "keys_do_not_meet",
    mutants.DropsUnicode: "every_json_value_comes_back_equal",
    mutants.CountsInFloats: "every_json_value_comes_back_equal",
    mutants.LosesEmptyOnes: "every_json_value_comes_back_equal, every_result_comes_back_equal_through_the_codec",
    mutants.KeepsAReference: "what_is_saved_does_not_change_later, another_process_sees_it_at_once",
    mutants.CallsItMissing: "unreachable_is_not_missing",
    mutants.SavesLater: "it_is_durable_when_post_returns, what_was_saved_is_read",
    mutants.ForgetsOnReopen: "what_was_saved_is_read",
    mutants.Escapes: "no_key_is_a_path",
    mutants.OneKeyForTwoTasks: "the_key_of_a_task_is_its_own, workflows_whose_ids_share_a_prefix_do_not_meet",
    mutants.AnotherKeyInEachProcess: "keys_are_the_same_in_every_process",
    mutants.SharesOnePart: "threads_lose_nothing, processes_lose_nothing",
    mutants.LosesUpdates: "threads_lose_nothing, processes_lose_nothing",
    mutants.LosesUnderThreads: "threads_lose_nothing",
    mutants.HoldsALockForEver: "a_killed_writer_leaves_old_or_new",
    mutants.BelongsToOneProcess: "it_survives_a_fork",
    mutants.CannotCloseTwice: "it_can_be_closed_twice",
    mutants.NamesNothing: "what_is_left_out_is_named, delete_tells_whether_it_was_there",
    mutants.ClearsTooMuch: "clear_removes_one_workflow_and_no_other",
    mutants.ClearsTooLittle: "clear_removes_one_workflow_and_no_other",
    mutants.MatchesLikeSql: "list_keys_gives_what_begins_with_the_prefix, delete_prefix_removes_what_begins_with_it",
    mutants.ListsDeletedKeys: "list_keys_does_not_give_what_was_deleted",
    mutants.TakesTheEmptyPrefix: "the_empty_prefix_is_refused",
    mutants.SaysItWasThere: "delete_tells_whether_it_was_there",
    mutants.CreatesWithTwoWinners: "of_threads_that_create_one_wins, of_processes_that_create_one_wins",
    mutants.CreatesWithTwoWinningProcesses: "of_processes_that_create_one_wins",
    mutants.CreatesOverTheOld: "create_saves_once",
    mutants.SwapsWithoutComparing: "atomic_swap_compares",
    mutants.SwapsAfterLooking: "threads_that_swap_lose_nothing",
    mutants.SwapsAfterLookingInProcesses: "processes_that_swap_lose_nothing",
    mutants.PostsOneByOne: "post_many_refuses_all_for_one",
    mutants.PostsOneByOneAfterLooking: "a_killed_post_many_saves_all_or_nothing",
    mutants.GetsManyThatAreMissing: "get_many_gives_those_that_exist",
    mutants.LocksNothing: "one_leads",  # the clause that counts needs luck to see it
    mutants.LocksForEver: "a_killed_leader_holds_nothing",
    mutants.IsNeverHealthy: "healthcheck_is_content",
    mutants.IgnoresTheTtl: "a_time_to_live_ends",
    mutants.KeepsTheOldTtl: "a_time_to_live_ends",
    mutants.ListsWhatHasEnded: "a_time_to_live_ends",
    mutants.CreatesNothingWhereSomethingEnded: "a_time_to_live_ends",
    mutants.SwapsForEver: "a_time_to_live_ends",
}


@pytest.mark.parametrize(("mutant", "clauses"), BITES.items(), ids=lambda given: getattr(given, "__name__", ""))
def test_a_mutant_is_bitten(mutant: type, clauses: str, tmp_path: Path) -> None:
    """By each clause that is about what it breaks."""
    for number, clause in enumerate(clauses.split(", ")):
        make = functools.partial(mutant, tmp_path / str(number))

        [verdict] = check_storage(make, clauses=[f"test_{clause}"])

        assert verdict.problem, f"{mutant.__name__} passed {clause}"


def test_every_mutant_is_tried() -> None:
    """And what they are made from is not bitten."""
    known = {kind for kind in vars(mutants).values() if isinstance(kind, type) and kind.__module__ == "mutants"}

    assert known - {mutants.Right} == set(BITES)


@pytest.mark.parametrize("kind", [mutants.Right, mutants.StorageFolder])
def test_the_right_ones_pass(kind: type, tmp_path: Path) -> None:
    """All clauses, on one and the same data."""
    verdicts = check_storage(functools.partial(kind, tmp_path))

    assert [verdict for verdict in verdicts if verdict.problem] == []
    assert len(verdicts) > 40
    assert all(verdict.claim for verdict in verdicts)
