"""StorageS3, against moto's S3 over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from object_servers import refusing_server
from storage_uses import everything, resumes

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import (
    ConfigurationError,
    CorruptCheckpoint,
    ResultNotStorable,
    StorageError,
    StorageUnavailable,
    WorkflowBusy,
)
from dotflow.providers import _lease
from dotflow.providers._objects import key_of, object_name
from dotflow.providers.storage_s3 import StorageS3
from dotflow.testing import StorageContract

KEYS: dict[str, Any] = {"region": "us-east-1", "access_key_id": "me", "secret_access_key": "hunter2-hunter2"}


def client(url: str, prefix: str = "dotflow/", **options: Any) -> StorageS3:
    return StorageS3(**{"bucket": "flows", "prefix": prefix, "endpoint": url, **KEYS, **options})


def raw(url: str) -> Any:
    from obstore.store import S3Store

    return S3Store("flows", endpoint=url, client_options={"allow_http": True}, **KEYS)


class TestStorageS3(StorageContract):
    """The whole contract."""

    @pytest.fixture
    def make(self, s3_url: str, folder: str) -> Callable[[], Storage]:
        keys = dict(KEYS)
        return lambda: StorageS3(bucket="flows", prefix=folder, endpoint=s3_url, **keys)


def test_objects_are_where_1x_had_them_and_its_lists_are_read(s3_url: str, folder: str) -> None:
    """The name is prefix and key; what dotflow 1.x saved there is understood."""
    storage, store = client(s3_url, folder), raw(s3_url)
    storage.post("wf-a", Context({"n": 1}))
    store.put(f"{folder}wf-b", json.dumps([json.dumps({"old": True})]).encode())

    assert b'"key": "wf-a"' in bytes(store.get(f"{folder}wf-a").bytes())
    assert storage.get("wf-b").storage == {"old": True}


def test_ready_made_store_and_one_made_here_share_data(s3_url: str, folder: str) -> None:
    """And what a ready-made store would leave unused is refused."""
    theirs = StorageS3(store=raw(s3_url), prefix=folder)
    client(s3_url, folder).post("w-a", Context([1, "é"]))

    assert theirs.get("w-a").storage == [1, "é"]
    assert repr(theirs) == f"StorageS3('s3://flows/{folder}')"
    with pytest.raises(ConfigurationError, match="leave out bucket="):
        StorageS3(store=raw(s3_url), bucket="other")
    with pytest.raises(ConfigurationError, match="S3Store, got str"):
        StorageS3(store="s3://flows")


@pytest.mark.parametrize("prefix", ["/a", "a//b", "../x", "a/../b", "./", "..", "a\0", "a?b", "ü", "x" * 201])
def test_prefix_that_is_no_folder_is_refused(prefix: str) -> None:
    """By the constructor, which makes no request."""
    with pytest.raises(ConfigurationError, match="prefix="):
        client("http://127.0.0.1:1", prefix)


@pytest.mark.parametrize("wrong", [{"bucket": ""}, {"nonsense": 1}, {"lease": 0}, {"bucket": None}])
def test_option_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """By the constructor."""
    with pytest.raises(ConfigurationError, match="StorageS3"):
        client("http://127.0.0.1:1", **wrong)


def test_changed_object_is_a_clear_error(s3_url: str, folder: str) -> None:
    """A value that somebody changed is never taken for the right one, nor is one of another key."""
    storage, store = client(s3_url, folder), raw(s3_url)
    storage.post("w-a", Context({"paid": 10}))
    whole = bytes(store.get(f"{folder}w-a").bytes())

    for damaged in (whole.replace(b"10", b"99"), whole[:-3], b"", b"\x89PNG"):
        store.put(f"{folder}w-a", damaged)
        with pytest.raises(CorruptCheckpoint, match="StorageS3"):
            storage.get("w-a")
    store.put(f"{folder}w-b", whole)
    with pytest.raises(CorruptCheckpoint, match="holds the key 'w-a'"):
        storage.get_many(["w-b"])


def test_value_that_is_no_json_is_refused(s3_url: str, folder: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ResultNotStorable, match="w-a"):
        client(s3_url, folder).post("w-a", Context(object()))


def test_server_that_is_not_there_is_unavailable() -> None:
    """For every ability: unreachable is not missing."""
    storage = client("http://127.0.0.1:1")
    for call in everything(storage):
        with pytest.raises(StorageUnavailable, match="StorageS3"):
            call()


@pytest.mark.parametrize(("status", "kind"), [(500, True), (503, True), (429, True), (401, False), (403, False)])
def test_what_may_pass_is_told_from_what_will_not(status: int, kind: bool) -> None:
    """5xx and 429 may; a refusal will not, and no secret is shown."""
    with refusing_server(status) as url:
        storage = client(url)
        for call in everything(storage):
            with pytest.raises(StorageError) as caught:
                call()
            assert isinstance(caught.value, StorageUnavailable) is kind
            assert "hunter2" not in str(caught.value) + repr(storage)


def test_bucket_that_is_not_there_is_an_error_for_every_ability(s3_url: str) -> None:
    """Nothing is missing from a bucket that there is not."""
    storage = client(s3_url, bucket="nowhere")
    for call in everything(storage):
        with pytest.raises(StorageError, match="no such bucket") as caught:
            call()
        assert not isinstance(caught.value, StorageUnavailable)


def test_long_keys_are_listed_and_removed(s3_url: str, folder: str) -> None:
    """Though their names are shortened to what the server takes."""
    storage = client(s3_url, folder)
    keys = [f"wf-{'ü' * 500}{end}" for end in "ab"] + [f"wf-{'🦆' * 500}", "wf-short", "wf2-x", "wf-.", "wf-..a"]
    for key in keys:
        storage.post(key, Context(key))

    assert all(len(f"{folder}{object_name(key)}") < 1024 for key in keys)
    assert list(storage.list_keys("wf-ü")) == sorted(keys[:2])
    assert list(storage.list_keys("wf-" + "ü" * 500 + "b")) == [keys[1]]
    assert list(storage.list_keys("wf-.")) == ["wf-.", "wf-..a"]
    assert storage.delete_prefix(keys[0]) == 1
    storage.clear("wf")
    assert list(storage.list_keys()) == ["wf2-x"]


def test_listing_reads_page_after_page(s3_url: str, folder: str) -> None:
    """More keys than one answer of the server has, among others before and after them."""
    store, storage = raw(s3_url), client(s3_url, folder)
    document = b'["1"]'
    for number in range(250):
        store.put(f"{folder}wf-{number}", document)
    for other in ("wf,-1", "wf.-1", "we-1", "wg-1"):
        store.put(f"{folder}{object_name(other)}", document)

    assert len(list(storage.list_keys("wf-"))) == 250
    assert len(storage.get_many([f"wf-{number}" for number in range(300)])) == 250
    storage.clear("wf")
    assert len(list(storage.list_keys())) == 4


@pytest.mark.parametrize("key", ["", ".", "..", "a.", ".a", "!", "!!", "a!2e", "ü", "\ud800", "a/b", "A", " ", "-"])
def test_name_of_an_object_leads_back_to_the_key(key: str) -> None:
    """And is made of characters that nobody takes for something else."""
    name = object_name(key)

    assert key_of(name) == key
    assert name.isascii()
    assert not set(name) & set("/\\%?#:~ ")
    assert name not in (".", "..")


def test_two_storages_count_together(s3_url: str, folder: str) -> None:
    """Swaps and creates of two clients are one order."""
    storages = [client(s3_url, folder) for _ in range(2)]

    def count(storage: StorageS3) -> None:
        for _ in range(10):
            while not storage.atomic_swap("n", (value := storage.get("n").storage), (value or 0) + 1):
                pass

    threads = [threading.Thread(target=count, args=(storage,)) for storage in storages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert storages[0].get("n").storage == 20


# -- the lead ---------------------------------------------------------------------------------------------


def held_elsewhere(url: str, prefix: str, machine: str, lease: float = 30.0) -> subprocess.Popen[str]:
    """Start a process that leads ``etl``; *machine* is what it takes its machine for."""
    code = (
        "import time; from dotflow.core import identity; from dotflow.providers.storage_s3 import StorageS3\n"
        f"{machine and f'identity.machine = lambda: {machine!r}'}\n"
        f"storage = StorageS3(bucket='flows', prefix={prefix!r}, endpoint={url!r}, lease={lease!r}, **{KEYS!r})\n"
        "release = storage.lock('etl'); print('held', flush=True)\n"
        "time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_leader_is_named_and_a_killed_one_of_this_machine_holds_nothing(s3_url: str, folder: str) -> None:
    """On Linux, where it can be seen that it is gone."""
    holder = held_elsewhere(s3_url, folder, "")
    storage = client(s3_url, folder)
    with pytest.raises(WorkflowBusy, match=f"process {holder.pid} on host"):
        storage.lock("etl")

    holder.kill()
    holder.communicate()
    before = time.monotonic()
    storage.lock("etl", wait=10)()

    assert time.monotonic() - before < 5


def test_killed_leader_of_another_machine_holds_until_its_lease_is_over(s3_url: str, folder: str) -> None:
    """While it lives it renews the lease: it is held for longer than one."""
    holder = held_elsewhere(s3_url, folder, "another", lease=2.0)
    storage = client(s3_url, folder)
    for _ in range(5):
        with pytest.raises(WorkflowBusy):
            storage.lock("etl")
        time.sleep(0.5)

    holder.kill()
    holder.communicate()
    before = time.monotonic()
    storage.lock("etl", wait=20)()

    assert 0.5 < time.monotonic() - before < 5


def test_leader_that_slept_through_its_lease_saves_nothing(s3_url: str, folder: str) -> None:
    """Another one took over; what the first one says then is an error, and the value is the other's."""
    storage, other = client(s3_url, folder, lease=1.0), client(s3_url, folder)
    lease = _lease.Lease(other._bucket, f"{folder}.locks/etl", 30.0)
    storage.lock("etl")
    storage.post("etl-a", Context("first"))
    other._bucket.write(f"{folder}.locks/etl", json.dumps({**lease._about, "beat": 1}).encode())
    time.sleep(0.7)

    for call in (
        lambda: storage.post("etl-a", Context("late")),
        lambda: storage.atomic_swap("etl-a", "first", "late"),
        lambda: storage.create("etl-b", Context("late")),
        lambda: storage.clear("etl"),
    ):
        with pytest.raises(StorageError, match="no longer leads"):
            call()
    storage.post("other-a", Context("a workflow that nobody leads"))
    assert other.get("etl-a").storage == "first"


