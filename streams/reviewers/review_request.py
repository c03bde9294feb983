"""From a scored record to the questions it gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.errors import RecordError
from schemas.event import LLMEvent
from streams.reviewers.selection import Selection, Why
from streams.runtime.decode import MAX_RECORD_BYTES, MAX_VALUES, check_size


@dataclass(frozen=True, slots=True)
class Question:
    """One event about which a reviewer is asked.

    Attributes
    ----------
    probability
        With which an event like this is chosen, the budget aside.
    partition, offset
        Of the source record.
    """

    event: LLMEvent
    signal: str
    why: Why
    probability: float
    partition: int
    offset: int


def questions(value: bytes | None, selection: Selection) -> Iterator[Question]:
    """Yield the questions of one record of ``llm.scored``; of one that is no scored event there are none."""
    row = _read(value)
    if row is None:
        return
    event: LLMEvent | None = None
    for signal, why, probability in selection.of(row):
        if event is None:
            try:
                event = LLMEvent.model_validate(row["event"])
            except ValidationError:
                return
        yield Question(event, signal, why, probability, row["source_partition"], row["source_offset"])


def _read(value: bytes | None) -> dict[str, Any] | None:
    try:
        check_size(value or b"", 2 * MAX_RECORD_BYTES, 2 * MAX_VALUES)
        row = orjson.loads(value or b"")
    except (orjson.JSONDecodeError, RecordError):
        return None
    wanted = {"event": dict, "signals": dict, "source_partition": int, "source_offset": int}
    fits = isinstance(row, dict) and all(isinstance(row.get(name), kind) for name, kind in wanted.items())
    return row if fits else None
