"""The time of a stream, by which its windows close and its alerts end: the highest event time that can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DAY_MS = 86_400_000
BELIEVED = 32
"""Events ahead, more than others between them, that are believed."""


@dataclass(slots=True)
class StreamClock:
    """The highest event time, unless few events claim it.

    An event no more than ``step_ms`` ahead of the time is taken at its word. One that is further ahead is counted: the
    time goes there once `BELIEVED` more events were ahead than not, to the earliest of theirs. So a host with a wrong
    clock makes nobody else late, and a stream that goes on after a pause is followed.

    The first ``doubted`` events begin it with the earliest time among them: the very first may be the wrong one.

    Parameters
    ----------
    step_ms
        How far a single event may move the time.
    doubted
        How many events of the stream come before there is a time.

    Attributes
    ----------
    now
        In milliseconds since 1970; 0 before there is a time.

    Examples
    --------
    >>> clock = StreamClock(step_ms=1000)
    >>> [clock.advance(at) for at in (5_000, 6_000, 5_500, 90_000, 6_100)]
    [5000, 6000, 6000, 6000, 6100]
    >>> [clock.advance(90_000 + k) for k in range(40)][-1]
    90039
    """

    step_ms: int
    doubted: int = 0
    now: int = 0
    ahead: int = 0
    _earliest: int = 0

    def advance(self, at: int) -> int:
        """Take the time of the next event; return that of the stream."""
        if self.doubted:
            self._earliest = min(self._earliest, at) if self._earliest else at
            self.doubted -= 1
            self.now = 0 if self.doubted else self._earliest
            return self.now
        if self.now == 0 or at <= self.now + self.step_ms:
            self.now = max(self.now, at)
            self.ahead -= self.ahead > 0
            return self.now
        self._earliest = min(self._earliest, at) if self.ahead else at
        self.ahead += 1
        if self.ahead == BELIEVED:
            self.now, self.ahead = self._earliest, 0
        return self.now

    def state(self) -> list[int]:
        """Everything needed to continue."""
        return [self.doubted, self.now, self.ahead, self._earliest]

    def restore(self, state: Sequence[int]) -> None:
        """Continue from a state."""
        self.doubted, self.now, self.ahead, self._earliest = map(int, state)
