"""StorageAzure, against Azurite, which Microsoft makes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from object_servers import ACCOUNT, ACCOUNT_KEY, refusing_server
from storage_uses import everything, resumes

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, StorageError, StorageUnavailable
from dotflow.providers.storage_azure import StorageAzure
from dotflow.testing import StorageContract

KEYS: dict[str, Any] = {"account": ACCOUNT, "account_key": ACCOUNT_KEY}


def client(url: str, prefix: str = "dotflow/", **options: Any) -> StorageAzure:
    return StorageAzure(**{"bucket": "flows", "prefix": prefix, "endpoint": url, **KEYS, **options})


def raw(url: str, container: str = "flows") -> Any:
    from obstore.store import AzureStore

    options: Any = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": url}
    return AzureStore(container, client_options={"allow_http": True}, **options)


class TestStorageAzure(StorageContract):
    """The whole contract."""

    @pytest.fixture
    def make(self, azure_url: str, folder: str) -> Callable[[], Storage]:
        keys = dict(KEYS)
        return lambda: StorageAzure(bucket="flows", prefix=folder, endpoint=azure_url, **keys)


def test_ready_made_store_and_one_made_here_share_data(azure_url: str, folder: str) -> None:
    """And what a ready-made store would leave unused is refused."""
    theirs = StorageAzure(store=raw(azure_url), prefix=folder)
    client(azure_url, folder).post("w-a", Context([1, "é"]))

    assert theirs.get("w-a").storage == [1, "é"]
    assert repr(theirs) == f"StorageAzure('az://flows/{folder}')"
    with pytest.raises(ConfigurationError, match="leave out account_name="):
        StorageAzure(store=raw(azure_url), account="other")
    with pytest.raises(ConfigurationError, match="AzureStore, got str"):
        StorageAzure(store="az://flows")


@pytest.mark.parametrize("wrong", [{"bucket": ""}, {"nonsense": 1}, {"lease": 0}, {"prefix": "/a"}])
def test_option_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """By the constructor."""
    with pytest.raises(ConfigurationError, match="StorageAzure"):
        client("http://127.0.0.1:1", **wrong)


def test_changed_blob_is_a_clear_error(azure_url: str, folder: str) -> None:
    """A value that somebody changed is never taken for the right one."""
    storage, store = client(azure_url, folder), raw(azure_url)
    storage.post("w-a", Context({"paid": 10}))
    store.put(f"{folder}w-a", bytes(store.get(f"{folder}w-a").bytes()).replace(b"10", b"99"))

    with pytest.raises(CorruptCheckpoint, match="StorageAzure"):
        storage.get("w-a")


def test_account_that_is_not_there_is_unavailable() -> None:
    """For every ability: unreachable is not missing."""
    storage = client("http://127.0.0.1:1/me")
    for call in everything(storage):
        with pytest.raises(StorageUnavailable, match="StorageAzure"):
            call()


@pytest.mark.parametrize(("status", "kind"), [(500, True), (503, True), (429, True), (401, False), (403, False)])
def test_what_may_pass_is_told_from_what_will_not(status: int, kind: bool) -> None:
    """5xx and 429 may; a refusal will not."""
    with refusing_server(status) as url:
        for call in everything(client(f"{url}/{ACCOUNT}")):
            with pytest.raises(StorageError) as caught:
                call()
            assert isinstance(caught.value, StorageUnavailable) is kind


def test_wrong_key_is_refused_and_no_secret_is_shown(azure_url: str) -> None:
    """By the server, for every ability; with a signature in the URL too."""
    for wrong in (
        {"account_key": f"AAAA{ACCOUNT_KEY[4:]}"},
        {"account_key": None, "sas_key": "sv=2022-11-02&sig=hunter2"},
    ):
        storage = client(azure_url, **wrong)
        for call in everything(storage):
            with pytest.raises(StorageError) as caught:
                call()
            assert not isinstance(caught.value, StorageUnavailable)
            assert "hunter2" not in str(caught.value) + repr(storage) + str(caught.value.__cause__)


def test_container_that_is_not_there_is_an_error_for_every_ability(azure_url: str) -> None:
    """Nothing is missing from a container that there is not."""
    for call in everything(client(azure_url, bucket="nowhere")):
        with pytest.raises(StorageError, match="no such bucket") as caught:
            call()
        assert not isinstance(caught.value, StorageUnavailable)


def test_long_keys_are_listed_and_removed(azure_url: str, folder: str) -> None:
    """Though their names are shortened to what the server takes."""
    storage = client(azure_url, folder)
    keys = [f"wf-{'ü' * 500}{end}" for end in "ab"] + ["wf-short", "wf2-x", "wf-."]
    for key in keys:
        storage.post(key, Context(key))

    assert list(storage.list_keys("wf-ü")) == keys[:2]
    storage.clear("wf")
    assert list(storage.list_keys()) == ["wf2-x"]


def test_removing_what_another_removes_too_is_no_error(azure_url: str, folder: str) -> None:
    """A blob that is gone does not keep the others."""
    storage = client(azure_url, folder)
    for number in range(60):
        storage.post(f"w-{number}", Context(number))
    failures: list[BaseException] = []

    def clear() -> None:
        try:
            client(azure_url, folder).clear("w")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=clear) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert list(storage.list_keys()) == []


def test_missing_package_names_the_extra() -> None:
    """Without obstore the constructor says what to install."""
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from dotflow.providers.storage_azure import StorageAzure\n"
        "try: StorageAzure(bucket='flows')\n"
        "except ImportError as error: print(error)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "dotflow[azure]" in run.stdout


def test_workflow_resumes_from_it(azure_url: str, folder: str) -> None:
    """A run that failed half-way goes on with what the bucket holds, ``None`` included."""
    resumes(client(azure_url, folder))
