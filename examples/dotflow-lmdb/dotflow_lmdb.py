"""Contexts in LMDB, an embedded database that many processes share."""

import hashlib
import json
import os
import threading
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import lmdb

from dotflow import Context
from dotflow.abc.storage import Storage, default_key

_one = threading.RLock()  # LMDB wants a file opened once in a process, and closed when the process forks
os.register_at_fork(before=_one.acquire, after_in_parent=_one.release, after_in_child=_one.release)


class StorageLMDB(Storage):
    """Keep contexts in the LMDB at *path*, which may grow to *size* bytes; each save waits for the disk."""

    def __init__(self, path="flow.lmdb", size=1 << 30):
        self._path, self._size = os.path.abspath(path), int(size)

    @contextmanager
    def _begin(self, write=False):
        with _one, lmdb.open(self._path, map_size=self._size) as environment, environment.begin(write=write) as found:
            yield found

    def post(self, key, context):
        with self._begin(write=True) as transaction:
            transaction.put(_name(key), json.dumps([key, context.storage]).encode())

    def get(self, key):
        with self._begin() as transaction:
            return Context(storage=json.loads(transaction.get(_name(key), b"[0, null]"))[1])

    def key(self, task):
        return default_key(task)

    def create(self, key, context):
        with self._begin(write=True) as transaction:
            return transaction.put(_name(key), json.dumps([key, context.storage]).encode(), overwrite=False)

    def delete(self, key):
        with self._begin(write=True) as transaction:
            return transaction.delete(_name(key))

    def list_keys(self, prefix=""):
        with self._begin() as transaction:
            keys = [json.loads(document)[0] for document in transaction.cursor().iternext(keys=False)]
        return [key for key in keys if key.startswith(prefix)]


def _name(key):
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()  # LMDB takes keys of 511 bytes


def from_url(url):  # lmdb:///relative/folder, lmdb:////absolute/folder
    return StorageLMDB(unquote(urlsplit(url).path).removeprefix("/") or "flow.lmdb")
