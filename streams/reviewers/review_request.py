"""Review requests of a scored record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.errors import RecordError
from schemas.event import LLMEvent
from streams.reviewers.selection import Selection, SelectionReason
from streams.runtime.decode import MAX_RECORD_BYTES, MAX_VALUES, check_size


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """A request to review one signal of one event.

    Attributes
    ----------
    reason
        Reason for the selection of the event.
    probability
        Selection probability, ignoring the budget.
    partition, offset
        Partition and offset of the source record.
    """

    event: LLMEvent
    signal: str
    reason: SelectionReason
    probability: float
    partition: int
    offset: int


def review_requests(value: bytes | None, selection: Selection) -> Iterator[ReviewRequest]:
    """Yield the review requests of one record of ``llm.scored``; none if the record is not a scored event."""
    row = _parse(value)
    if row is None:
        return
    event: LLMEvent | None = None
    for signal, reason, probability in selection.select(row):
        if event is None:
            try:
                event = LLMEvent.model_validate(row["event"])
            except ValidationError:
                return
        yield ReviewRequest(event, signal, reason, probability, row["source_partition"], row["source_offset"])


def _parse(value: bytes | None) -> dict[str, Any] | None:
    try:
        check_size(value or b"", 2 * MAX_RECORD_BYTES, 2 * MAX_VALUES)
        row = orjson.loads(value or b"")
    except (orjson.JSONDecodeError, RecordError):
        return None
    required = {"event": dict, "signals": dict, "source_partition": int, "source_offset": int}
    valid = isinstance(row, dict) and all(isinstance(row.get(name), kind) for name, kind in required.items())
    return row if valid else None
