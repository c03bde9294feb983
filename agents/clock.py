"""The time of a stream, by which its windows close and its alerts end: as late an event time as can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from agents.fit import counts, time_ms

DAY_MS = 86_400_000
BELIEVED, ALONE = 32, 256
"""Events ahead, more than others between them, that are believed: of any applications, and of one where a batch of one
host's events may not be enough."""


@dataclass(slots=True)
class StreamClock:
    """The highest event time, but for one that few events claim.

    An event no more than ``step_ms`` ahead of the time is taken at its word. One that is further ahead is counted: the
    time goes on, to the earliest of theirs, once `BELIEVED` more events were ahead than not, ``alone`` if all are of
    one application. So a host with a wrong clock makes nobody else late unless most of the stream is its, or so many of
    its events come in a row; and a stream that goes on after a pause is followed.

    The first ``doubted`` events begin it with the earliest time among them: the very first may be the wrong one. Where
    single events are further apart than ``step_ms``, the time is as many events behind.

    Parameters
    ----------
    step_ms
        How far a single event may move the time.
    alone
        How many events of one application are believed.
    doubted
        How many events of the stream come before there is a time.

    Attributes
    ----------
    now
        In milliseconds since 1970; 0 before there is a time. It never goes back.
    ahead
        Events that are not believed yet.

    Examples
    --------
    >>> clock = StreamClock(step_ms=1000)
    >>> [clock.advance(at) for at in (5_000, 6_000, 5_500, 90_000, 6_100)]
    [5000, 6000, 6000, 6000, 6100]
    >>> [clock.advance(90_000 + k, app) for k in range(20) for app in ("chat", "search")][-1]
    90019
    """

    step_ms: int = DAY_MS
    alone: int = BELIEVED
    doubted: int = 0
    now: int = 0
    ahead: int = 0
    _earliest: int = 0
    _whose: int = 0
    _several: int = 0

    def advance(self, at: int, whose: str = "") -> int:
        """Take the time of the next event, and which application's it is; return that of the stream."""
        if self.doubted:
            self._earliest = min(self._earliest, at) if self._earliest else at
            self.doubted -= 1
            self.now = 0 if self.doubted else self._earliest
        elif self.now == 0 or at <= self.now + self.step_ms:
            self.now = max(self.now, at)
            self.ahead = 0 if self.now >= self._earliest else max(0, self.ahead - 1)
        else:
            self._count(at, crc32(whose.encode()))
        return self.now

    def _count(self, at: int, whose: int) -> None:
        if not self.ahead:
            self._earliest, self._whose, self._several = at, whose, 0
        self._earliest = min(self._earliest, at)
        self._several |= whose != self._whose
        self.ahead += 1
        if self.ahead >= (BELIEVED if self._several else self.alone):
            self.now, self.ahead = self._earliest, 0

    def state(self) -> list[int]:
        """Everything needed to continue."""
        return [self.doubted, self.now, self.ahead, self._earliest, self._whose, self._several]

    def restore(self, state: Sequence[int]) -> None:
        """Continue from a state."""
        doubted, now, ahead, earliest, whose, several = map(int, state)
        counts(doubted, ahead, whose, several)
        time_ms(now, earliest)
        self.doubted, self.now, self.ahead = doubted, now, ahead
        self._earliest, self._whose, self._several = earliest, whose, several
