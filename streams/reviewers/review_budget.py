"""The hourly budget of reviews, in event time."""

from __future__ import annotations

import json
from dataclasses import dataclass

HOUR_MS = 3_600_000


def partition_share(budget: int, partition: int, partitions: int) -> int:
    """Return a partition's share of a budget; the shares of all partitions add up to the budget.

    Examples
    --------
    >>> [partition_share(10, p, 4) for p in range(4)]
    [3, 3, 2, 2]
    """
    share, remainder = divmod(budget, partitions)
    return share + (partition < remainder)


@dataclass(slots=True)
class HourlyBudget:
    """Reviews of one partition in the current hour.

    The hour is an hour of event time and never goes back: late events are charged to the current hour. The hour never
    passes the time at which the record was written, or a client could open new hours with future dates.

    Parameters
    ----------
    limit
        Maximum reviews per hour.
    hour, used
        Current hour, in hours since 1970, and reviews charged to it.

    Examples
    --------
    >>> budget = HourlyBudget(1)
    >>> [budget.take(ms, written_ms=2 * HOUR_MS) for ms in (0, 5, HOUR_MS, 9 * HOUR_MS, 9 * HOUR_MS)]
    [True, False, True, True, False]
    """

    limit: int
    hour: int = -1
    used: int = 0

    def take(self, event_ms: int, written_ms: int) -> bool:
        """Charge one review; return False if the budget of the hour is spent."""
        hour = min(event_ms, written_ms) // HOUR_MS
        if hour > self.hour:
            self.hour, self.used = hour, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def metadata(self) -> str:
        """Return the commit metadata: offset and budget are committed together, so a restart reviews nothing twice."""
        return json.dumps({"hour": self.hour, "used": self.used}, separators=(",", ":"))

    @classmethod
    def from_metadata(cls, limit: int, metadata: str) -> HourlyBudget:
        """Return the committed budget; a new budget if the metadata has another format (an earlier version)."""
        try:
            committed = json.loads(metadata)
            return cls(limit, int(committed["hour"]), int(committed["used"]))
        except (ValueError, KeyError, TypeError):
            return cls(limit)
