"""Conversion between nanoseconds since 1970 and the times and durations of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_SECOND: Final = 10**9
_FIRST: Final = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())
_DAY_MS: Final = 86_400_000.0


def iso(nanoseconds: int) -> str | None:
    """Return a time in the event's format; None outside 1971 to 2199, the years that ClickHouse can store.

    Examples
    --------
    >>> iso(1_767_225_600_123_456_789), iso(0), iso(-1)
    ('2026-01-01T00:00:00.123456Z', None, None)
    """
    second, rest = divmod(nanoseconds, _SECOND)
    return f"{_to_the_second(second)}.{rest // 1000:06d}Z" if _FIRST <= second < _LAST else None


@lru_cache(maxsize=4096)
def _to_the_second(second: int) -> str:
    # Cached: formatting takes a microsecond, and the spans of a batch lie within a few seconds.
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def milliseconds(start_ns: int, end_ns: int) -> float | None:
    """Return a duration in milliseconds; None if it is negative or longer than a day."""
    elapsed = (end_ns - start_ns) / 1e6
    return round(elapsed, 3) if 0.0 <= elapsed <= _DAY_MS else None


def nanoseconds(text: str) -> int | None:
    """Return the nanoseconds of an ISO 8601 time with a time zone; None if the text is not one."""
    try:
        moment = datetime.fromisoformat(text.strip('"'))
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp() * 1e6) * 1000
