"""Storages by URL or name: the table of schemes, and those that other packages add."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dotflow.abc.storage import Storage
from dotflow.core.exception import ConfigurationError, NotCallableObject
from dotflow.core.module import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "dotflow.storage"  # entry points: the name is the scheme, the object takes the URL and returns a Storage
VARIABLE = "DOTFLOW_STORAGE"
SECONDS = re.compile(r"\d+(\.\d*)?")


class Scheme(NamedTuple):
    """One way to write a storage.

    Attributes:
        provider: Name of the class.
        arguments: Makes its arguments of the URL.
        example: What a URL looks like.
    """

    provider: str
    arguments: Callable[[SplitResult, dict[str, Any]], dict[str, Any]]
    example: str


def storage_from(url: str) -> Storage:
    """Return the storage that *url* describes: ``sqlite:///flow.db``, ``postgresql://...``, ``memory://`` and so on.

    Raises:
        ConfigurationError: the scheme is unknown, or the URL does not fit it.
        NotCallableObject: another package's entry point does not give a ``Storage``.
    """
    parts, query = _split(url)
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        return _from_entry_point(url, parts.scheme)
    from dotflow import providers

    try:
        arguments = scheme.arguments(parts, query)
        return getattr(providers, scheme.provider)(**arguments)  # type: ignore[no-any-return]  # the table's classes
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        _refuse_unknown(url, getattr(providers, scheme.provider), query)
        raise ConfigurationError(f"storage {masked(url)!r}: {error}; write it like {scheme.example}") from error


def configured_url(folder: str = ".") -> str | None:
    """Return the storage that the environment (``DOTFLOW_STORAGE``) or ``[tool.dotflow]`` in pyproject.toml names."""
    if found := os.environ.get(VARIABLE):
        return found
    path = os.path.join(folder, "pyproject.toml")
    if not os.path.isfile(path):
        return None
    import tomllib

    with open(path, "rb") as file:
        try:
            table = tomllib.load(file).get("tool", {}).get("dotflow", {})
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path} is not TOML: {error}") from error
    if not isinstance(table, dict):
        raise ConfigurationError(f"[tool.dotflow] in {path} needs to be a table, got {table!r}")
    found = table.get("storage")
    if found is not None and not isinstance(found, str):
        raise ConfigurationError(f"[tool.dotflow] storage in {path} needs a text, got {found!r}")
    return found


def masked(url: str) -> str:
    """Return *url* without the password in it."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def is_known(scheme: str) -> bool:
    """Whether a URL with that scheme works here; other packages are looked at only for one that is not ours."""
    return scheme in SCHEMES or scheme in known_schemes()


def known_schemes() -> list[str]:
    """Return every scheme that works here, those of other packages included."""
    from importlib.metadata import entry_points

    return sorted({*SCHEMES, *(point.name for point in entry_points(group=GROUP))})


def _split(url: str) -> tuple[SplitResult, dict[str, Any]]:
    if not isinstance(url, str) or not url:
        raise ConfigurationError(f"a storage needs a URL like sqlite:///flow.db, got {url!r}")
    try:
        parts = urlsplit(url if ":" in url else f"{url}:")
        query: dict[str, Any] = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigurationError(f"storage {url.partition(':')[0]!r}: the URL is malformed: {error}") from error
    if SECONDS.fullmatch(query.get("ttl", "")):  # else it stays a text, which the class refuses
        query["ttl"] = float(query["ttl"])
    return parts, query


def _from_entry_point(url: str, scheme: str) -> Storage:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=scheme):
        found = point.load()(url)
        if not isinstance(found, Storage):
            raise NotCallableObject(f"the entry point {point.value!r} of {GROUP}", expected="to return a Storage")
        return found
    known = known_schemes()
    raise ConfigurationError(f"there is no storage {scheme!r}{nearest(scheme, known)} (known: {', '.join(known)})")


def _refuse_unknown(url: str, provider: type, query: dict[str, Any]) -> None:
    import inspect

    known = list(inspect.signature(provider).parameters)
    for name in query:
        if name not in known:
            told = f"there is no parameter {name!r}{nearest(name, known)} (known: {', '.join(known)})"
            raise ConfigurationError(f"storage {masked(url)!r}: {told}")


def _nothing(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    return query


def _path(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    """``x:///relative`` and ``x:////absolute``, as SQLAlchemy writes it; without a path the provider's default."""
    if parts.netloc:
        raise ConfigurationError(f"a file has no host: write {parts.scheme}:///{parts.netloc}{parts.path}")
    path = unquote(parts.path)
    path = path[1:] if path.startswith("/") else path
    return {**({"path": path} if path else {}), **query}


def _file_url(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    """``file:///absolute`` (RFC 8089) and ``file:relative``."""
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(f"file:// takes no host: write file:///{parts.netloc}{parts.path}")
    path = unquote(parts.path)
    return {**({"path": path} if path else {}), **query}


def _postgres(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    ours: dict[str, Any] = {name: query.pop(name) for name in ("table", "ttl") if name in query}
    rest = "&".join(f"{name}={value}" for name, value in query.items())
    return {"url": parts._replace(query=rest).geturl(), **ours}


def _redis(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"host": parts.hostname or "localhost", "port": parts.port or 6379}
    if parts.path.strip("/"):
        found["db"] = int(parts.path.strip("/"))
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    if parts.scheme in ("rediss", "valkeys"):
        found["ssl"] = True
    return {**found, **query}


def _bucket(parts: SplitResult, query: dict[str, Any]) -> dict[str, Any]:
    if not parts.netloc:
        raise ConfigurationError(f"{parts.scheme}:// needs the name of a bucket")
    prefix = unquote(parts.path).strip("/")
    return {"bucket": parts.netloc, **({"prefix": f"{prefix}/"} if prefix else {}), **query}


SCHEMES: dict[str, Scheme] = {
    "memory": Scheme("StorageDefault", _nothing, "memory://"),
    "default": Scheme("StorageDefault", _nothing, "default"),
    "sqlite": Scheme("StorageSQLite", _path, "sqlite:///flow.db"),
    "file": Scheme("StorageFile", _file_url, "file:///var/lib/flow, or file:.output"),
    "postgresql": Scheme("StoragePostgres", _postgres, "postgresql://user:password@host/database"),
    "postgres": Scheme("StoragePostgres", _postgres, "postgres://user:password@host/database"),
    "redis": Scheme("StorageRedis", _redis, "redis://host:6379/0"),
    "rediss": Scheme("StorageRedis", _redis, "rediss://host:6379/0"),
    "valkey": Scheme("StorageRedis", _redis, "valkey://host:6379/0"),
    "s3": Scheme("StorageS3", _bucket, "s3://bucket/prefix?region=eu-west-1"),
    "gs": Scheme("StorageGCS", _bucket, "gs://bucket/prefix"),
    "az": Scheme("StorageAzure", _bucket, "az://container/prefix"),
}
