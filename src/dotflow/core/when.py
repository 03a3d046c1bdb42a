"""When a schedule is due: pure values, without a clock.

Each answers ``next(after)``: the first instant later than *after*, or ``None`` if there is none. Answers are in UTC,
because two datetimes of one zone are compared by their wall clocks, which the hour that is repeated has twice;
``rule.local(instant)`` shows them in the rule's zone. Rules read wall clocks in that zone, the machine's by default.

Where the clocks are changed, the rule of Debian's cron holds. A **fixed-time** rule (neither minute nor hour begins
with ``*``) whose time is skipped is due once, at the instant of the change; one whose time is repeated is due the
first time only. Every other rule follows the wall clock: what is skipped does not come, what is repeated comes twice,
as two different instants. ``Every`` counts seconds and knows nothing of clocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import ConfigurationError
from dotflow.core.zones import first_change, instant_of, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TINY, DAY = timedelta(microseconds=1), timedelta(days=1)
NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = (  # as cronsim counts them: name, what it takes, an example
    ("second", "0-59", "*/10"),
    ("minute", "0-59", "*/15"),
    ("hour", "0-23", "9-17"),
    ("day of month", "1-31, L or LW", "1,15"),
    ("month", "1-12 or JAN-DEC", "1-6"),
    ("day of week", "0-7 or SUN-SAT (0 and 7 are Sunday), 5L or 5#2", "MON-FRI"),
)


class When(ABC):
    """Base of the rules."""

    __slots__ = ()

    @abstractmethod
    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after*, in UTC; ``None`` if there is none."""

    @property
    def zone(self) -> tzinfo:
        """Where the rule reads wall clocks."""
        return UTC

    def local(self, instant: datetime) -> datetime:
        """Return *instant* as the rule's zone has it."""
        return instant.astimezone(self.zone)

    def coming(self, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """Give every instant later than *after*, up to and including *until*."""
        found = self.next(after)
        while found is not None and (until is None or found <= until):
            yield found
            found = self.next(found)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """Return the last instant later than *after* and not later than *until*, however many there are."""
        found = self.next(_aware(after, "latest"))
        if found is None or found > until:
            return None
        low, high = found, until  # next(low) may be due; next(high) is not
        while (following := self.next(low)) is not None and following <= until:
            found = following
            middle = low + (high - low) / 2
            ahead = self.next(middle)
            if ahead is not None and ahead <= until:
                found = low = ahead
            else:
                high, low = middle, following
        return found


@dataclass(frozen=True, slots=True)
class Cron(When):
    """A line as cron takes it, read with Debian's rules.

    Args:
        line: Minute, hour, day of month, month, day of week; a sixth field in front is the second. Or a name:
            ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``.
        tz: Name of a time zone, or a ``tzinfo``; ``None`` is the machine's.

    Raises:
        ConfigurationError: a line or a zone that cannot be; names the field.
    """

    line: str
    tz: str | tzinfo | None = None

    def __post_init__(self) -> None:
        _checked_line(self.line)
        zone_of(self.tz)

    @property
    def zone(self) -> tzinfo:
        """Where the rule reads wall clocks."""
        return zone_of(self.tz)

    @property
    def fixed(self) -> bool:
        """Whether the line names times of the day, rather than an interval."""
        minute, hour = _parts(self.line)[-5:-3]
        return not minute.startswith("*") and not hour.startswith("*")

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after*."""
        start, zone = _aware(after, "next").astimezone(UTC), self.zone
        try:
            return self._once(start, zone) if self.fixed else self._by_the_wall(start, zone)
        except (StopIteration, OverflowError):
            return None

    def _walls(self, wall: datetime) -> Iterator[datetime]:
        from cronsim import CronSim

        return CronSim(" ".join(_parts(self.line)), wall.replace(tzinfo=None))

    def _once(self, after: datetime, zone: tzinfo) -> datetime:
        walls = self._walls(after.astimezone(zone))
        while (found := instant_of(next(walls), zone)) <= after:
            pass
        return found

    def _by_the_wall(self, after: datetime, zone: tzinfo) -> datetime:
        """Search one period after the other in which the offset stays; cronsim errs where half an hour is repeated."""
        local = after.astimezone(zone)
        while True:
            offset = local.utcoffset() or timedelta(0)
            found = (next(self._walls(local)) - offset).replace(tzinfo=UTC)
            change = first_change(after, found, zone)
            if change is None:
                return found
            after, local = change, change.astimezone(zone)
            local -= timedelta(seconds=1)  # of its wall clock: the change itself may be due
            local = local.replace(tzinfo=timezone(after.astimezone(zone).utcoffset() or timedelta(0)))


@dataclass(frozen=True, slots=True)
class Every(When):
    """Every so many seconds, counted from an anchor: no drift, no wall clock.

    Args:
        seconds: The interval: seconds, or a ``timedelta``; more than 0.
        anchor: An instant that is due, and nothing before it; ``None`` counts from 1970 on, in UTC.
    """

    seconds: float | timedelta
    anchor: datetime | None = None

    def __post_init__(self) -> None:
        interval_of(self.seconds, "Every")
        if self.anchor is not None:
            _aware(self.anchor, "Every(anchor=...)")

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after*."""
        anchor = (self.anchor or EPOCH).astimezone(UTC)
        step = interval_of(self.seconds, "Every")
        if _aware(after, "next") < anchor:
            return anchor
        try:
            return anchor + ((after - anchor) // step + 1) * step
        except OverflowError:
            return None


@dataclass(frozen=True, slots=True, init=False)
class At(When):
    """At one or more moments.

    Args:
        *moments: Datetimes, or texts such as ``2027-03-01T09:00``; without an offset they are wall clocks in *tz*.
        tz: Name of a time zone, or a ``tzinfo``. Without it every moment needs an offset.
    """

    moments: tuple[datetime, ...]
    tz: str | tzinfo | None

    def __init__(self, *moments: datetime | str, tz: str | tzinfo | None = None) -> None:
        if not moments:
            raise ConfigurationError("At() needs at least one moment, for instance At('2027-03-01T09:00+00:00')")
        zone = None if tz is None else zone_of(tz)
        object.__setattr__(self, "moments", tuple(sorted({_moment(each, zone) for each in moments})))
        object.__setattr__(self, "tz", tz)

    @property
    def zone(self) -> tzinfo:
        """Where the rule reads wall clocks."""
        return zone_of(self.tz)

    def next(self, after: datetime) -> datetime | None:
        """Return the first moment later than *after*."""
        _aware(after, "next")
        return next((moment for moment in self.moments if moment > after), None)


@dataclass(frozen=True, slots=True, init=False)
class AnyOf(When):
    """When any of several rules is due; once, where two are due together."""

    rules: tuple[When, ...]

    def __init__(self, *rules: When) -> None:
        if not rules:
            raise ConfigurationError("AnyOf() needs at least one rule")
        object.__setattr__(self, "rules", tuple(_rule(each, "AnyOf") for each in rules))

    @property
    def zone(self) -> tzinfo:
        """That of the first rule."""
        return self.rules[0].zone

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after*."""
        return min((found for rule in self.rules if (found := rule.next(after)) is not None), default=None)


@dataclass(frozen=True, slots=True, init=False)
class Between(When):
    """A rule, within a window of the day.

    Args:
        rule: What is due.
        start: When the window opens, as ``"09:00"`` or a ``time``; included.
        end: When it closes; not included. Earlier than *start*: on the following day.
        tz: The zone of the two; by default that of the rule.
    """

    rule: When
    start: time
    end: time
    tz: str | tzinfo | None

    def __init__(self, rule: When, start: time | str, end: time | str, tz: str | tzinfo | None = None) -> None:
        object.__setattr__(self, "rule", _rule(rule, "Between"))
        for name, given in (("start", start), ("end", end)):
            object.__setattr__(self, name, _clock(given, name))
        if self.start == self.end:
            raise ConfigurationError(f"Between(start=..., end=...) is empty: both are {self.start:%H:%M:%S}")
        if tz is not None:
            zone_of(tz)
        object.__setattr__(self, "tz", tz)

    @property
    def zone(self) -> tzinfo:
        """Where the rule reads wall clocks."""
        return self.rule.zone if self.tz is None else zone_of(self.tz)

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after* within the window."""
        found, zone = self.rule.next(after), self.zone
        for _ in range(MOST_DAYS):
            if found is None:
                return None
            wall = found.astimezone(zone)
            if self._holds(wall.time()):
                return found
            opening = datetime.combine(wall.date(), self.start)
            while (opens := instant_of(opening, zone)) <= found:
                opening += DAY
            found = self.rule.next(opens - TINY)
        return None

    def _holds(self, clock: time) -> bool:
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


@dataclass(frozen=True, slots=True)
class Jitter(When):
    """A rule, each instant of it later by something from 0 to so many seconds.

    The delay is computed from the instant, so that it is the same in every process.

    Args:
        rule: What is due.
        seconds: The longest delay.
        seed: Gives other delays: the name of the schedule, for instance.
    """

    rule: When
    seconds: float
    seed: str = ""

    def __post_init__(self) -> None:
        _rule(self.rule, "Jitter")
        interval_of(self.seconds, "Jitter")

    @property
    def zone(self) -> tzinfo:
        """That of the rule."""
        return self.rule.zone

    def next(self, after: datetime) -> datetime | None:
        """Return the first delayed instant later than *after*."""
        best: datetime | None = None
        longest = interval_of(self.seconds, "Jitter")
        for due in self.rule.coming(_aware(after, "next") - longest - TINY):
            if best is not None and due >= best:
                break
            delayed = due + longest * self._share(due)
            if delayed > after and (best is None or delayed < best):
                best = delayed
        return best

    def _share(self, due: datetime) -> float:
        import hashlib

        digest = hashlib.blake2b(f"{self.seed} {due.isoformat()}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big") / 2**32


@dataclass(frozen=True, slots=True, init=False)
class Except(When):
    """A rule, but not on certain days.

    Args:
        rule: What is due.
        dates: ``date`` values or texts such as ``2026-12-25``.
        tz: The zone that says when a day begins; by default that of the rule.
    """

    rule: When
    dates: frozenset[date]
    tz: str | tzinfo | None

    def __init__(self, rule: When, dates: Iterable[date | str], tz: str | tzinfo | None = None) -> None:
        object.__setattr__(self, "rule", _rule(rule, "Except"))
        object.__setattr__(
            self, "dates", frozenset(_day(each) for each in ([dates] if isinstance(dates, (date, str)) else dates))
        )
        if tz is not None:
            zone_of(tz)
        object.__setattr__(self, "tz", tz)

    def __repr__(self) -> str:
        return f"Except({self.rule!r}, {sorted(map(str, self.dates))}, tz={self.tz!r})"

    @property
    def zone(self) -> tzinfo:
        """Where the rule reads wall clocks."""
        return self.rule.zone if self.tz is None else zone_of(self.tz)

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant later than *after* on another day."""
        found, zone = self.rule.next(after), self.zone
        while found is not None and (day := found.astimezone(zone).date()) in self.dates:
            found = self.rule.next(instant_of(datetime.combine(day + DAY, time()), zone) - TINY)
        return found


MOST_DAYS = 20_000  # after so many days outside its window a rule is taken never to be due


# -- bad input --------------------------------------------------------------------------------------------


def interval_of(value: Any, name: str) -> timedelta:
    """Return *value*, seconds or a ``timedelta``, as an interval."""
    if isinstance(value, timedelta):
        found = value
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigurationError(f"{name}(seconds=...) needs a number above 0 or a timedelta, got {value!r}")
    else:
        try:
            found = timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise ConfigurationError(
                f"{name}(seconds=...) needs a number above 0, in a timedelta's range, got {value!r}"
            ) from None
    if found <= timedelta(0):
        raise ConfigurationError(f"{name}(seconds=...) needs a number above 0, got {value!r}")
    return found


def _parts(line: str) -> list[str]:
    return NAMES.get(line.strip().lower(), line).split()


def _checked_line(line: object) -> None:
    from cronsim import CronSim, CronSimError
    from cronsim.cronsim import Field

    if not isinstance(line, str) or not line.strip():
        raise ConfigurationError(f"a cron line is a text such as '0 9 * * MON-FRI', got {line!r}")
    if line.strip().startswith("@") and line.strip().lower() not in NAMES:
        raise ConfigurationError(f"cron {line!r}: there is no such name; there are {', '.join(NAMES)}")
    parts = _parts(line)
    if len(parts) not in (5, 6):
        raise ConfigurationError(
            f"cron {line!r} has {len(parts)} field{'s' * (len(parts) != 1)}; expected 5 (minute, hour, day of month, "
            "month, day of week) or 6 (second first), for instance '30 2 * * *'"
        )
    for position, part in enumerate(parts, start=6 - len(parts)):
        name, takes, example = FIELDS[position]
        try:
            Field(position).parse(part.upper())
        except (CronSimError, ValueError, AssertionError):
            raise ConfigurationError(
                f"cron {line!r}: the field {name} is {part!r}; expected *, {takes}, lists (,), ranges (-) and "
                f"steps (/), for instance {example!r}"
            ) from None
    try:
        next(CronSim(" ".join(parts), datetime(2024, 1, 1)))
    except (CronSimError, StopIteration):
        raise ConfigurationError(f"cron {line!r} is never due: no such day of month exists in these months") from None


def _aware(moment: object, where: str) -> datetime:
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{where} needs a datetime, got {moment!r}")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ConfigurationError(
            f"{where} needs a datetime with a time zone, got {moment!r}; for instance datetime(..., tzinfo=UTC)"
        )
    return moment


def instant(value: object, where: str, zone: tzinfo | None = None) -> datetime:
    """Return *value*, a datetime or its text, in UTC; one without an offset is a wall clock in *zone*."""
    found = value
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            raise ConfigurationError(
                f"{where}: {value!r} is no moment; write it like 2027-03-01T09:00 or 2027-03-01T09:00+01:00"
            ) from None
    if isinstance(found, datetime) and found.tzinfo is None and zone is not None:
        return instant_of(found, zone)
    return _aware(found, where).astimezone(UTC)


def _moment(value: object, zone: tzinfo | None) -> datetime:
    return instant(value, "At(...), without tz=," if zone is None else "At(...)", zone)


def _clock(value: object, name: str) -> time:
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(
                f"Between({name}=...) needs a time of the day such as '09:00', got {value!r}"
            ) from None
    if not isinstance(value, time) or value.tzinfo is not None:
        raise ConfigurationError(f"Between({name}=...) needs a time of the day without a zone, got {value!r}")
    return value


def _day(value: object) -> date:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ConfigurationError(f"Except(dates=...) needs dates such as '2026-12-25', got {value!r}") from None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ConfigurationError(f"Except(dates=...) needs dates, got {value!r}")
    return value


def _rule(rule: object, name: str) -> When:
    if not isinstance(rule, When):
        raise ConfigurationError(f"{name}(...) needs a rule (Cron, Every, At ...), got {rule!r}")
    return rule
