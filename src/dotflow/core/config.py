"""The providers of a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.executor import Executor
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.scheduler import Scheduler
from dotflow.abc.server import Server
from dotflow.abc.storage import Storage
from dotflow.abc.tracer import Tracer
from dotflow.core.exception import NotCallableObject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.core.codec import Codec

CONTRACTS: dict[str, type] = {
    "storage": Storage,
    "notify": Notify,
    "log": Log,
    "server": Server,
    "scheduler": Scheduler,
    "tracer": Tracer,
    "metrics": Metrics,
    "executor": Executor,
}


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
        executor: Makes the attempts of plain steps in every mode; ``None`` leaves that to the mode.
        codec: What becomes of results that JSON cannot keep and dotflow does not know: ``"safe"`` refuses them,
            ``"pickle"`` pickles them, ``"signed"`` does that and signs every envelope with the key in
            ``DOTFLOW_CODEC_KEY``.
        types: Enums, dataclasses and models that results may be made of, besides those that the modules of the
            steps name.

    Raises:
        NotCallableObject: a provider that is not an instance of its contract.

    .. versionchanged:: 2.0
        ``executor``, ``codec`` and ``types`` are new.
    """

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
        executor: Executor | None = None,
        codec: str = "safe",
        types: Iterable[type] = (),
    ) -> None:
        given = (storage, notify, log, server, scheduler, tracer, metrics, executor)
        for (name, contract), provider in zip(CONTRACTS.items(), given, strict=True):
            if provider is not None and not isinstance(provider, contract):
                raise NotCallableObject(
                    f"Config({name}=...)",
                    expected=f"an instance of {contract.__module__}.{contract.__name__}",
                    given=provider,
                    hint=f"inherit from {contract.__name__}",
                )
        self.storage: Storage = storage if storage is not None else _default("StorageDefault")
        self.notify: Notify = notify if notify is not None else _default("NotifyDefault")
        self.log: Log = log if log is not None else _default("LogDefault", output="logger")
        self.server: Server = server if server is not None else _default("ServerDefault")
        self.scheduler: Scheduler = scheduler if scheduler is not None else _default("SchedulerDefault")
        self.tracer: Tracer = tracer if tracer is not None else _default("TracerDefault")
        self.metrics: Metrics = metrics if metrics is not None else _default("MetricsDefault")
        self.executor = executor
        self.codec: Codec = _codec(codec, types)


def _default(name: str, **kwargs: Any) -> Any:
    import dotflow.providers

    return getattr(dotflow.providers, name)(**kwargs)


def _codec(mode: str, types: Iterable[type]) -> Codec:
    from dotflow.core.codec import Codec

    return Codec(mode, types=types)
