"""Requests of one sender: a bounded number at once, of which one is worked on at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from schemas.errors import RequestError

_RETRY_S = 1.0


@dataclass(slots=True)
class Turn:
    """A sender's turn to be worked on.

    Attributes
    ----------
    requests
        Requests of the sender that have been let in, the current one included.
    lock
        Held while a body is unpacked or its events are read. Python works on one body at a time anyway; without the
        lock a sender of many expensive bodies would get most of the time.
    """

    requests: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Turns:
    """The turns of all senders that have a request at hand.

    Parameters
    ----------
    most
        Requests of one sender at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[str, Turn] = {}

    def enter(self, holder: str) -> Turn:
        """Let a request in, until it is told to `leave`; raise `RequestError` (429) if the sender has too many."""
        turn = self._of.get(holder)
        if turn is None:
            turn = self._of[holder] = Turn()
        elif turn.requests >= self._most:
            most = f"{self._most} requests of one key at once (ingest.requests_per_key)"
            raise RequestError(f"{most}; wait for their answers", 429, "requests", _RETRY_S)
        turn.requests += 1
        return turn

    def leave(self, holder: str) -> None:
        """Take note of the end of a request."""
        turn = self._of[holder]
        turn.requests -= 1
        if not turn.requests:
            del self._of[holder]
