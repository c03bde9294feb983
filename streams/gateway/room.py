"""How many bytes are under way: bounded, and refused beyond."""

from __future__ import annotations

from types import TracebackType

from schemas.errors import RequestError
from streams.metrics import INGEST_IN_FLIGHT

_RETRY_S = 1.0


class Room:
    """Bytes received and not yet written to Kafka, those of requests that were given up on included.

    Parameters
    ----------
    limit
        The most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def change(self, by: int) -> None:
        """Take room, or give it back."""
        self.used += by
        INGEST_IN_FLIGHT.set(self.used)


class Lease:
    """The room of one request, given back when the last who holds it lets go.

    The request holds it, and so does what is written for it: Kafka's producer keeps records that a request no longer
    waits for, and a broker that is away would fill the memory with them.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0
        self._holders = 1

    def grow(self, size: int) -> None:
        """Take more room; raise `RequestError` (503) if there is none."""
        if self._room.used + size > self._room.limit:
            most = f"{self._room.limit:,} bytes under way (ingest.in_flight_bytes)"
            raise RequestError(f"{most}: no room for more; try again", 503, "no room", _RETRY_S)
        self._size += size
        self._room.change(size)

    def hold(self) -> None:
        """Hold it once more."""
        self._holders += 1

    def release(self) -> None:
        """Let go; the last one gives the room back."""
        self._holders -= 1
        if self._holders == 0:
            self._room.change(-self._size)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
