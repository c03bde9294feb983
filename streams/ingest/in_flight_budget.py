"""Memory of the bodies in flight: bounded, and shared fairly between senders."""

from __future__ import annotations

from collections import Counter

from schemas.errors import RequestError
from streams.runtime.metrics import INGEST_IN_FLIGHT

_RETRY_S = 1.0
SHARES = 4
"""A body is at most this part of the limit: so much stays free while one sender holds all that it may."""


class Room:
    """Bytes received and not yet written to Kafka, those of requests that were given up on included.

    A sender may hold as much as stays free for the others: one sender alone half of the limit, n senders a part of
    n + 1 each. So there is always room for one more, and nothing is set aside for senders that are silent.

    Parameters
    ----------
    limit
        Most bytes.

    References
    ----------
    Choudhury, A. and Hahne, E. (1998). Dynamic queue length thresholds for shared-memory packet switches. IEEE/ACM
    Transactions on Networking 6(2).

    Examples
    --------
    >>> room = Room(120)
    >>> room.has_room("a", 60), room.has_room("a", 61)
    (True, False)
    >>> room.change("a", 60)
    >>> room.has_room("b", 30), room.has_room("b", 31)
    (True, False)
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._held: Counter[str] = Counter()

    def has_room(self, holder: str, size: int) -> bool:
        """Return whether a sender may take so many more bytes."""
        return self._held[holder] + size <= self.limit - self.used - size

    def crowded_by(self, holder: str) -> bool:
        """Return whether a sender itself holds most of what is used."""
        return self._held[holder] * 2 > self.used

    def change(self, holder: str, by: int) -> None:
        """Take bytes for a sender, or give them back."""
        self.used += by
        self._held[holder] += by
        if not self._held[holder]:
            del self._held[holder]
        INGEST_IN_FLIGHT.set(self.used)


class Lease:
    """The room of one request, given back when the last who holds it lets go.

    The request holds it, and so does what is written for it: Kafka's producer keeps records that a request no longer
    waits for, and a broker that is away would fill the memory with them.

    Parameters
    ----------
    room
        Shared by all requests.
    holder
        The sender whose request it is.
    """

    def __init__(self, room: Room, holder: str) -> None:
        self._room = room
        self._holder = holder
        self._size = 0
        self._holders = 1

    def check(self, size: int) -> None:
        """Raise `RequestError` (503) if there is no room for so many bytes.

        Not 429 where the sender itself holds most: its requests may wait for Kafka.
        """
        if self._room.has_room(self._holder, size):
            return
        most = f"{self._room.limit:,} bytes in flight (ingest.in_flight_bytes)"
        if self._room.crowded_by(self._holder):
            raise RequestError(f"{most}: this key holds its share; send less at once", 503, "key share", _RETRY_S)
        raise RequestError(f"{most}: no room for more; try again", 503, "no room", _RETRY_S)

    def grow(self, size: int) -> None:
        """Take more room; raise `RequestError` as `check` does."""
        self.check(size)
        self._size += size
        self._room.change(self._holder, size)

    def hold(self) -> None:
        """Hold it once more."""
        self._holders += 1

    def release(self) -> None:
        """Let go; the last one gives the room back."""
        self._holders -= 1
        if self._holders == 0:
            self._room.change(self._holder, -self._size)
