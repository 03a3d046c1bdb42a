"""Which process something belongs to, so that another one can tell whether that is still there."""

from __future__ import annotations

import os
import sys
from typing import Any

PROCESSES = "/proc"

_mine: tuple[int, dict[str, Any]] = (0, {})


def identity() -> dict[str, Any]:
    """Return what tells this process from every other: host, pid, machine, and when it began.

    ``machine`` is the same for processes that see each other's ids, and empty where that cannot be known.
    """
    global _mine
    pid = os.getpid()
    if _mine[0] != pid:
        _mine = pid, {"host": host(), "pid": pid, "machine": machine(), "began": began(pid)}
    return dict(_mine[1])


def alive(known: dict[str, Any]) -> bool | None:
    """Whether the process that *known* describes is still there; ``None`` if that cannot be told from here."""
    pid, here = known.get("pid"), machine()
    if type(pid) is not int or pid < 1 or not here or known.get("machine") != here:
        return None
    now = began(pid)
    if now:
        return now == known["began"] if known.get("began") else None
    return None if _is_hidden(pid) else False


def host() -> str:
    """Return the name of this host."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def machine() -> str:
    """Return what two processes share if they see each other's ids; empty where that is not known."""
    if sys.platform != "linux":
        return ""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def began(pid: int) -> str:
    """Return when *pid* began, as Linux counts it; empty if it has ended, or that is not known."""
    try:
        with open(f"{PROCESSES}/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _is_hidden(pid: int) -> bool:
    """Whether *pid* is there, but the system shows nothing of it, as it may do with processes of another user."""
    if os.path.exists(f"{PROCESSES}/{pid}"):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