def test_leader_whose_renewal_was_lost_on_the_way_back_still_leads(s3_url: str, folder: str) -> None:
    """The server has it, under a version that the leader was not told."""
    storage = client(s3_url, folder, lease=1.5)
    release = storage.lock("etl")
    lease = storage._leases["etl"]
    lease._version = '"another"'
    time.sleep(1.2)

    storage.post("etl-a", Context(1))
    release()
    client(s3_url, folder).lock("etl")()


def test_release_in_a_forked_child_gives_nothing_up(s3_url: str, folder: str) -> None:
    """The lead belongs to the process that took it."""
    storage = client(s3_url, folder)
    release = storage.lock("etl")
    pid = os.fork()
    if pid == 0:
        try:
            release()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)

    with pytest.raises(WorkflowBusy):
        client(s3_url, folder).lock("etl")
    release()
    release()
    client(s3_url, folder).lock("etl")()


# -- forks, credentials, extras ---------------------------------------------------------------------------


def test_forked_child_says_what_it_cannot_reach() -> None:
    """Its helper's errors are its own."""
    storage = client("http://127.0.0.1:1")
    with pytest.raises(StorageUnavailable):
        storage.get("a")
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            storage.get("a")
        except BaseException as error:
            os.write(writes, f"{type(error).__name__}: {error}".encode()[:500])
        finally:
            storage.close()
            os._exit(0)
    os.close(writes)
    with open(reads, "rb") as answer:
        text = answer.read().decode()
    os.waitpid(pid, 0)

    assert text.startswith("StorageUnavailable: StorageS3 (key 'a')")


