"""Range planner: the next step of one partition, as a pure function over a small table of states.

The metadata of the committed offset carries the sink's whole memory, a `CommitMarker`. ``offset`` alone means "all
records before it are in ClickHouse". With ``end`` it means "the insert of [offset..end] was announced, and may or may
not have happened".

======== ================================ ============================================
Marker   Records read                     Step
======== ================================ ============================================
settled  none                             WAIT
settled  some, batch not due              WAIT
settled  some, batch due                  INSERT: commit the intent, insert, commit
intent   read position <= its end         WAIT: the same rows make the same insert
intent   position past it, some inside    REDO exactly [offset..end], same token
intent   position past it, none inside    SKIP: retention or compaction removed them
intent   a record before its start        RESET: the log was replaced; discard the marker
======== ================================ ============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import orjson

SourcePosition = tuple[int, int]
"""Source offset and sequence number of a scored record."""
NO_POSITION: SourcePosition = (-1, -1)


class Step(Enum):
    """Next step of a partition."""

    WAIT = "wait"
    INSERT = "insert"
    REDO = "redo"
    SKIP = "skip"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class CommitMarker:
    """Committed offset of a partition, with the announced range.

    Attributes
    ----------
    offset : int
        The committed offset; -1 if nothing was committed.
    end : int or None
        Last offset of the announced range.
    dedup_position : tuple of int
        Highest ``(source_offset, source_seq)`` before ``offset``; a scored record at or below it is a duplicate.

    Examples
    --------
    >>> CommitMarker.parse(7, CommitMarker(7, end=9).metadata())
    CommitMarker(offset=7, end=9, dedup_position=(-1, -1))
    """

    offset: int = -1
    end: int | None = None
    dedup_position: SourcePosition = NO_POSITION

    @classmethod
    def parse(cls, offset: int, metadata: str) -> CommitMarker:
        """Parse a committed marker; foreign metadata, such as that of an offset tool, gives an empty marker."""
        try:
            fields = orjson.loads(metadata or "{}")
            end, (source_offset, source_seq) = fields.get("end"), fields.get("seen", NO_POSITION)
            position = (int(source_offset), int(source_seq))
            end = None if end is None or int(end) < offset else int(end)
        except (ValueError, TypeError, AttributeError):
            return cls(offset)
        return cls(offset, end, position)

    def metadata(self) -> str:
        """Serialise the marker for the commit."""
        end = {} if self.end is None else {"end": self.end}
        return orjson.dumps(end | {"seen": self.dedup_position}).decode()

    def intent(self, first: int, last: int) -> CommitMarker:
        """Return the marker that announces an insert of [first..last]."""
        return replace(self, offset=first, end=last)

    def settled(self, dedup_position: SourcePosition) -> CommitMarker:
        """Return the marker after the announced range is in ClickHouse."""
        if self.end is None:
            raise ValueError(f"{self}: no range is announced; call intent() first")
        return CommitMarker(self.end + 1, None, max(self.dedup_position, dedup_position))


def next_step(marker: CommitMarker, offsets: Sequence[int], position: int, *, due: bool) -> Step:
    """Return the next step of a partition.

    Parameters
    ----------
    marker : CommitMarker
        Committed marker.
    offsets : sequence of int
        Offsets that are read and not settled, ascending.
    position : int
        Offset that the consumer reads next.
    due : bool
        Whether the batch is large or old enough.

    Examples
    --------
    >>> next_step(CommitMarker(5, end=7), [5, 6], 7, due=True)
    <Step.WAIT: 'wait'>
    >>> next_step(CommitMarker(5, end=7), [5, 6], 9, due=False)  # compaction removed 7
    <Step.REDO: 'redo'>
    """
    if marker.end is None:
        return Step.INSERT if offsets and due else Step.WAIT
    if offsets and offsets[0] < marker.offset:
        return Step.RESET
    if position <= marker.end:
        return Step.WAIT
    return Step.REDO if offsets and offsets[0] <= marker.end else Step.SKIP


def range_size(marker: CommitMarker, step: Step, offsets: Sequence[int], max_records: int) -> int:
    """Return how many of ``offsets`` the step covers: the announced range, or the next batch."""
    if step is Step.REDO and marker.end is not None:
        return sum(o <= marker.end for o in offsets)
    return min(max_records, len(offsets)) if step is Step.INSERT else 0
