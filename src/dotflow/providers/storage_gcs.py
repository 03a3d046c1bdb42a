"""Contexts in Google Cloud Storage."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError, StorageError, StorageUnavailable
from dotflow.providers._bucket import Absent, Found
from dotflow.providers._objects import ObjectStorage
from dotflow.providers._require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WORKERS = 8  # requests at a time; the library's session keeps ten connections
TIMES = (5, 60)  # seconds to connect, and to wait for an answer


class StorageGCS(ObjectStorage):
    """Keep contexts in a bucket of Google Cloud Storage, as JSON documents with a checksum. Needs the extra ``gcp``.

    The constructor makes no request. A bucket that is not there is a ``StorageError`` at the first use, and at
    ``healthcheck()``; it is never taken for one without objects.

    Args:
        bucket: Name of the bucket.
        prefix: Put before the name of every object.
        project: The project to bill to; ``None`` for the one of the credentials.
        endpoint: URL of the server, if it is not Google's.
        credentials: Of ``google.auth``; ``None`` looks for the application default credentials.
        client: A ready-made ``google.cloud.storage.Client``, which stays yours, in place of the three before it.
        lease: Seconds for which a killed leader holds its workflow at most; see ``lock``.

    Raises:
        ModuleNotFound: the package ``google-cloud-storage`` is not installed.
        ConfigurationError: no bucket, or an option that a ready-made client leaves unused.
    """

    def __init__(
        self,
        *,
        bucket: str,
        prefix: str = "dotflow/",
        project: str | None = None,
        endpoint: str | None = None,
        credentials: Any = None,
        client: Any = None,
        lease: float = 30.0,
    ) -> None:
        if not bucket:
            raise ConfigurationError(f"StorageGCS(bucket=...) needs the name of a bucket, got {bucket!r}")
        storage = require("google.cloud.storage", "gcp")
        others = {"project": project, "endpoint": endpoint, "credentials": credentials}
        unused = [name for name, value in others.items() if value is not None]
        if client is not None and unused:
            raise ConfigurationError(f"StorageGCS(client=...) has its options already; leave out {unused[0]}=")
        options = {"api_endpoint": endpoint} if endpoint is not None else None

        def connect() -> Any:
            if project is None:
                return storage.Client(credentials=credentials, client_options=options)
            return storage.Client(project, credentials, client_options=options)

        super().__init__(GoogleBucket(bucket, connect, client), f"gs://{bucket}", prefix, lease)


class GoogleBucket:
    """A bucket through ``google-cloud-storage``; its retries are off, for whoever calls a storage tries again."""

    def __init__(self, bucket: str, connect: Callable[[], Any], client: Any) -> None:
        self._name, self._connect, self._theirs, self._client = bucket, connect, client, client
        self._connecting = threading.Lock()
        self._left: list[Any] = []  # the parent's connections, which a forked child must not close

    def read(self, name: str, *, dated: bool = False) -> Found | None:
        """Return the object, ``None`` if there is none."""
        from google.api_core import exceptions

        while True:
            with self._blamed():
                blob: Any = self._blob(name)
                try:
                    if dated:
                        blob.reload(retry=None, timeout=TIMES)
                    data = blob.download_as_bytes(if_generation_match=blob.generation, retry=None, timeout=TIMES)
                except exceptions.NotFound:
                    return None
                except exceptions.PreconditionFailed:
                    continue  # it was replaced in between
                return Found(data, blob.generation, blob.updated.timestamp() if dated else 0.0)

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of every object."""
        return [found.data if found else None for found in self._each(self.read, names)]

    def write(self, name: str, data: bytes, version: Any = None) -> Any:
        """Write the object and return its version, or ``None`` if it does not have *version*."""
        from google.api_core import exceptions

        with self._blamed():
            blob = self._blob(name)
            blob.cache_control = "no-store"
            try:
                blob.upload_from_string(
                    data,
                    content_type="application/json",
                    if_generation_match=0 if isinstance(version, Absent) else version,
                    retry=None,
                    timeout=TIMES,
                )
            except exceptions.PreconditionFailed:
                return None
            return blob.generation

    def remove(self, name: str) -> bool:
        """Remove the object; return whether it was there."""
        from google.api_core import exceptions

        with self._blamed():
            try:
                self._blob(name).delete(retry=None, timeout=TIMES)
            except exceptions.NotFound:
                return False
        return True

    def remove_many(self, names: Sequence[str]) -> None:
        """Remove objects."""
        self._each(self.remove, names)

    def names(self, start: str) -> list[str]:
        """Return the names that begin with *start*."""
        with self._blamed():
            fields = "items(name),nextPageToken"
            found = self._api().list_blobs(self._name, prefix=start, fields=fields, retry=None, timeout=TIMES)
            return [blob.name for blob in found]

    def check(self) -> None:
        """Raise unless the bucket is there and may be listed."""
        with self._blamed():
            for _ in self._api().list_blobs(self._name, max_results=1, retry=None, timeout=TIMES):
                return

    def close(self) -> None:
        """Close the connections, unless the client is yours."""
        if self._theirs is None and self._client is not None:
            client, self._client = self._client, None
            client.close()

    def after_fork(self) -> None:
        """Leave the connections to the parent."""
        self._connecting = threading.Lock()
        if self._theirs is None:
            self._left.append(self._client)
            self._client = None
        else:
            self._left.append(self._theirs.__dict__.get("_http_internal"))
            self._theirs._http_internal = None  # the client makes itself a new session where it has none

    def _each(self, request: Callable[[str], Any], names: Sequence[str]) -> list[Any]:
        with ThreadPoolExecutor(min(WORKERS, len(names)), "dotflow-gcs") as pool:
            return list(pool.map(request, names))

    def _api(self) -> Any:
        if self._client is None:
            with self._connecting:
                if self._client is None:
                    self._client = self._connect()
        return self._client

    def _blob(self, name: str) -> Any:
        return self._api().bucket(self._name).blob(name)

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError, TransportError
        from requests.exceptions import RequestException
        from urllib3.exceptions import HTTPError

        passing = (exceptions.ServerError, exceptions.TooManyRequests, exceptions.RetryError)
        try:
            yield
        except (*passing, TransportError, RequestException, HTTPError, ConnectionError, TimeoutError) as error:
            raise StorageUnavailable(_first_line(error)) from error
        except (exceptions.Unauthorized, exceptions.Forbidden, GoogleAuthError) as error:
            raise StorageError(f"the server refuses: {_first_line(error)}; check the credentials") from error
        except exceptions.NotFound as error:
            raise StorageError("there is no such bucket") from error
        except (exceptions.GoogleAPIError, OSError) as error:
            raise StorageError(f"{type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
