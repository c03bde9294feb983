"""What to do next with one partition: a small table of states, as a pure function.

The committed offset's metadata carries the sink's whole memory, a `Mark`. ``offset`` alone means "all before it is in
ClickHouse"; with ``end`` it means "[offset..end] was about to be inserted, and may or may not have been".

======== ============================= ==========================================
Mark     What was read                 Step
======== ============================= ==========================================
settled  nothing                       WAIT
settled  records, batch not due        WAIT
settled  records, batch due            INSERT: commit the intent, insert, commit
intent   read position <= its end      WAIT: the same rows make the same insert
intent   position past it, some in it  REDO exactly [offset..end], same token
intent   position past it, none in it  SKIP: retention or compaction took them
intent   a record before its begin     RESET: the log was replaced; forget it
======== ============================= ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import orjson

Seen = tuple[int, int]
NOTHING_SEEN: Seen = (-1, -1)


class Step(Enum):
    """What to do with a partition."""

    WAIT = "wait"
    INSERT = "insert"
    REDO = "redo"
    SKIP = "skip"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is committed for a partition.

    Attributes
    ----------
    offset : int
        The committed offset; -1 where nothing was ever committed.
    end : int or None
        Last offset of the range that was about to be inserted.
    seen : tuple of int
        Highest ``(source_offset, source_seq)`` before ``offset``; a scored record at or below it is a repeat.

    Examples
    --------
    >>> Mark.parse(7, Mark(7, end=9).metadata())
    Mark(offset=7, end=9, seen=(-1, -1))
    """

    offset: int = -1
    end: int | None = None
    seen: Seen = NOTHING_SEEN

    @classmethod
    def parse(cls, offset: int, metadata: str) -> Mark:
        """Read a mark back; metadata that is not ours (a tool moved the offset) is an empty one."""
        try:
            said = orjson.loads(metadata or "{}")
            end, (source_offset, source_seq) = said.get("end"), said.get("seen", NOTHING_SEEN)
            seen = (int(source_offset), int(source_seq))
            end = None if end is None or int(end) < offset else int(end)
        except (ValueError, TypeError, AttributeError):
            return cls(offset)
        return cls(offset, end, seen)

    def metadata(self) -> str:
        """Write it for the commit."""
        end = {} if self.end is None else {"end": self.end}
        return orjson.dumps(end | {"seen": self.seen}).decode()

    def intent(self, first: int, last: int) -> Mark:
        """Return the mark that announces an insert of [first..last]."""
        return replace(self, offset=first, end=last)

    def settled(self, seen: Seen) -> Mark:
        """Return the mark after the announced range is in ClickHouse."""
        if self.end is None:
            raise ValueError(f"{self}: no range was announced")
        return Mark(self.end + 1, None, max(self.seen, seen))


def decide(mark: Mark, offsets: Sequence[int], position: int, *, due: bool) -> Step:
    """Say what to do with a partition.

    Parameters
    ----------
    mark : Mark
        What is committed.
    offsets : sequence of int
        Offsets read and not yet settled, ascending.
    position : int
        The offset that the consumer reads next.
    due : bool
        Whether the batch is large or old enough.

    Examples
    --------
    >>> decide(Mark(5, end=7), [5, 6], 7, due=True)
    <Step.WAIT: 'wait'>
    >>> decide(Mark(5, end=7), [5, 6], 9, due=False)  # 7 was compacted away
    <Step.REDO: 'redo'>
    """
    if mark.end is None:
        return Step.INSERT if offsets and due else Step.WAIT
    if offsets and offsets[0] < mark.offset:
        return Step.RESET
    if position <= mark.end:
        return Step.WAIT
    return Step.REDO if offsets and offsets[0] <= mark.end else Step.SKIP


def take(mark: Mark, step: Step, offsets: Sequence[int], most: int) -> int:
    """Return how many of ``offsets`` the step covers: an intent's own range, or the next batch."""
    if step is Step.REDO and mark.end is not None:
        return sum(o <= mark.end for o in offsets)
    return min(most, len(offsets)) if step is Step.INSERT else 0
