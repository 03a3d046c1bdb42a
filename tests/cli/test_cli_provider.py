"""``dotflow provider``: what there is, whether it keeps its contract, and the beginning of a new one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_process import Command, environment

from dotflow.cli.provider import EXTRAS, KINDS
from dotflow.core.config import CONTRACTS
from dotflow.providers import PROVIDERS
from dotflow.testing import StorageContract

PROVIDERS_OF_A_USER = """
import json
from pathlib import Path

from dotflow import Context
from dotflow.abc.log import Log
from dotflow.abc.storage import Storage


class Files(Storage):
    def __init__(self, folder="kept", suffix=""):
        self.folder, self.suffix = Path(folder).absolute(), suffix
        self.folder.mkdir(exist_ok=True)

    def post(self, key, context):
        self._place(key).write_text(json.dumps(context.storage))

    def get(self, key):
        path = self._place(key)
        return Context(json.loads(path.read_text()) if path.exists() else None)

    def key(self, task):
        return f"{task.workflow_id}:{task.task_id}"

    def _place(self, key):
        return self.folder / (key.encode("utf-8", "surrogatepass").hex()[:200] + self.suffix)


class Forgetful(Files):
    def get(self, key):
        return Context(None)


class NeedsPort(Files):
    def __init__(self, port):
        super().__init__()


class Raises(Files):
    def __init__(self):
        raise LookupError("no such server")


class Mute(Log):
    def info(self, **kwargs):
        raise OSError("no [red]space[/red] \\x1b[31m left")


def in_memory():
    from dotflow.providers import StorageDefault

    return StorageDefault()


def nothing():
    return 3
"""


@pytest.fixture
def command(tmp_path: Path, quick_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("TMPDIR", str(quick_folder))  # where a storage that is checked has its data
    (tmp_path / "mine.py").write_text(PROVIDERS_OF_A_USER)
    return Command(tmp_path)


def test_list_shows_every_provider_by_kind(command: Command) -> None:
    """With its extra, whether that is there, and its URLs; those of other packages included."""
    done = command("provider", "list")

    assert done.returncode == 0, done.stderr
    rows = {line.split()[1]: re.split(r"\s{2,}", line) for line in done.stdout.splitlines()[1:]}
    assert rows.keys() >= PROVIDERS.keys()
    assert rows["StorageRedis"] == ["storage", "StorageRedis", "dotflow[redis]", "yes", "redis, rediss, valkey"]
    kinds = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert list(dict.fromkeys(kinds)) == list(CONTRACTS)


def test_list_as_json_of_one_kind_knows_other_packages_and_what_is_missing(command: Command) -> None:
    """An entry point whose module is there, and one whose is not."""
    info = command.folder / "thing-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    info.joinpath("entry_points.txt").write_text("[dotflow.storage]\nmine = mine:Files\ngone = no_such_module:x\n")

    done = command("provider", "list", "--kind", "storage", "--json", PYTHONPATH=str(command.folder))

    rows = {row["provider"]: row for row in json.loads(done.stdout)}
    assert rows["mine:Files"] == {
        "kind": "storage", "provider": "mine:Files", "needs": "thing", "usable": True, "schemes": ["mine"],
    }  # fmt: skip
    assert rows["no_such_module:x"]["usable"] is False
    assert {row["kind"] for row in rows.values()} == {"storage"}


def test_table_of_extras_is_that_of_the_package() -> None:
    """Each extra exists, and each provider that requires one is in the table."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    assert {extra for extra, _ in EXTRAS.values()} <= known.keys()
    source = Path(sys.modules["dotflow"].__file__ or "").parent / "providers"
    asking = {
        name for name, module in PROVIDERS.items() if "require(" in (source / f"{module}.py").read_text()
    }  # fmt: skip
    assert asking <= EXTRAS.keys()


def test_check_of_a_storage_that_keeps_its_contract(command: Command) -> None:
    """Every clause of the kit is in the table, and nothing is left behind in the working folder."""
    done = command("provider", "check", "dotflow.providers:StorageSQLite", "--alone")

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^what_was_saved_is_read +pass$", done.stdout, re.MULTILINE)
    total = len([name for name in dir(StorageContract) if name.startswith("test_")])
    kept, of = map(int, re.findall(r"(\d+) of (\d+) clauses of storage hold", done.stdout)[0])
    assert 20 < kept == of < total
    assert re.search(r"^a_time_to_live_ends +pass$", done.stdout, re.MULTILINE)
    assert not (command.folder / "dotflow.db").exists()


def test_check_with_url_arguments_and_chosen_clauses(command: Command) -> None:
    """Clauses about processes included; JSON says clause, claim and why."""
    clauses = ["--clause", "it_survives_a_spawn", "--clause", "test_what_was_saved_is_read", "--json"]

    for how in (
        ["dotflow.providers:StorageSQLite", "--url", "sqlite:///kit.db"],
        ["mine:Files", "--arg", "suffix=.json"],
    ):
        done = command("provider", "check", *how, *clauses)

        found = json.loads(done.stdout)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (found["provider"], found["kind"], found["passed"]) == (how[0], "storage", True)
        assert [clause["clause"] for clause in found["clauses"]] == ["what_was_saved_is_read", "it_survives_a_spawn"]
        assert all(clause["claim"] and clause["why"] == "" for clause in found["clauses"])