def test_helper_that_was_killed_is_an_error_and_then_replaced(s3_url: str, folder: str) -> None:
    """Nothing that a dead helper did not answer is taken for missing."""
    from dotflow.providers._obstore import Helper

    helper = Helper(client(s3_url, folder)._bucket._store)  # type: ignore[attr-defined]
    assert helper.ask("read", (f"{folder}a",)) is None
    helper._process.send_signal(signal.SIGKILL)
    helper._process.wait()

    with pytest.raises(StorageUnavailable, match="helper"):
        helper.ask("read", (f"{folder}a",))
    assert helper.ended


def test_credentials_and_region_of_a_profile_are_found(s3_url: str, folder: str, tmp_path: Path) -> None:
    """Where boto3 looks for them, in ``~/.aws``."""
    (tmp_path / "credentials").write_text("[work]\naws_access_key_id = AKWORK\naws_secret_access_key = s\n")
    (tmp_path / "config").write_text("[profile work]\nregion = eu-west-1\n")
    code = (
        "from dotflow.core.context import Context; from dotflow.providers.storage_s3 import StorageS3\n"
        f"storage = StorageS3(bucket='flows', prefix={folder!r}, endpoint={s3_url!r})\n"
        "storage.post('w-a', Context(7)); store = storage._bucket._store\n"
        "print(storage.get('w-a').storage, store.config['region'], store.credential_provider()['access_key_id'])"
    )
    files = {"CONFIG_FILE": "config", "SHARED_CREDENTIALS_FILE": "credentials"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {f"AWS_{name}": str(tmp_path / file) for name, file in files.items()} | {"AWS_PROFILE": "work"}

    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    assert run.stdout.split() == ["7", "eu-west-1", "AKWORK"], run.stderr


def test_no_credentials_are_an_error_at_once(s3_url: str, tmp_path: Path) -> None:
    """They do not come by waiting."""
    code = (
        "from dotflow.core.exception import StorageError; from dotflow.providers.storage_s3 import StorageS3\n"
        f"storage = StorageS3(bucket='flows', endpoint={s3_url!r}, region='us-east-1')\n"
        "try: storage.get('w-a')\n"
        "except StorageError as error: print(type(error).__name__, error)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}

    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    assert run.stdout.startswith("StorageError "), run.stderr
    assert "no credentials were found" in run.stdout


def test_missing_package_names_the_extra() -> None:
    """Without obstore the constructor says what to install."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from dotflow.providers.storage_s3 import StorageS3\n"
        "try: StorageS3(bucket='flows', region='x', access_key_id='a', secret_access_key='b')\n"
        "except ImportError as error: print(error)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dotflow[aws]" in run.stdout


def test_workflow_resumes_from_it(s3_url: str, folder: str) -> None:
    """A run that failed half-way goes on with what the bucket holds, ``None`` included."""
    resumes(client(s3_url, folder))
