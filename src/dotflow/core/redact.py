"""The one redactor: what is secret is masked before every sink.

Secrets belong to the process, not to one workflow: what one workflow may not tell, the log lines of another may
not tell either. Known are the values that ``Config(secrets=[...])`` or a provider registered, environment variables
whose names look secret, passwords in URLs, and what follows ``Bearer``.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context, make_context
from dotflow.core.exception import ConfigurationError
from dotflow.core.messages import TaskError
from dotflow.core.record import EXCEEDED, limited, task_event_id, task_result
from dotflow.core.task import Task, raw_id

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable

    from dotflow.core.task import T

MASK = "***"
SHORTEST = 4  # characters of a registered secret; a shorter one would mask ordinary words
SHORTEST_IN_ENVIRONMENT = 6
SECRET_NAMES = (
    "SECRET", "TOKEN", "PASSW", "PASSPHRASE", "APIKEY", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIAL",
    "CODEC_KEY", "WEBHOOK", "DSN",
)  # fmt: skip
PATTERN = r"(?<=://)([^\s/@:\"']*):[^\s/@\"']+(?=@)|\b([Bb]earer) [\w.~+/=-]{6,}"
DEEPEST = 50
TEXT_MOST, MARGIN = 100_000, 10_000  # characters of an error's text that a sink gets; of a secret at the cut
KNOWN = "="  # before an id that was made by another process

_lock = threading.Lock()
_registered: set[str] = set()
_seen: frozenset[str] = frozenset()
_search: re.Pattern[str] | None = None
_hints: tuple[str, ...] = ()  # one of them is in every text that the pattern changes
_stale = True


def register(secrets: Iterable[str]) -> None:
    """Mask these texts from now on, wherever this process writes.

    Raises:
        ConfigurationError: a secret that is no text, or is shorter than 4 characters.
    """
    global _stale
    if isinstance(secrets, (str, bytes)):
        raise ConfigurationError("secrets= needs a list of texts, got a single one")
    found = list(secrets)
    for position, secret in enumerate(found):
        if not isinstance(secret, str):
            raise ConfigurationError(f"secrets= needs texts, number {position} is a {type(secret).__name__}")
        if len(secret.strip()) < SHORTEST:
            raise ConfigurationError(
                f"secrets= number {position} is shorter than {SHORTEST} characters; it would mask ordinary words"
            )
    with _lock:
        _registered.update(found)
        _stale = True


def registered() -> tuple[str, ...]:
    """Return the texts that were registered, for another process to mask them too."""
    with _lock:
        return tuple(sorted(_registered))


def know(secrets: Iterable[str]) -> None:
    """Register what another process has registered."""
    if not _registered.issuperset(secrets):
        register(secrets)


def refresh() -> None:
    """Look at the environment again before the next text; called when a run begins."""
    global _stale
    _stale = True


def mask(text: str) -> str:
    """Return *text* with every secret in it replaced by ``***``."""
    search = _pattern() if _stale or _search is None else _search
    for hint in _hints:  # far faster than the pattern, which most texts do not need
        if hint in text:
            return search.sub(_masked, text)
    return text


def mask_long(text: str) -> str:
    """Return the beginning and the end of a text that is too long for any sink, masked; else mask all of it."""
    if len(text) <= TEXT_MOST:
        return mask(text)
    half = TEXT_MOST // 2  # cut after masking: half a secret tells something
    head, tail = mask(text[: half + MARGIN])[:half], mask(text[-half - MARGIN :])[-half:]
    return f"{head}\n… {len(text) - 2 * half} characters left out …\n{tail}"


def mask_value(value: Any, depth: int = 0) -> Any:
    """Return *value*, or a copy of it in which texts are masked; an object that would tell a secret becomes a text."""
    kind = type(value)
    if value is None or kind in (bool, float):
        return value
    if kind is str:
        return mask(value)
    if depth > DEEPEST:
        return MASK
    if kind is dict:
        return {mask_value(key, depth + 1): mask_value(item, depth + 1) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(mask_value(item, depth + 1) for item in value)
    if isinstance(value, Context):
        inner = mask_value(value.storage, depth + 1)
        known = mask_value(value.workflow_id)
        copy = make_context(inner, mask(value.task_id or ""), known, 0, value.scheduled_for)
        copy._made = value._made
        return copy
    if kind in (bytes, bytearray):
        text = value.decode("utf-8", "surrogateescape")
        found = mask(text)
        return value if found == text else kind(found.encode("utf-8", "surrogateescape"))
    return _mask_object(value)


def mask_error(error: TaskError) -> TaskError:
    """Return *error*, or a copy without the exception itself, masked and cut to what a sink can take."""
    message, traceback, output = mask_long(error.message), mask_long(error.traceback), mask(error.output)
    if message == error.message and traceback == error.traceback and output == error.output:
        return error
    found = TaskError(None, error.attempt)
    found.exception, found.message, found.traceback, found.output = error.exception, message, traceback, output
    return found


def masked(task: Task) -> Masked:
    """Return a copy of *task* as it is now, whose texts are masked when they are read."""
    new = Masked.__new__(Masked)
    new._origin = ""
    new._clean = {}
    return task.copy_into(new)


SLOTS: dict[str, Any] = dict(vars(Task))


class Masked(Task):
    """What observers get of a task: a copy that stays as it is, and tells no secret."""

    __slots__ = ("_clean", "_origin")
    _clean: dict[str, Any]
    _origin: str

    @property
    def event_id(self) -> str:
        """The id of the message about this change; empty in copies that no notifier gets."""
        origin = self._origin
        return origin[1:] if origin.startswith(KNOWN) else origin and task_event_id(self, origin)

    def snapshot(self) -> Masked:
        """Return a copy."""
        return masked(self)

    task_id = property(lambda self: mask(raw_id(self)), SLOTS["task_id"].__set__, None, "Name of the task.")
    workflow_id = property(
        lambda self: mask_value(SLOTS["workflow_id"].__get__(self)), SLOTS["workflow_id"].__set__, None,
        "The workflow it belongs to.",
    )  # fmt: skip
    group_name = property(
        lambda self: mask(SLOTS["group_name"].__get__(self)), SLOTS["group_name"].__set__, None,
        "The group it belongs to.",
    )  # fmt: skip

    def copy_into(self, new: T) -> T:
        """Give *new* everything that this task is now, with its ids as they are."""
        super().copy_into(new)
        new.task_id, new.workflow_id = raw_id(self), SLOTS["workflow_id"].__get__(self)
        new.group_name = SLOTS["group_name"].__get__(self)
        if isinstance(new, Masked):
            new._origin = self._origin
        return new

    @property
    def initial_context(self) -> Context:
        """The value the task was added with."""
        found: Context = self._once("initial", lambda: mask_value(Task.initial_context.__get__(self)))
        return found

    @property
    def previous_context(self) -> Context:
        """What the tasks before it gave it."""
        found: Context = self._once("previous", lambda: mask_value(Task.previous_context.__get__(self)))
        return found

    @property
    def current_context(self) -> Context:
        """What the step returned."""
        found: Context = self._once("current", lambda: mask_value(Task.current_context.__get__(self)))
        return found

    @property
    def value(self) -> Any:
        """What the step returned."""
        return self.current_context.storage

    @property
    def errors(self) -> list[TaskError]:
        """One entry for each failed attempt."""
        found: list[TaskError] = self._once("errors", lambda: [mask_error(error) for error in self._errors or ()])
        return found

    @property
    def output(self) -> str:
        """What the last attempt printed."""
        return mask(self._output) if self._output else ""

    def result(self, max: int | None = None) -> dict[str, Any]:
        """Return the task as plain values; what is far too large is left out before it is turned into text."""
        if max is None:
            return task_result(self)
        short, gone = masked(self), []
        for name, place in PLACES.items():  # the raw values: masking what is large would take its time
            if heavier(getattr(Task, name).__get__(self).storage, max):
                setattr(short, place, None)
                gone.append(name)
        result = task_result(short)
        result.update({name: dict(EXCEEDED) for name in gone})
        return limited(result, max)

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._clean:
            self._clean[name] = make()
        return self._clean[name]


PLACES = {"initial_context": "_initial", "previous_context": "_previous", "current_context": "_current"}


def heavier(value: Any, most: int) -> bool:
    """Whether *value* would surely make more than *most* characters, seen without turning it into text."""
    left, waiting = most, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Context):
            item = item.storage
        left -= len(item) if isinstance(item, (str, bytes, bytearray, dict, list, tuple, set, frozenset)) else 1
        if left < 0:
            return True
        if isinstance(item, dict):
            waiting += item.keys()
            waiting += item.values()
        elif isinstance(item, (list, tuple, set, frozenset)):
            waiting += item
    return False


def _mask_object(value: Any) -> Any:
    try:
        told, written = str(value), repr(value)
    except Exception:  # whatever a user's object does when it is turned into text (ADR 0010)
        return f"<{type(value).__name__}>"
    text = mask(told)
    return value if text == told and mask(written) == written else text


def _masked(match: re.Match[str]) -> str:
    if match[1] is not None:
        return f"{match[1]}:{MASK}"
    return f"{match[2]} {MASK}" if match[2] else MASK


def _pattern() -> re.Pattern[str]:
    """Compile the pattern of all secrets anew, if there are others than last time."""
    global _search, _seen, _stale, _hints
    import re

    with _lock:
        _stale = False
        wanted = frozenset(_registered | _in_environment())
        if _search is None or wanted != _seen:
            forms = {form for secret in wanted for form in _forms(secret)}
            parts = [re.escape(form) for form in sorted(forms, key=len, reverse=True)]
            _search, _seen = re.compile("|".join([PATTERN, *parts])), wanted
            _hints = ("://", "earer ", *forms)
        return _search


def _in_environment() -> set[str]:
    return {
        value
        for name, value in os.environ.items()
        if len(value) >= SHORTEST_IN_ENVIRONMENT
        and any(part in name.upper() for part in SECRET_NAMES)
        and not os.path.isabs(value)
    }


def _forms(secret: str) -> set[str]:
    """The ways in which a secret may be written: as it is, in JSON, in ``repr``, in a URL, in HTML, in base64."""
    import base64
    import html
    import json
    from urllib.parse import quote, quote_plus

    raw = secret.encode("utf-8", "surrogatepass")
    found = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        repr(secret)[1:-1],
        repr(raw)[2:-1],
        quote(raw, safe=""),
        quote_plus(raw),
        html.escape(secret),
        base64.b64encode(raw).decode().rstrip("="),
    }
    found.update(line for line in secret.splitlines() if len(line.strip()) >= SHORTEST_IN_ENVIRONMENT)
    return found
