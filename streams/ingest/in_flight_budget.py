"""The budget of in-flight bytes: bounded, and shared fairly between senders."""

from __future__ import annotations

from collections import Counter

from schemas.errors import RequestError
from streams.runtime.metrics import INGEST_IN_FLIGHT

_RETRY_S = 1.0
SHARES = 4
"""Maximum size of a body as a fraction of the limit, 1 / SHARES: free even if one sender holds its whole share."""


class InFlightBudget:
    """Budget of bytes received and not yet acknowledged by Kafka, including those of abandoned requests.

    A sender may hold at most as many bytes as remain free: a single sender half of the limit, n senders 1 / (n + 1)
    each. So a new sender always finds free bytes, and no bytes are reserved for idle senders.

    Parameters
    ----------
    limit
        Maximum bytes in flight.

    References
    ----------
    Choudhury, A. and Hahne, E. (1998). Dynamic queue length thresholds for shared-memory packet switches. IEEE/ACM
    Transactions on Networking 6(2).

    Examples
    --------
    >>> budget = InFlightBudget(120)
    >>> budget.fits("a", 60), budget.fits("a", 61)
    (True, False)
    >>> budget.change("a", 60)
    >>> budget.fits("b", 30), budget.fits("b", 31)
    (True, False)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._held: Counter[str] = Counter()

    def fits(self, holder: str, size: int) -> bool:
        """Return True if a sender may reserve ``size`` more bytes."""
        return self._held[holder] + size <= self.limit - self.used - size

    def is_held_by(self, holder: str) -> bool:
        """Return True if a sender holds more than half of the used bytes."""
        return self._held[holder] * 2 > self.used

    def change(self, holder: str, delta: int) -> None:
        """Reserve bytes for a sender; release bytes if ``delta`` is negative."""
        self.used += delta
        self._held[holder] += delta
        if not self._held[holder]:
            del self._held[holder]
        INGEST_IN_FLIGHT.set(self.used)


class Reservation:
    """Reserved bytes of one request, with a reference count.

    Both the request and its write to Kafka hold a reference. The producer keeps records that a request no longer waits
    for; if they were not counted, an unavailable broker would fill the memory with them.

    Parameters
    ----------
    budget
        Budget of all requests.
    holder
        Sender of the request.
    """

    def __init__(self, budget: InFlightBudget, holder: str) -> None:
        self._budget = budget
        self._holder = holder
        self._size = 0
        self._references = 1

    def check(self, size: int) -> None:
        """Raise `RequestError` (503) if ``size`` more bytes do not fit.

        The status is not 429, even if the sender itself holds most bytes: its requests may be waiting for Kafka.
        """
        if self._budget.fits(self._holder, size):
            return
        limit = f"limit of {self._budget.limit:,} bytes in flight (ingest.in_flight_bytes)"
        if self._budget.is_held_by(self._holder):
            raise RequestError(f"{limit}: this key uses its share; send less at once", 503, "key share", _RETRY_S)
        raise RequestError(f"{limit}: {size:,} more bytes do not fit; try again later", 503, "no room", _RETRY_S)

    def grow(self, size: int) -> None:
        """Reserve ``size`` more bytes; raise `RequestError` (503) if they do not fit."""
        self.check(size)
        self._size += size
        self._budget.change(self._holder, size)

    def hold(self) -> None:
        """Add a reference."""
        self._references += 1

    def release(self) -> None:
        """Drop a reference; the last release returns the bytes to the budget."""
        self._references -= 1
        if self._references == 0:
            self._budget.change(self._holder, -self._size)
