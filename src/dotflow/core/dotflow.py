"""The façade: a workflow, its tasks, and the ways to run it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, overload

from dotflow.core.calling import explained, no_argument
from dotflow.core.config import CONTRACTS, Config
from dotflow.core.exception import ConfigurationError, NotCallableObject, StorageError, WorkflowBusy
from dotflow.core.task import Task, TaskBuilder, basic_callback, has_controls
from dotflow.core.types import TypeExecution, TypeInputChange
from dotflow.core.workflow import Manager, Options, failed_before_start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Literal, TypedDict, Unpack
    from uuid import UUID

    from dotflow.core.agenda import Tick
    from dotflow.core.context import Context
    from dotflow.core.events import Event
    from dotflow.core.ticking import ScheduleHandle
    from dotflow.core.types import InputChangeName, ModeName
    from dotflow.core.workflow import WorkflowCallback

    class StartOptions(TypedDict, total=False):
        """What ``start`` takes."""

        mode: ModeName
        on_success: WorkflowCallback
        on_failure: WorkflowCallback
        keep_going: bool
        resume: bool
        on_input_change: InputChangeName
        fingerprint: str | None
        wait: float
        listeners: Sequence[Callable[[Event], object]]
        progress: bool
        keep_results: bool


loading = ""  # the module that the command line imports at the moment


class DotFlow:
    """A workflow.

    Args:
        config: Its providers; ``None`` for the defaults.
        workflow_id: Its name across processes: any text that is not empty, or a UUID; kept as given. ``None`` takes
            the environment variable ``WORKFLOW_ID``, else a random UUID. A run can be resumed by another process
            only under a fixed id.
        name: A label for people and servers; ``None`` for the host's name.

    Attributes:
        task: Where tasks are added.
        named: Whether the workflow id was given, so that another process can give it too.

    Raises:
        NotCallableObject: *config* is no ``Config``.
        ConfigurationError: a *workflow_id* that cannot be one.
    """

    @explained
    def __init__(
        self, config: Config | None = None, workflow_id: UUID | str | None = None, name: str | None = None
    ) -> None:
        if config is not None and not isinstance(config, Config):
            raise NotCallableObject(
                "DotFlow(config=...)", expected="a dotflow.Config", given=config, hint=_instead_of(config)
            )
        self.config = config if config is not None else Config()
        known = workflow_id if workflow_id is not None else os.environ.get("WORKFLOW_ID") or None
        self._untouched = known is None
        self.named = known is not None
        self.workflow_id: UUID | str = _random_id() if known is None else _checked_id(known)
        self._name = name
        self._lock = threading.Lock()
        self.task = TaskBuilder(config=self.config, workflow_id=self.workflow_id, workflow_name=name)

    @property
    def name(self) -> str:
        """The label; the host's name unless one was given."""
        if self._name is None:
            import socket

            self._name = socket.gethostname() or "local"
        return self._name

    @explained
    def start(
        self,
        *,
        mode: ModeName = TypeExecution.SEQUENTIAL,
        on_success: WorkflowCallback = basic_callback,
        on_failure: WorkflowCallback = basic_callback,
        keep_going: bool = False,
        resume: bool = False,
        on_input_change: InputChangeName = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        wait: float = 0,
        listeners: Sequence[Callable[[Event], object]] = (),
        progress: bool = False,
        keep_results: bool = True,
    ) -> Manager:
        """Run the workflow: a new run at each call, unless *resume* continues the last one.

        Args:
            mode: ``sequential`` (default; several groups run side by side), ``sequential_group`` (one group after the
                other), ``parallel`` (all at once, in processes) or ``background`` (in a thread).
            on_success: Called as ``on_success(tasks=[...])`` when every task completed.
            on_failure: Called like that when the run ended in any other way.
            keep_going: Run the tasks that follow a failed one, with an empty context in its place.
            resume: Take the results of tasks that an earlier run under this workflow id completed.
            on_input_change: With *resume*, when the initial contexts are not those of that run: ``reuse`` its
                results, ``reset`` (run everything), or ``raise`` ``InputChangedError``.
            fingerprint: What identifies the input, instead of a hash of the initial contexts.
            wait: Seconds to wait for another process that runs this workflow id.
            listeners: Called with each event, see ``dotflow.core.events``.
            progress: Show the run while it is on: a tree of its tasks on a terminal, a table in a notebook, else a
                line for each change on standard output.
            keep_results: Whether results stay in memory. With ``False`` each is let go when every task that needs it
                has ended; whoever asks for it later gets it from the storage, which must not be one in memory.

        Returns:
            The handle of the run; in mode ``background`` at once, else when the run has ended. A failed step does
            not raise: see ``Manager.status`` and ``Manager.raise_for_failure``.

        Raises:
            ConfigurationError: something does not fit; nothing has run.
            StorageError: the storage cannot be read; nothing has run.
            WorkflowBusy: another run holds the workflow id.
            InputChangedError: see *on_input_change*.
            KeyboardInterrupt: the run was interrupted; it can be resumed.
        """
        options = Options(
            mode,
            on_success,
            on_failure,
            keep_going,
            resume,
            on_input_change,
            fingerprint,
            wait,
            listeners,
            progress=progress,
            keep_results=keep_results,
        )
        return self.launch(options)

    @explained
    async def start_async(
        self,
        *,
        mode: ModeName = TypeExecution.SEQUENTIAL,
        on_success: WorkflowCallback = basic_callback,
        on_failure: WorkflowCallback = basic_callback,
        keep_going: bool = False,
        resume: bool = False,
        on_input_change: InputChangeName = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        wait: float = 0,
        listeners: Sequence[Callable[[Event], object]] = (),
        progress: bool = False,
        keep_results: bool = True,
    ) -> Manager:
        """Run the workflow on the running event loop, which it does not block; otherwise as ``start``.

        Coroutine steps run on this loop, plain ones in a thread, or in processes where ``start`` uses them.
        """
        import asyncio

        options = Options(
            mode,
            on_success,
            on_failure,
            keep_going,
            resume,
            on_input_change,
            fingerprint,
            wait,
            listeners,
            progress=progress,
            keep_results=keep_results,
        )
        manager = self._manager(options)
        untouched = self._touch()
        if self.config.storage.keeps_objects and self.config.executor is None:  # nobody far away is asked
            manager.prepare(untouched=untouched, on_loop=True)
        else:
            try:
                await asyncio.to_thread(manager.prepare, untouched=untouched, on_loop=True)
            except asyncio.CancelledError:
                manager.give_up()
                raise
        await manager.run_async()
        return manager

    @overload
    def schedule(self, *, background: Literal[True], **kwargs: Unpack[StartOptions]) -> ScheduleHandle: ...
    @overload
    def schedule(self, *, background: bool = False, **kwargs: Unpack[StartOptions]) -> Any: ...
    def schedule(self, *, background: bool = False, **kwargs: Any) -> Any:
        """Run the workflow again and again, as ``Config(scheduler=...)`` decides; block until that ends.

        Each tick is a run of its own; one that fails does not end the schedule. SIGINT and SIGTERM do: at once while
        nothing runs, else when the run in progress has ended or a grace time of 10 s is over.

        Args:
            background: Do that in a thread, and return a handle at once: ``stop()``, ``wait()``, ``result``. Signals
                are then the program's own; at its end the schedule is stopped.
            **kwargs: What each run is started with, as for ``start``. With ``resume=True`` the first tick finishes
                a run that was interrupted; every other tick starts afresh.

        Returns:
            What the scheduler's ``start`` returns: for the schedulers that come with dotflow, what happened.

        .. versionadded:: 2.0
            ``background``.
        """
        from dotflow.core.ticking import ScheduleHandle, Ticker

        for name in kwargs:
            if name not in Options._fields:
                import inspect

                raise TypeError(
                    no_argument("schedule", name, ("background", *inspect.signature(self.start).parameters))
                )
        Options(**kwargs).check()
        check_loading()
        if background:
            return ScheduleHandle(Ticker(self), kwargs)
        return Ticker(self).run(kwargs)

    def tick(self, *, first: bool = True, on_manager: Any = None, tick: Tick | None = None, **kwargs: Any) -> Manager:
        """Make one scheduled run and return its handle; neither a failed step nor a failed storage raises."""
        from datetime import UTC, datetime

        resume, due = bool(kwargs.get("resume")) and first, datetime.now(UTC)
        if tick is not None:
            resume, due = tick.epoch > 1 if tick.own else resume, tick.at
        anew = tick is None or not tick.own
        options = Options(**{**kwargs, "resume": resume, "anew": anew, "scheduled_for": due})
        try:
            return self.launch(options, on_manager=on_manager, tick=tick)
        except (StorageError, WorkflowBusy) as error:
            import logging

            logging.getLogger("dotflow").error(
                "this tick of workflow %s could not run", self.workflow_id, exc_info=error
            )
            return failed_before_start(self.task.queue, self.workflow_id, options, self.config, error)

    def launch(
        self, options: Options, *, on_manager: Callable[[Manager], None] | None = None, tick: Tick | None = None
    ) -> Manager:
        """Make one run as ``start`` does, for code that starts workflows on behalf of others: the command line, say.

        Args:
            options: What ``start`` would be given, and where the run comes from.
            on_manager: Called with the handle before the first step runs, so that the run can be stopped.
            tick: The tick of a schedule that the run belongs to.

        Returns:
            The handle, as ``start`` does.

        .. versionadded:: 2.0
        """
        if tick is None or not tick.own:
            manager = self._manager(options)
            manager.prepare(untouched=self._touch())
        else:
            manager = self._own_manager(options, tick)
            manager.prepare(untouched=tick.epoch == 1)
        try:
            if on_manager is not None:
                on_manager(manager)
            if options.mode == TypeExecution.BACKGROUND:
                manager.run_behind()
            else:
                manager.run()
        except BaseException:
            manager._end()  # a run that could not begin leads no more
            raise
        return manager

    def _manager(self, options: Options) -> Manager:
        options.check()
        check_loading()
        return Manager(
            self._renewed(self.workflow_id, options.scheduled_for is not None),
            self.workflow_id,
            options,
            self.config,
            self,
        )

    def _own_manager(self, options: Options, tick: Tick) -> Manager:
        """Return the run of a tick that has a workflow id of its own."""
        options.check()
        tasks, config = self._renewed(tick.id, True), self.config
        if tick.fenced:
            import copy

            from dotflow.core.claims import Fenced

            config = copy.copy(config)
            config.storage = Fenced(self.config.storage, tasks, tick.id, tick.epoch)
        return Manager(tasks, tick.id, options, config, self)

    def _renewed(self, workflow_id: UUID | str, scheduled: bool) -> list[Task]:
        with self._lock:
            tasks = self.task.renew()
            if scheduled or (tasks and tasks[0].workflow_id is not workflow_id):
                for task in tasks:
                    task.assign(workflow_id)
        return tasks

    def _touch(self) -> bool:
        untouched, self._untouched = self._untouched, False
        return untouched

    def result_task(self) -> list[Task]:
        """Return the tasks, in order, as the last run left them."""
        return list(self.task.queue)

    def result_context(self) -> list[Context]:
        """Return the context of each task; an empty one where there is no result."""
        return [task.current_context for task in self.task.queue]

    def result_storage(self) -> list[Any]:
        """Return what each step returned; ``None`` where there is no result."""
        return [task.value for task in self.task.queue]

    def result(self) -> dict[str, Any]:
        """Return the workflow and its tasks as a dictionary of plain values."""
        return self.task.result()

    @overload
    def graph(self, format: Literal["png"], *, mode: str = ...) -> bytes: ...

    @overload
    def graph(self, format: Literal["text", "mermaid", "svg"] = ..., *, mode: str = ...) -> str: ...

    @overload
    def graph(self, format: str, *, mode: str = ...) -> str | bytes: ...

    def graph(self, format: str = "text", *, mode: str = TypeExecution.SEQUENTIAL) -> str | bytes:
        """Return a drawing of the workflow; with the status of each task once it has been started.

        Args:
            format: ``text``, ``mermaid``, ``svg``, or ``png``, which needs the ``png`` extra.
            mode: The mode it is started in: without ``depends_on`` that decides who waits for whom.

        Returns:
            A text; bytes for ``png``.

        Raises:
            ConfigurationError: there is no such format or mode, or the dependencies form no graph.
            ModuleNotFound: the library that ``png`` needs is not installed.

        .. versionadded:: 2.0
        """
        from dotflow.views.graph import drawn, graph_of

        return drawn(graph_of(self.task.queue, mode), format)

    def _repr_html_(self) -> str:
        from dotflow.views.html import run_table

        return run_table(self.task.queue, self.workflow_id, "")

    def __repr__(self) -> str:
        return f"DotFlow(workflow_id={str(self.workflow_id)!r}, tasks={self.task.count()})"


