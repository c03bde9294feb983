"""Fair scheduling of requests: per sender a bounded number of requests, processed one at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from schemas.errors import RequestError

_RETRY_S = 1.0


@dataclass(slots=True)
class Turn:
    """The requests of one sender and the lock that serialises them.

    Attributes
    ----------
    requests
        Number of admitted requests of the sender, including the current one.
    lock
        Held while a body is unpacked or its events are parsed. Python processes one body at a time anyway; without the
        lock a sender of many expensive bodies would get most of the CPU time.
    """

    requests: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Turns:
    """Turns of all senders with current requests.

    Parameters
    ----------
    max_requests
        Maximum concurrent requests of one sender.
    """

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._turns: dict[str, Turn] = {}

    def enter(self, holder: str) -> Turn:
        """Admit a request, until `leave`; raise `RequestError` (429) if the sender has too many requests."""
        turn = self._turns.get(holder)
        if turn is None:
            turn = self._turns[holder] = Turn()
        elif turn.requests >= self._max_requests:
            limit = f"this key has {self._max_requests} concurrent requests (ingest.requests_per_key)"
            raise RequestError(f"{limit}; wait for their responses", 429, "requests", _RETRY_S)
        turn.requests += 1
        return turn

    def leave(self, holder: str) -> None:
        """End a request."""
        turn = self._turns[holder]
        turn.requests -= 1
        if not turn.requests:
            del self._turns[holder]
