"""The result of an export request: events, labels and problems, within limits."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from streams.connectors.otlp.request_limits import MAX_PROBLEMS, MAX_UNMAPPED_NAMES

OTHER: Final = "(other)"
_INDEX = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """A span or log record that was rejected as a whole or in part.

    Attributes
    ----------
    where
        Trace and span id, or the position in the request if the ids are invalid.
    reason
        Names the field and the fix; contains no payload.
    """

    where: str
    reason: str


@dataclass(slots=True)
class Normalised:
    """Events and labels of an export request, ready to be written to Kafka.

    Attributes
    ----------
    events
        Key and LLMEvent as JSON.
    feedback
        Key and Feedback as JSON.
    problems
        The first `MAX_PROBLEMS` problems, one per rejected span or record.
    rejected
        Number of rejected spans or records: ``rejected_spans`` of an OTLP response.
    unmapped
        Count of unmapped GenAI attributes by name; digits are replaced by ``N``.
    size
        Total bytes of the events.
    skipped
        Number of spans and records that are not an LLM call, retrieval, verdict or label.
    repaired
        True if the request was invalid Unicode and was repaired.
    """

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    feedback: list[tuple[bytes, bytes]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    rejected: int = 0
    unmapped: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    size: int = 0
    repaired: bool = False

    def reject(self, where: str, reason: str, count: int = 1) -> None:
        """Count rejected spans or records, and record the problem, up to `MAX_PROBLEMS`."""
        self.rejected += count
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(where, reason))

    def unknown(self, name: str, count: int = 1) -> None:
        """Count an unmapped attribute."""
        name = _INDEX.sub("N", name[:128])
        if name not in self.unmapped and len(self.unmapped) >= MAX_UNMAPPED_NAMES:
            name = OTHER
        self.unmapped[name] += count