def _instead_of(config: object) -> str:
    """Return how what was given in the place of a config is given."""
    import importlib

    if isinstance(config, str):
        if "://" in config:
            return "a storage is given as DotFlow(Config.from_url(...))"
        return f"a name is given as DotFlow(workflow_id={config!r})"
    for name, contract in CONTRACTS.items():
        if isinstance(config, getattr(importlib.import_module(f"dotflow.abc.{name}"), contract)):
            return f"write DotFlow(Config({name}=...))"
    return ""


def check_loading() -> None:
    """Refuse to start anything while a module is loaded for what is in it."""
    if loading:
        raise ConfigurationError(
            f'{loading!r} starts a workflow while it is imported; put that under: if __name__ == "__main__":'
        )


def _random_id() -> UUID:
    from uuid import uuid4

    return uuid4()


def _checked_id(workflow_id: object) -> UUID | str:
    from uuid import UUID

    if isinstance(workflow_id, UUID):
        return workflow_id
    if not isinstance(workflow_id, str):
        raise ConfigurationError(f"workflow_id needs a text or a UUID, got {workflow_id!r}")
    if not workflow_id.strip():
        raise ConfigurationError(f"workflow_id needs a text that is not empty, got {workflow_id!r}")
    if has_controls(workflow_id):
        raise ConfigurationError(f"workflow_id={workflow_id!r} contains control characters or lone surrogates")
    return workflow_id
