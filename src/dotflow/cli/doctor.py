"""``dotflow doctor``: what is installed, configured and reachable; what is wrong with it, and what mends it."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dotflow import __version__
from dotflow.cli.choice import make_storage
from dotflow.cli.target import UserError, Wish, of_user
from dotflow.core.exception import ConfigurationError, DotflowError, StorageUnavailable
from dotflow.core.module import nearest
from dotflow.core.redact import SECRET_NAMES, mask
from dotflow.views.progress import escape, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.abc.storage import Storage

OK, NOTE, WRONG = "ok", "note", "wrong"
KEYS = ("storage",)  # of [tool.dotflow]
VARIABLES = ("DOTFLOW_STORAGE", "DOTFLOW_CODEC_KEY", "WORKFLOW_ID", "SERVER_BASE_URL", "SERVER_USER_TOKEN")
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?\s*(?:>=\s*([\d.]+))?[^;]*(?:;.*extra == ['\"]([\w-]+)['\"])?")
PYTHON = (3, 11)


class Check(NamedTuple):
    """What was found out about one thing.

    Attributes:
        name: What was looked at.
        state: ``ok``, ``note`` (nothing is wrong, but it is good to know) or ``wrong``.
        text: What was found.
        fix: What to do; empty if there is nothing to do.
    """

    name: str
    state: str
    text: str
    fix: str = ""


def examine(wish: Wish, timeout: float, as_json: bool) -> int:
    """Make every check and write what was found; return the exit code."""
    checks = [check for look in CHECKS for check in look()]
    checks += storage_checks(wish, timeout)
    wrong = [check for check in checks if check.state == WRONG]
    if as_json:
        write(sys.stdout, json.dumps({"ok": not wrong, "checks": [check._asdict() for check in checks]}, indent=2))
        return 1 if wrong else 0
    wide = max(len(check.name) for check in checks)
    for check in checks:
        write(sys.stdout, escape(f"{check.state.upper():5}  {check.name:{wide}}  {check.text}"))
        if check.fix:
            write(sys.stdout, escape(f"{'':5}  {'':{wide}}  fix: {check.fix}"))
    write(
        sys.stdout, f"\n{len(wrong)} of {len(checks)} checks found something wrong" if wrong else "\nnothing is wrong"
    )
    return 1 if wrong else 0


# -- what is installed ------------------------------------------------------------------------------------


def python_checks() -> Iterator[Check]:
    """Look at Python."""
    found = f"{'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
    if sys.version_info < PYTHON:  # a source tree can be put on the path of any Python
        yield Check("python", WRONG, found, "install Python 3.11 or later")
    else:
        yield Check("python", OK, found)


def package_checks() -> Iterator[Check]:
    """Look at dotflow, what it needs, and its extras."""
    try:
        wanted = metadata.requires("dotflow") or []
        installed = metadata.version("dotflow")
    except metadata.PackageNotFoundError:
        yield Check("dotflow", NOTE, f"{__version__}, a source tree that was not installed", "pip install -e .")
        return
    if installed == __version__:
        yield Check("dotflow", OK, f"{__version__}, {Path(__file__).parents[1]}")
    else:
        yield Check("dotflow", NOTE, f"{__version__} is imported, {installed} is installed", "install it again")
    extras: dict[str, list[tuple[str, str | None]]] = {}
    for line in wanted:
        match = REQUIREMENT.match(line)
        if match and ("extra ==" in line or "sys_platform" not in line):
            extras.setdefault(match[3] or "", []).append((match[1], match[2]))
    for package, least in extras.pop("", []):
        yield _required(package, least)
    for extra, packages in sorted(extras.items()):
        yield _extra(extra, packages)


def _required(package: str, least: str | None) -> Check:
    version = _version(package)
    if version is None:
        return Check(package, WRONG, "is not installed", f"pip install {package}")
    if least and _numbers(version) < _numbers(least):
        return Check(package, WRONG, f"{version} is older than {least}", f"pip install -U '{package}>={least}'")
    return Check(package, OK, version)


def _extra(extra: str, packages: list[tuple[str, str | None]]) -> Check:
    install = f"pip install -U 'dotflow[{extra}]'"
    found = {package: _version(package) for package, _ in packages}
    if not any(found.values()):
        return Check(f"extra {extra}", NOTE, "not installed", f"if you need it: {install}")
    told = ", ".join(f"{package} {version or 'is missing'}" for package, version in found.items())
    old = [package for package, least in packages if least and _numbers(found[package] or least) < _numbers(least)]
    if old:
        return Check(f"extra {extra}", WRONG, f"{told}: {', '.join(old)} is too old", install)
    if None in found.values():
        return Check(f"extra {extra}", NOTE, told, f"if you need it: {install}")
    return Check(f"extra {extra}", OK, told)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def plugin_checks() -> Iterator[Check]:
    """Look at the storages that other packages add."""
    from dotflow.providers.by_url import GROUP

    for point in metadata.entry_points(group=GROUP):
        try:
            of_user(f"loading {point.value}", point.load)
            yield Check(f"storage {point.name}", OK, point.value)
        except (UserError, DotflowError) as error:
            cause = _root(error)
            yield Check(f"storage {point.name}", WRONG, f"{point.value} cannot be loaded: {_short(cause)}",
                        "update or remove the package that brings it")  # fmt: skip


# -- what the machine offers ------------------------------------------------------------------------------


def machine_checks() -> Iterator[Check]:
    """Look at time zones, and at how processes can be started."""
    import multiprocessing
    from zoneinfo import available_timezones

    from dotflow.core.zones import zone_of

    zones = len(available_timezones())
    if zones:
        yield Check("time zones", OK, f"{zones}; this machine's is {zone_of(None)}")
    else:
        yield Check("time zones", WRONG, "there are none", "pip install tzdata")
    methods = multiprocessing.get_all_start_methods()
    yield Check("processes", OK, f"{os.cpu_count()} processors; start methods: {', '.join(methods)}")


# -- what is configured -----------------------------------------------------------------------------------


def pyproject_checks() -> Iterator[Check]:
    """Look at ``[tool.dotflow]``."""
    import tomllib

    path = Path("pyproject.toml")
    if not path.is_file():
        yield Check("pyproject.toml", OK, "none in this folder")
        return
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("dotflow", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        yield Check("pyproject.toml", WRONG, f"cannot be read: {error}", "mend the file")
        return
    if not isinstance(table, dict):
        yield Check("pyproject.toml", WRONG, "[tool.dotflow] is no table", "write [tool.dotflow] on a line of its own")
        return
    for name, value in table.items():
        if name not in KEYS:
            text = f"[tool.dotflow] has no {name!r}{nearest(name, KEYS)}"
            yield Check("pyproject.toml", WRONG, text, f"known: {', '.join(KEYS)}")
        else:
            yield Check("pyproject.toml", OK, f"{name} = {mask(repr(value))}")
    if not table:
        yield Check("pyproject.toml", OK, "no [tool.dotflow]")


def environment_checks() -> Iterator[Check]:
    """Look at the variables that mean something; what is secret is not shown."""
    for name, value in sorted(os.environ.items()):
        if name in VARIABLES:
            hidden = any(part in name for part in SECRET_NAMES)
            yield Check(name, OK, "is set" if hidden else mask(value))
        elif name.startswith("DOTFLOW_"):
            yield Check(name, NOTE, f"means nothing to dotflow{nearest(name, VARIABLES)}")


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    python_checks,
    package_checks,
    plugin_checks,
    machine_checks,
    pyproject_checks,
    environment_checks,
)


# -- what can be reached ----------------------------------------------------------------------------------


def storage_checks(wish: Wish, timeout: float) -> Iterator[Check]:
    """Look whether the storage works, for at most *timeout* seconds."""
    found: list[Check] = []

    def look() -> None:
        found.append(_storage(wish))

    thread = threading.Thread(target=look, name="dotflow-doctor", daemon=True)
    thread.start()
    thread.join(timeout)
    if found:
        yield found[0]
    else:
        yield Check("storage", WRONG, f"no answer within {timeout:g} s",
                    "check that the server runs and can be reached from here, or give it more --timeout")  # fmt: skip


def _storage(wish: Wish) -> Check:
    try:
        storage = of_user("opening the storage", _opened, wish)
        of_user("checking the storage", _used, storage)
    except (UserError, DotflowError) as error:
        cause = _root(error)
        return Check("storage", WRONG, _short(cause), _fix(cause))
    kept = "in memory, until the process ends" if storage.keeps_objects else "works"
    return Check("storage", OK, f"{type(storage).__name__} {kept}")


def _opened(wish: Wish) -> Storage:
    from dotflow.core.config import Config

    if wish.workflow is not None:
        from dotflow.cli.drawing import target_of

        return target_of(wish.workflow).config.storage
    if wish.storage is not None:
        return make_storage(wish.storage, wish.path)
    return Config.from_url().storage


def _used(storage: Storage) -> None:
    if storage.can("healthcheck"):
        storage.healthcheck()
    else:
        storage.get(key="_dotflow_doctor")


def _root(error: BaseException) -> BaseException:
    """Return what the user's code raised."""
    while isinstance(error, UserError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _short(error: BaseException) -> str:
    """Return what *error* says, on one line."""
    return mask(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _fix(error: BaseException) -> str:
    if isinstance(error, (StorageUnavailable, ConnectionError, TimeoutError)):
        return "check that the server runs and can be reached from here, and the address"
    if isinstance(error, (ConfigurationError, ImportError)):
        return "see the message"
    return "check the address, the credentials and the permissions"
