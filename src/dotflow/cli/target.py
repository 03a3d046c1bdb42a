"""From the paths on the command line to a workflow that can be started."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core import dotflow as core
from dotflow.core.action import Action
from dotflow.core.config import Config
from dotflow.core.dotflow import DotFlow
from dotflow.core.exception import (
    ConfigurationError,
    DotflowError,
    ImportModuleError,
    InvalidWorkflowFactory,
    UnsupportedOption,
    WorkflowFlagConflict,
)
from dotflow.core.module import load
from dotflow.core.types import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
LOADERS = ("<frozen importlib", f"{os.sep}importlib{os.sep}__init__.py")


class UserError(Exception):
    """Code of the user's raised while it was loaded; the cause says what.

    Args:
        doing: What was being done with it.
    """

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.doing = doing


class Wish(NamedTuple):
    """What the command line asks for."""

    step: str | None = None
    workflow: str | None = None
    callback: str | None = None
    initial_context: str | None = None
    storage: str | None = None
    path: str | None = None
    workflow_id: str | None = None
    resume: bool = False


class Target(NamedTuple):
    """A workflow, and what is needed to name it again.

    Attributes:
        workflow: It; not started.
        lasting: Whether its results outlive this process.
        id_from_outside: Whether the id has to be given again to run the same workflow.
    """

    workflow: DotFlow
    lasting: bool
    id_from_outside: bool


def prepare_path() -> None:
    """Let modules of the working folder be imported, before any other of the same name."""
    try:
        here = os.getcwd()
    except FileNotFoundError:  # somebody removed it
        return
    if here not in sys.path[:1]:
        sys.path.insert(0, here)


def build(wish: Wish) -> Target:
    """Return the workflow that *wish* describes.

    Raises:
        DotflowError: the command line does not make sense.
        UserError: the user's own code raised.
    """
    check_flags(wish)
    if wish.workflow_id is not None:
        os.environ["WORKFLOW_ID"] = wish.workflow_id  # a factory takes it from there
    prepare_path()
    if wish.step is not None:
        made = from_step(wish.step, wish)
    else:
        made = from_factory(str(wish.workflow), wish.workflow_id)
    outside = str(made.workflow_id) == os.environ.get("WORKFLOW_ID")
    target = Target(made, not made.config.storage.keeps_objects, not made.named or outside)
    if wish.resume:
        check_resume(target)
    return target


def check_flags(wish: Wish) -> None:
    """Refuse options that exclude each other, or miss each other."""
    if (wish.step is None) == (wish.workflow is None):
        both = "one of them, not both" if wish.step is not None else "one of them"
        raise ConfigurationError(f"what to run is given by --step or --workflow: {both}")
    if wish.workflow is not None:
        for flag in ("callback", "initial_context", "storage", "path"):
            if getattr(wish, flag) is not None:
                raise WorkflowFlagConflict(f"--{flag.replace('_', '-')}")
    if wish.path is not None and wish.storage is None:
        raise UnsupportedOption("--path is where --storage keeps its data; add --storage file or --storage sqlite")
    if wish.workflow_id is not None and not wish.workflow_id.strip():
        raise ConfigurationError(f"--workflow-id needs a text that is not empty, got {wish.workflow_id!r}")


def check_resume(target: Target) -> None:
    """Refuse ``--resume`` where there can be nothing to resume."""
    if not target.lasting:
        kept = type(target.workflow.config.storage).__name__
        raise UnsupportedOption(
            f"--resume finds nothing: {kept} keeps results only as long as the process lives; use --storage "
            "file or --storage sqlite (in a factory: Config(storage=StorageSQLite()))"
        )
    if not target.workflow.named:
        raise UnsupportedOption(
            "--resume needs the id of the run to resume: --workflow-id, or WORKFLOW_ID in the environment"
        )


def from_step(path: str, wish: Wish) -> DotFlow:
    """Return a workflow of one step."""
    from dotflow.cli.choice import make_storage

    step = found(path)
    extra = {} if wish.callback is None else {"callback": found(wish.callback)}
    config = Config.from_url() if wish.storage is None else Config(storage=make_storage(wish.storage, wish.path))
    workflow = DotFlow(config, workflow_id=wish.workflow_id)
    workflow.task.add(step=step, initial_context=wish.initial_context, **extra)
    return workflow


def from_factory(path: str, workflow_id: str | None) -> DotFlow:
    """Return the workflow that the factory at *path* makes."""
    factory = found(path)
    if isinstance(factory, Action):
        raise InvalidWorkflowFactory(path, "is a step; run it with --step")
    made = factory if isinstance(factory, DotFlow) else called(path, factory)
    if not isinstance(made, DotFlow):
        if hasattr(made, "close") and hasattr(made, "cr_code"):
            made.close()  # a coroutine, which nobody will await
        raise InvalidWorkflowFactory(path, f"must return a DotFlow, it returned a {type(made).__name__}")
    if any(task.status is not TypeStatus.NOT_STARTED for task in made.task.queue):
        raise InvalidWorkflowFactory(path, "gives a DotFlow that has been started; the command starts it")
    if workflow_id is not None and str(made.workflow_id) != workflow_id:
        raise ConfigurationError(
            f"--workflow-id {workflow_id!r} has no effect: {path!r} sets "
            f"workflow_id={str(made.workflow_id)!r}; leave one of them out"
        )
    return made


def called(path: str, factory: Any) -> Any:
    """Return what the factory at *path* returns."""
    if not callable(factory):
        raise InvalidWorkflowFactory(
            path, f"must be a DotFlow or a callable that returns one, it is a {type(factory).__name__}"
        )
    check_arguments(path, factory)
    return of_user(f"calling the workflow factory {path!r}", factory)


def check_arguments(path: str, factory: Callable[..., Any]) -> None:
    """Refuse a factory that cannot be called without arguments."""
    import inspect

    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise InvalidWorkflowFactory(path, f"must be callable without arguments: {error}") from None
    except ValueError:  # it tells nothing about itself
        pass


def found(path: str) -> Any:
    """Return what *path* names."""
    module, _, rest = path.partition(":")
    if module.endswith(".py") or "/" in module or os.sep in module:
        name = module.removesuffix(".py").replace(os.sep, "/").strip("./").replace("/", ".")
        raise ImportModuleError(path, f"expected a module, not a file; did you mean '{name}:{rest or 'name'}'?")
    try:
        return of_user(f"importing {path!r}", loaded, path)
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, (ImportError, ValueError)) and cause.__traceback__ is None:  # no code of the user's ran
            raise ImportModuleError(path, str(cause)) from None
        raise


def loaded(path: str) -> Any:
    """Return what *path* names; a module that starts a workflow while it is imported is refused."""
    core.loading = path.partition(":")[0]
    try:
        return load(path)
    finally:
        core.loading = ""


def of_user(doing: str, call: Callable[..., Any], *args: Any) -> Any:
    """Make a call that runs the user's code; what that raises becomes a ``UserError``."""
    try:
        return call(*args)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the top level of a module does, sys.exit() included (ADR 0010)
        error.__traceback__ = users_part(error.__traceback__)
        if isinstance(error, DotflowError) and error.__traceback__ is None:
            raise  # ours, about the path itself
        raise UserError(doing) from error


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """Return *trace* from the first frame that is neither ours nor the import system's."""
    while trace is not None:
        name = os.path.abspath(trace.tb_frame.f_code.co_filename)
        plain = trace.tb_frame.f_code.co_filename
        if not name.startswith(OURS) and not plain.startswith(LOADERS[0]) and not plain.endswith(LOADERS[1]):
            return trace
        trace = trace.tb_next
    return None


def as_text(error: UserError) -> str:
    """Return the traceback of what the user's code raised; of a known error, its place and its message."""
    cause = error.__cause__
    assert cause is not None
    if isinstance(cause, DotflowError):
        *_, last = traceback.extract_tb(cause.__traceback__)
        users = [frame for frame in traceback.extract_tb(cause.__traceback__) if not frame.filename.startswith(OURS)]
        last = users[-1] if users else last
        return f"{cause}\n  in {last.filename}, line {last.lineno}: {last.line}"
    return "".join(traceback.format_exception(cause)).rstrip("\n")
