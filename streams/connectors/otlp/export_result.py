"""What an export request became, and the collector that keeps it within bounds."""

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
    """One span or log record that could not be used, or not whole.

    Attributes
    ----------
    where
        Trace and span id, or the position where those are what is wrong.
    reason
        Names the field and the fix; holds no payload.
    """

    where: str
    reason: str


@dataclass(slots=True)
class Normalised:
    """Events and labels of one export request, ready to be produced.

    Attributes
    ----------
    events
        Key and LLMEvent as JSON.
    feedback
        Key and Feedback as JSON.
    problems
        The first `MAX_PROBLEMS`; each is a span or record that was not used.
    rejected
        How many were not used: the ``rejected_spans`` of an OTLP answer.
    unmapped
        By name, GenAI attributes that found no place in an event; digits between dots are ``N``.
    size
        Bytes of the events.
    skipped
        Spans and records that are no LLM call, retrieval, verdict or label.
    repaired
        Whether the request was no valid Unicode and was repaired.
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
        """Count what was not used, and say why while there is room."""
        self.rejected += count
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(where, reason))

    def unknown(self, name: str, count: int = 1) -> None:
        """Count an attribute that found no place."""
        name = _INDEX.sub("N", name[:128])
        if name not in self.unmapped and len(self.unmapped) >= MAX_UNMAPPED_NAMES:
            name = OTHER
        self.unmapped[name] += count