def test_check_of_one_that_does_not_keep_it_says_which_clause_and_why(command: Command) -> None:
    """Exit code 1, for storages and for others; control characters of a provider cannot move the cursor."""
    storage = command("provider", "check", "mine:Forgetful", "--clause", "what_was_saved_is_read", "--json")
    log = command("provider", "check", "mine:Mute")

    assert storage.returncode == log.returncode == 1
    [clause] = json.loads(storage.stdout)["clauses"]
    assert not clause["passed"]
    assert "None" in clause["why"]
    assert re.search(r"^it_is_one_of_its_kind +pass$", log.stdout, re.MULTILINE)
    assert re.search(r"^every_level_takes_every_status +FAIL +OSError: no \[red\]space", log.stdout, re.MULTILINE)
    assert "\x1b" not in log.stdout


def test_check_says_which_clauses_are_about_methods_that_the_class_does_not_have(command: Command) -> None:
    """They neither hold nor fail, and are counted apart; so too in JSON."""
    clauses = ["--clause", "one_leads", "--clause", "what_was_saved_is_read", "--clause", "create_saves_once"]
    clauses += ["--clause", "a_time_to_live_ends"]
    done = command("provider", "check", "mine:Files", *clauses)
    told = json.loads(command("provider", "check", "mine:Files", *clauses, "--json").stdout)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^one_leads +absent +the class has no lock$", done.stdout, re.MULTILINE)
    assert re.search(r"^what_was_saved_is_read +pass$", done.stdout, re.MULTILINE)
    assert re.search(r"^a_time_to_live_ends +absent +the class has no post\(ttl=\)$", done.stdout, re.MULTILINE)
    told_at_last = "1 of 1 clauses of storage hold; 3 more are about what the class does not have: "
    assert f"{told_at_last}create, lock, post(ttl=)" in done.stdout
    assert {clause["clause"]: clause["absent"] for clause in told["clauses"]} == {
        "what_was_saved_is_read": [], "create_saves_once": ["create"], "one_leads": ["lock"],
        "a_time_to_live_ends": ["post(ttl=)"],
    }  # fmt: skip


def test_check_of_a_function_that_gives_a_storage_in_memory(command: Command) -> None:
    """The same object each time, and no other processes."""
    done = command("provider", "check", "mine:in_memory")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "spawn" not in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["check", "mine:Fils"], 2, "did you mean 'Files'?"),
        (["check", "dotflow.providers:StorageSQlite"], 2, "StorageSQLite"),
        (["check", "no_such_module:X"], 2, "there is no module 'no_such_module'"),
        (["check", "mine:nothing"], 2, "storage, notify, log"),
        (["check", "mine:NeedsPort"], 2, "--arg name=value"),
        (["check", "mine:Raises"], 2, "no such server"),
        (["check", "mine:Files", "--arg", "suffix"], 2, "--arg port=6379"),
        (["check", "mine:Files", "--url", "sqlite:///x.db"], 2, "gives a StorageSQLite, not a Files"),
        (["check", "mine:Files", "--url", "memory://", "--arg", "suffix=x"], 2, "not both"),
        (["check", "mine:Files", "--clause", "it_survives_a_spwan"], 2, "did you mean 'it_survives_a_spawn'?"),
        (["new", "storge", "x"], 2, "did you mean 'storage'?"),
        (["list", "--kind", "notfy"], 2, "did you mean 'notify'?"),
        (["new", "storage", "../x"], 2, "names no class"),
        (["new", "storage", "x", "--folder", "nowhere"], 2, "no folder 'nowhere'"),
        (["chek"], 2, "did you mean 'check'?"),
    ],
)
def test_what_cannot_be_done_is_told(command: Command, words: list[str], code: int, said: str) -> None:
    """With what was probably meant."""
    done = command("provider", *words)

    assert (done.returncode, said in done.stderr) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stderr or said == "no such server"


def test_new_writes_providers_whose_tests_pass_at_once(command: Command) -> None:
    """One of each kind; Python warns of nothing, and ``check`` agrees."""
    for kind in KINDS:
        done = command("provider", "new", kind, "big-query")
        assert done.returncode == 0, done.stderr
    assert "class StorageBigQuery(Storage)" in (command.folder / "storage_big_query.py").read_text()

    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-o", "addopts=", f"--rootdir={command.folder}"]
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "."],
        cwd=command.folder, env=environment({}), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout

    for kind in ("scheduler", "server"):
        check = command("provider", "check", f"{kind}_big_query:{CONTRACTS[kind]}BigQuery")
        assert check.returncode == 0, check.stdout + check.stderr


def test_new_in_a_folder_that_cannot_be_written_is_one_line(command: Command, tmp_path: Path) -> None:
    """The name of the file and the cause; whoever may write everywhere meets a folder in the way."""
    (tmp_path / "storage_shelf.py").mkdir()

    done = command("provider", "new", "storage", "shelf", "--force")

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "storage_shelf.py cannot be written: Is a directory" in done.stderr


def test_new_says_how_to_run_its_test(command: Command) -> None:
    """As a line for a shell, in whatever folder it is."""
    (command.folder / "my own").mkdir()

    done = command("provider", "new", "log", "mine", "--folder", "my own")

    assert "check it: python -m pytest 'my own/test_log_mine.py'" in done.stdout


def test_new_replaces_nothing_unless_it_is_forced(command: Command) -> None:
    """Neither the module nor its test."""
    test = command.folder / "test_log_mine.py"
    test.write_text("mine")

    refused = command("provider", "new", "log", "mine")

    assert refused.returncode == 2
    assert "test_log_mine.py would be replaced; use another name, or --force" in refused.stderr
    assert test.read_text() == "mine"
    assert not (command.folder / "log_mine.py").exists()
    assert command("provider", "new", "log", "LogMine", "--force").returncode == 0
    assert "LogMine" in test.read_text()
