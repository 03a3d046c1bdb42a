"""Storages by URL, environment, pyproject.toml and entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dotflow import Config
from dotflow.core.exception import ConfigurationError
from dotflow.providers import StorageDefault, StorageFile, StoragePostgres, StorageRedis, StorageSQLite
from dotflow.providers.by_url import configured_url, known_schemes, masked, storage_from


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        ("memory://", StorageDefault, "StorageDefault()"),
        ("default", StorageDefault, "StorageDefault()"),
        ("sqlite:///flow.db", StorageSQLite, f"StorageSQLite({os.path.abspath('flow.db')!r})"),
        ("sqlite:////tmp/a%20b.db?synchronous=FULL", StorageSQLite, "StorageSQLite('/tmp/a b.db')"),
        ("postgresql://me:secret@db.local/app?table=runs", StoragePostgres, "StoragePostgres(table='runs')"),
        ("redis://me:secret@cache.local:6380/2", StorageRedis, "StorageRedis('cache.local', 6380)"),
        ("valkey://cache.local", StorageRedis, "StorageRedis('cache.local', 6379)"),
    ],
)
def test_url_gives_the_storage_and_its_repr_no_secret(url: str, kind: type, shown: str) -> None:
    """Each scheme builds its provider with what the URL says."""
    storage = storage_from(url)

    assert type(storage) is kind
    assert repr(storage) == shown


def test_file_url_is_absolute_and_file_path_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``file:///x`` is absolute, as in RFC 8089; ``file:x`` is below the working folder."""
    monkeypatch.chdir(tmp_path)

    assert type(storage_from(f"file://{tmp_path}/there")) is StorageFile
    assert type(storage_from("file:here")) is StorageFile
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "needs a URL like sqlite:///flow.db"),
        ("sqlit:///x", "did you mean 'sqlite'?"),
        ("sqlite://host/x.db", "write sqlite:///host/x.db"),
        ("sqlite:///x.db?nosuch=1", "no parameter 'nosuch' (known: path, synchronous, timeout, ttl)"),
        ("redis://h:port/0", "write it like redis://host:6379/0"),
        ("redis://h/db", "write it like redis://host:6379/0"),
        ("s3://", "needs the name of a bucket"),
        ("sqlite:///x.db?synchronos=FULL", "no parameter 'synchronos'; did you mean 'synchronous'? (known: path, "),
        ("sqlite:///x.db?oops", "malformed"),
        ("file://host/x", "takes no host"),
    ],
)
def test_wrong_url_is_refused_with_the_way_to_write_it(url: str, said: str) -> None:
    """A URL that cannot be understood says what was wrong and how it is written."""
    with pytest.raises(ConfigurationError) as caught:
        storage_from(url)

    assert said in str(caught.value)


def test_password_is_masked_in_the_error() -> None:
    """No error shows the password of a URL."""
    with pytest.raises(ConfigurationError) as caught:
        storage_from("redis://me:hunter2@h/x")

    assert "hunter2" not in str(caught.value)
    assert masked("postgresql://me:hunter2@h/d") == "postgresql://me:***@h/d"


def test_argument_wins_over_environment_and_that_over_pyproject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest source wins; without any, results stay in memory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOTFLOW_STORAGE", raising=False)
    assert type(Config.from_url().storage) is StorageDefault
    (tmp_path / "pyproject.toml").write_text('[tool.dotflow]\nstorage = "sqlite:///a.db"\n')
    assert repr(Config.from_url().storage) == f"StorageSQLite({str(tmp_path / 'a.db')!r})"
    monkeypatch.setenv("DOTFLOW_STORAGE", "sqlite:///b.db")
    assert repr(Config.from_url().storage) == f"StorageSQLite({str(tmp_path / 'b.db')!r})"
    assert type(Config.from_url("memory://").storage) is StorageDefault
    assert type(Config().storage) is StorageDefault


def test_broken_pyproject_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read, or is no text, is said with the file."""
    monkeypatch.delenv("DOTFLOW_STORAGE", raising=False)
    (tmp_path / "pyproject.toml").write_text("[tool.dotflow\n")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        configured_url(str(tmp_path))
    (tmp_path / "pyproject.toml").write_text("[tool.dotflow]\nstorage = 3\n")
    with pytest.raises(ConfigurationError, match="needs a text, got 3"):
        configured_url(str(tmp_path))


def test_package_adds_a_scheme_by_entry_point(tmp_path: Path) -> None:
    """A scheme of an installed package works like a built-in one, in a new interpreter."""
    (tmp_path / "thirdparty.py").write_text(
        "from dotflow.providers import StorageDefault\n"
        "class Mine(StorageDefault):\n"
        "    def __init__(self, url): super().__init__(); self.url = url\n"
        "def wrong(url): return 5\n"
    )
    info = tmp_path / "thirdparty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[dotflow.storage]\nmine = thirdparty:Mine\nwrong = thirdparty:wrong\n")
    code = (
        "from dotflow import Config\n"
        "print(Config.from_url('mine://somewhere').storage.url)\n"
        "try: Config.from_url('wrong://x')\n"
        "except TypeError as error: print(error)\n"
    )

    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.splitlines()[0] == "mine://somewhere"
    assert "needs to return a Storage" in run.stdout
    assert "sqlite" in known_schemes()
