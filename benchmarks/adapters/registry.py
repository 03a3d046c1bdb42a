"""Which contestants there are, and where their adapters lie."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from benchmarks.case import Cases, Peer

ALWAYS = ("limit", "dotflow")
LIGHT = ("ppe", "tenacity", "huey", "hamilton", "joblib", "apscheduler", "luigi")
HEAVY = ("dotflow1", "celery", "dask", "dbos", "redun", "dagster", "ray", "prefect")
EVERY = (*ALWAYS, "raw", *LIGHT, *HEAVY)


class Adapter(Protocol):
    """What an adapter module has."""

    PEER: Peer
    CASES: Cases


def load(name: str) -> Adapter:
    """Import the adapter of the contestant *name*; its own library is imported when a case runs."""
    return cast("Adapter", importlib.import_module(f"benchmarks.adapters.{name}"))


def chosen(text: str) -> list[str]:
    """Return the contestants that *text* names: ``light``, ``all``, or names with commas.

    Raises:
        ValueError: a name that is none.
    """
    if text in ("light", ""):
        names: tuple[str, ...] = (*ALWAYS, "raw", *LIGHT)
    elif text == "all":
        names = EVERY
    else:
        names = tuple(text.split(","))
    for name in names:
        if name not in EVERY:
            raise ValueError(f"there is no peer {name!r}; there are {', '.join(EVERY)}, and 'light' and 'all'")
    return list(names)
