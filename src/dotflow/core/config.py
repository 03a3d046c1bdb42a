"""The providers of a workflow."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from dotflow.core.calling import explained
from dotflow.core.exception import ConfigurationError, NotCallableObject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal, Protocol, Self, TypedDict, Unpack

    from dotflow.abc.executor import Executor
    from dotflow.abc.log import Log
    from dotflow.abc.metrics import Metrics
    from dotflow.abc.notify import Notify
    from dotflow.abc.scheduler import Scheduler
    from dotflow.abc.server import Server
    from dotflow.abc.storage import Storage
    from dotflow.abc.tracer import Tracer
    from dotflow.core.codec import Codec

    class Pool(Protocol):
        """What dotflow needs of a pool: ``submit``, which returns a future."""

        def submit(self, fn: Callable[..., Any], /, *args: Any) -> Any:
            """Call *fn* with *args* somewhere."""

    class OtherProviders(TypedDict, total=False):
        """What ``Config`` takes besides a storage."""

        notify: Notify | None
        log: Log | None
        server: Server | None
        scheduler: Scheduler | None
        tracer: Tracer | None
        metrics: Metrics | None
        executor: Executor | Pool | None
        codec: Literal["safe", "pickle", "signed"]
        types: Iterable[type]
        secrets: Iterable[str]
        capture_output: bool | int
        keep_runs: int


# Name of the argument, and of the contract in ``dotflow.abc.<argument>``, in the order of the arguments.
CONTRACTS = {
    "storage": "Storage",
    "notify": "Notify",
    "log": "Log",
    "server": "Server",
    "scheduler": "Scheduler",
    "tracer": "Tracer",
    "metrics": "Metrics",
    "executor": "Executor",
}
GIVES = ("storage", "log", "executor")  # contracts of which the engine uses more than their abstract methods

ALWAYS_USED = ("storage", "log", "executor")  # by every run; the other defaults are made when they are asked for
CREDENTIALS = "~/.dotflow/config.json"


class Config:
    """The providers that a workflow uses; what is left out falls back to a default.

    Args:
        storage: Keeps results; in memory by default.
        notify: Is told of status changes; nobody by default.
        log: Writes status changes; by default to the standard logger ``dotflow``, where the application decides.
        server: Is reported to; nobody by default.
        scheduler: Decides when ``schedule`` runs; by default never.
        tracer: Follows runs; nobody by default.
        metrics: Counts; nobody by default.
        executor: Makes the attempts of plain steps in every mode; ``None`` leaves that to the mode. Any pool with the
            ``submit`` of ``concurrent.futures.Executor`` will do, and is wrapped in ``ExecutorPool``.
        codec: What becomes of results that JSON cannot keep and dotflow does not know: ``"safe"`` refuses them,
            ``"pickle"`` pickles them, ``"signed"`` does that and signs every envelope with the key in
            ``DOTFLOW_CODEC_KEY``.
        types: Enums, dataclasses and models that results may be made of, besides those that the modules of the
            steps name.
        secrets: Texts that no log line, notification, trace or report may show, whatever workflow of this process
            writes it; each of at least 4 characters.
        capture_output: Keep what each attempt prints (``sys.stdout`` and ``sys.stderr``, wherever it runs) as
            ``task.output``, and mask secrets in it on its way to the console. ``True`` keeps 65,536 characters of an
            attempt, a number so many, half of them from the end.
        keep_runs: How many runs of each workflow stay in its history (``dotflow.history``), in a storage that lasts
            and can ``list_keys``; older ones are removed now and then. 0 keeps no history.

    Raises:
        NotCallableObject: a provider that is not an instance of its contract.
        ConfigurationError: *keep_runs* is no number from 0 on.

    .. versionchanged:: 2.0
        ``executor``, ``codec``, ``types``, ``secrets``, ``capture_output`` and ``keep_runs`` are new.
    """

    @explained
    def __init__(
        self,
        storage: Storage | None = None,
        notify: Notify | None = None,
        log: Log | None = None,
        server: Server | None = None,
        scheduler: Scheduler | None = None,
        tracer: Tracer | None = None,
        metrics: Metrics | None = None,
        *,
        executor: Executor | Pool | None = None,
        codec: Literal["safe", "pickle", "signed"] = "safe",
        types: Iterable[type] = (),
        secrets: Iterable[str] = (),
        capture_output: bool | int = False,
        keep_runs: int = 100,
    ) -> None:
        given = (storage, notify, log, server, scheduler, tracer, metrics, executor)
        for name, provider in zip(CONTRACTS, given, strict=True):
            if provider is not None:
                setattr(self, name, _checked(name, provider))
            elif name in ALWAYS_USED or (name == "server" and _has_address()):
                setattr(self, name, _default(name))
        self.codec: Codec = _codec(codec, types)
        if type(keep_runs) is not int or keep_runs < 0:
            raise ConfigurationError(f"Config(keep_runs=...) needs a number of runs, 0 or more, got {keep_runs!r}")
        self.keep_runs = keep_runs
        if secrets:
            from dotflow.core.redact import register

            register(secrets)
        self.capture_output = 0 if capture_output is False else _limit(capture_output)

    @classmethod
    def from_url(cls, storage: str | None = None, **kwargs: Unpack[OtherProviders]) -> Self:
        """Make a config whose storage is given by URL or name.

        Args:
            storage: ``sqlite:///flow.db``, ``postgresql://...``, ``redis://...``, ``s3://bucket/prefix``, ``gs://...``,
                ``az://...``, ``file:///folder``, ``memory://``, or the scheme of another package. ``None`` takes the
                environment variable ``DOTFLOW_STORAGE``, else ``storage`` in ``[tool.dotflow]`` of
                ``pyproject.toml`` in the working folder, else the default.
            **kwargs: The other arguments of ``Config``.

        Raises:
            ConfigurationError: the URL cannot be understood.

        .. versionadded:: 2.0
        """
        from dotflow.providers.by_url import configured_url, storage_from

        url = storage if storage is not None else configured_url()
        return cls(storage=None if url is None else storage_from(url), **kwargs)

    storage: Storage
    notify: Notify
    log: Log
    server: Server
    scheduler: Scheduler
    tracer: Tracer
    metrics: Metrics
    executor: Executor | None

    def __getattr__(self, name: str) -> Any:
        """Make a default provider when it is first asked for: most runs need few of them."""
        if name not in CONTRACTS:
            raise AttributeError(f"Config has no {name!r}; it has {', '.join(CONTRACTS)}")
        provider = _default(name)
        setattr(self, name, provider)
        return provider

    def given(self, name: str) -> bool:
        """Whether that provider was set, or has been made."""
        return name in vars(self)


def _checked(name: str, provider: object) -> object:
    import importlib

    contract = getattr(importlib.import_module(f"dotflow.abc.{name}"), CONTRACTS[name])
    if not isinstance(provider, contract):
        if name == "storage" and isinstance(provider, str):
            raise _no_storage(provider)
        if name == "executor" and callable(getattr(provider, "submit", None)) and not isinstance(provider, type):
            return _wrapped(provider)
        raise NotCallableObject(
            f"Config({name}=...)",
            expected=f"an instance of dotflow.abc.{name}.{CONTRACTS[name]}",
            given=provider,
            hint=("pass a pool with the submit of concurrent.futures, or " if name == "executor" else "")
            + f"inherit from {CONTRACTS[name]}",
        )
    if name in GIVES and contract not in type(provider).__mro__:
        from dotflow.core.virtual import whole

        return whole(provider, contract)
    return provider


def _no_storage(text: str) -> NotCallableObject:
    """Return the error for a text in the place of a storage."""
    from dotflow.providers.by_url import is_known, masked

    found = is_known(text.partition(":")[0])
    shown = masked(text) if found else text
    return NotCallableObject(
        "Config(storage=...)",
        expected=f"an instance of dotflow.abc.storage.Storage, got the text {shown!r}",
        hint=f"write Config.from_url({shown if found else 'sqlite:///flow.db'!r}), or inherit from Storage",
    )


def _wrapped(pool: Any) -> Executor:
    """Return the executor that hands attempts to a pool, or a cluster's client, of another library."""
    from dotflow import providers

    if type(pool).__module__.partition(".")[0] == "distributed":
        return providers.ExecutorDask(pool)
    return providers.ExecutorPool(pool)


def _has_address() -> bool:
    """Whether the default server has been given an address outside the program."""
    return bool(os.environ.get("SERVER_BASE_URL")) or _is_there(os.environ.get("HOME", ""))


@functools.lru_cache(maxsize=8)
def _is_there(_home: str) -> bool:
    return os.path.exists(os.path.expanduser(CREDENTIALS))  # looked for once: it takes longer than a step


def _default(name: str) -> Any:
    if name == "executor":
        return None  # the mode decides
    import dotflow.providers

    kind = getattr(dotflow.providers, f"{CONTRACTS[name]}Default")
    return kind(output="logger") if name == "log" else kind()


def _limit(capture_output: bool | int) -> int:
    from dotflow.core.capture import checked_limit

    return checked_limit(capture_output)


def _codec(mode: str, types: Iterable[type]) -> Codec:
    from dotflow.core.codec import Codec

    return Codec(mode, types=types)
