"""StorageGCS, against fake-gcs-server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google
from object_servers import refusing_server
from storage_uses import everything, resumes

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import ConfigurationError, CorruptCheckpoint, StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers.storage_gcs import StorageGCS
from dotflow.testing import StorageContract


@pytest.fixture
def client() -> Iterator[Callable[..., StorageGCS]]:
    """Make storages, and close them in the end."""
    made: list[StorageGCS] = []

    def make(url: str, prefix: str = "dotflow/", **options: Any) -> StorageGCS:
        given = {"bucket": "flows", "prefix": prefix, "project": "p", "endpoint": url, **options}
        made.append(StorageGCS(**{"credentials": AnonymousCredentials(), **given}))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def raw(google_url: str) -> Iterator[Any]:
    """A client of the library's own."""
    client = google.Client("p", AnonymousCredentials(), client_options={"api_endpoint": google_url})
    yield client
    client.close()


class TestStorageGCS(StorageContract):
    """The whole contract."""

    @pytest.fixture
    def make(self, google_url: str, folder: str) -> Callable[[], Storage]:
        def made() -> Storage:
            nobody = AnonymousCredentials()
            return StorageGCS(bucket="flows", prefix=folder, project="p", endpoint=google_url, credentials=nobody)

        return made


def test_ready_made_client_stays_the_users_and_survives_a_fork(
    client: Callable[..., StorageGCS], google_url: str, folder: str, raw: Any
) -> None:
    """What it would leave unused is refused."""
    theirs = StorageGCS(bucket="flows", prefix=folder, client=raw)
    client(google_url, folder).post("w-a", Context([1, "é"]))
    assert theirs.get("w-a").storage == [1, "é"]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            theirs.post("w-b", theirs.get("w-a"))
            status = 0
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    theirs.close()
    assert raw.bucket("flows").blob(f"{folder}w-b").exists()
    assert repr(theirs) == f"StorageGCS('gs://flows/{folder}')"
    with pytest.raises(ConfigurationError, match="leave out project="):
        StorageGCS(bucket="flows", client=raw, project="other")


def test_constructor_makes_no_request_and_looks_for_no_credentials(tmp_path: Any) -> None:
    """The first use does; none at all is an error that waiting does not mend."""
    code = (
        "from dotflow.core.exception import StorageError; from dotflow.providers.storage_gcs import StorageGCS\n"
        "storage = StorageGCS(bucket='flows'); print(repr(storage))\n"
        "try: storage.get('w-a')\n"
        "except StorageError as error: print(type(error).__name__, error)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOOGLE_", "STORAGE_"))}
    environment |= {"HOME": str(tmp_path), "NO_GCE_CHECK": "true", "CLOUDSDK_CONFIG": str(tmp_path)}

    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    assert run.stdout.splitlines()[0] == "StorageGCS('gs://flows/dotflow/')", run.stderr
    assert run.stdout.splitlines()[1].startswith("StorageError StorageGCS (key 'w-a')"), run.stderr


@pytest.mark.parametrize("wrong", [{"bucket": ""}, {"lease": 0}, {"prefix": "/a"}])
def test_option_that_means_nothing_is_refused(client: Callable[..., StorageGCS], wrong: dict[str, Any]) -> None:
    """By the constructor."""
    with pytest.raises(ConfigurationError, match="StorageGCS"):
        client("http://127.0.0.1:1", **wrong)


def test_changed_object_is_a_clear_error(
    client: Callable[..., StorageGCS], google_url: str, folder: str, raw: Any
) -> None:
    """A value that somebody changed is never taken for the right one."""
    storage, blob = client(google_url, folder), raw.bucket("flows").blob(f"{folder}w-a")
    storage.post("w-a", Context({"paid": 10}))
    blob.upload_from_string(blob.download_as_bytes().replace(b"10", b"99"))

    with pytest.raises(CorruptCheckpoint, match="StorageGCS"):
        storage.get("w-a")


def test_server_that_is_not_there_is_unavailable(client: Callable[..., StorageGCS]) -> None:
    """For every ability: unreachable is not missing."""
    for call in everything(client("http://127.0.0.1:1")):
        with pytest.raises(StorageUnavailable, match="StorageGCS"):
            call()


@pytest.mark.parametrize(("status", "kind"), [(500, True), (503, True), (429, True), (401, False), (403, False)])
def test_what_may_pass_is_told_from_what_will_not(client: Callable[..., StorageGCS], status: int, kind: bool) -> None:
    """5xx and 429 may; a refusal will not."""
    with refusing_server(status) as url:
        for call in everything(client(url)):
            with pytest.raises(StorageError) as caught:
                call()
            assert isinstance(caught.value, StorageUnavailable) is kind


def test_bucket_that_is_not_there_is_an_error_for_every_ability(
    client: Callable[..., StorageGCS], google_url: str
) -> None:
    """Nothing is missing from a bucket that there is not."""
    for call in everything(client(google_url, bucket="nowhere")):
        with pytest.raises(StorageError, match="no such bucket") as caught:
            call()
        assert not isinstance(caught.value, StorageUnavailable)


def test_long_keys_are_listed_and_removed(client: Callable[..., StorageGCS], google_url: str, folder: str) -> None:
    """Though their names are shortened to what the server takes."""
    storage = client(google_url, folder)
    keys = [f"wf-{'ü' * 500}{end}" for end in "ab"] + ["wf-short", "wf2-x", "wf-."]
    for key in keys:
        storage.post(key, Context(key))

    assert list(storage.list_keys("wf-ü")) == keys[:2]
    storage.clear("wf")
    assert list(storage.list_keys()) == ["wf2-x"]


def test_killed_leader_of_another_machine_holds_until_its_lease_is_over(
    client: Callable[..., StorageGCS], google_url: str, folder: str
) -> None:
    """By the server's clock."""
    code = (
        "import time; from dotflow.core import identity; from dotflow.providers.storage_gcs import StorageGCS\n"
        "from google.auth.credentials import AnonymousCredentials as Nobody\n"
        "identity.machine = lambda: 'another'\n"
        f"where = dict(bucket='flows', prefix={folder!r}, project='p', endpoint={google_url!r}, lease=2)\n"
        "release = StorageGCS(credentials=Nobody(), **where).lock('etl'); print('held', flush=True); time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    storage = client(google_url, folder)
    with pytest.raises(WorkflowBusy, match=f"process {holder.pid} on host"):
        storage.lock("etl")

    holder.kill()
    holder.communicate()
    before = time.monotonic()
    storage.lock("etl", wait=20)()

    assert 0.5 < time.monotonic() - before < 5


def test_missing_package_names_the_extra() -> None:
    """Also where another package of Google's is there."""
    code = (
        "import sys; sys.modules['google.cloud.storage'] = None\n"
        "from dotflow.providers.storage_gcs import StorageGCS\n"
        "try: StorageGCS(bucket='flows')\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.startswith("ModuleNotFound ")
    assert "dotflow[gcp]" in run.stdout


def test_workflow_resumes_from_it(client: Callable[..., StorageGCS], google_url: str, folder: str) -> None:
    """A run that failed half-way goes on with what the bucket holds, ``None`` included."""
    resumes(client(google_url, folder))
