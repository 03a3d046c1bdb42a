"""Time zones: finding one, and when its wall clock shows a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar

from dotflow.core.exception import ConfigurationError
from dotflow.core.module import nearest

HALF_A_DAY = timedelta(hours=12)


class Zones:
    """The zones that were asked for."""

    known: ClassVar[dict[str | None, tzinfo]] = {}


def zone_of(tz: str | tzinfo | None) -> tzinfo:
    """Return the zone that *tz* names; ``None`` is that of the machine."""
    if isinstance(tz, tzinfo):
        return tz
    found = Zones.known.get(tz)
    if found is None:
        if tz is not None and not isinstance(tz, str):
            raise ConfigurationError(f"tz={tz!r} is no time zone; give a name such as 'Europe/Berlin' or a tzinfo")
        found = _local() if tz is None else _named(tz)
        Zones.known[tz] = found
    return found


def _named(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo, available_timezones

    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # OSError: the name of a folder
        everything = available_timezones()
        hint = nearest(name, everything, 3) or ", for instance 'Europe/Berlin'"
        if not everything:
            hint = ": this machine has no time zones; install the package tzdata"
        raise ConfigurationError(f"tz={name!r} is not a time zone that this machine knows{hint}") from None


def _local() -> tzinfo:
    """The machine's zone, with its changes; where that cannot be found, its offset of now."""
    import os
    from zoneinfo import ZoneInfo

    name = os.environ.get("TZ", "").lstrip(":")
    try:
        if name:
            return ZoneInfo(name)
        path = os.path.realpath("/etc/localtime")
        if "zoneinfo/" in path:
            return ZoneInfo(path.partition("zoneinfo/")[2])
        with open(path, "rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (LookupError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def instant_of(wall: datetime, zone: tzinfo) -> datetime:
    """Return when the wall clock in *zone* shows *wall*, in UTC: the first time, or when it skips that time."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    return _change(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), first, zone)


def _change(low: datetime, high: datetime, zone: tzinfo) -> datetime:
    """Return when the offset changes between two instants, to the second."""
    before = low.astimezone(zone).utcoffset()
    low = low.replace(microsecond=0)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return low + timedelta(seconds=1)


def first_change(low: datetime, high: datetime, zone: tzinfo) -> datetime | None:
    """Return the first change of the offset later than *low* and not later than *high*."""
    before = low.astimezone(zone).utcoffset()
    while low < high:
        ahead = min(low + HALF_A_DAY, high)
        if ahead.astimezone(zone).utcoffset() != before:
            return _change(low, ahead, zone)
        low = ahead
    return None
