"""How many questions an hour of event time may cost."""

from __future__ import annotations

import json
from dataclasses import dataclass

HOUR_MS = 3_600_000


def share_of(budget: int, partition: int, partitions: int) -> int:
    """Return a partition's part of a budget: whoever owns it, the parts add up to the whole.

    Examples
    --------
    >>> [share_of(10, p, 4) for p in range(4)]
    [3, 3, 2, 2]
    """
    each, over = divmod(budget, partitions)
    return each + (partition < over)


@dataclass(slots=True)
class HourlyBudget:
    """Counts what one partition has spent in the hour at hand.

    The hour is that of event time, and only goes on: late events are paid by the present hour. It never passes the
    time at which the record was written, or a client could open new hours by dating its events ahead.

    Parameters
    ----------
    limit
        Questions an hour.
    hour, used
        The hour at hand, in hours since 1970, and what it has cost.

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
        """Spend one question on an event; False if the hour has none left."""
        hour = min(event_ms, written_ms) // HOUR_MS
        if hour > self.hour:
            self.hour, self.used = hour, 0
        if self.used >= self.limit:
            return False
        self.used += 1
        return True

    def metadata(self) -> str:
        """Return what goes into the commit: offset and budget are one record, and a restart asks nothing twice."""
        return json.dumps({"hour": self.hour, "used": self.used}, separators=(",", ":"))

    @classmethod
    def from_metadata(cls, limit: int, metadata: str) -> HourlyBudget:
        """Continue from what was committed; an unreadable note is one of an earlier version, and begins anew."""
        try:
            kept = json.loads(metadata)
            return cls(limit, int(kept["hour"]), int(kept["used"]))
        except (ValueError, KeyError, TypeError):
            return cls(limit)
