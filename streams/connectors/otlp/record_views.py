"""Views of spans and log records for the dialects, independent of the encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Attributes: TypeAlias = "dict[str, Any]"
"""Values (str, bool, int, float, list, dict, bytes or None) by name."""


class SpanEvent(NamedTuple):
    """A span event."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class SpanView:
    """A span."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    status: str
    attributes: Attributes
    events: Sequence[SpanEvent]
    scope: str
    resource: Mapping[str, Any]
    issues: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The name of the span in problems."""
        return f"span {self.trace_id or '?'}-{self.span_id or '?'}"


@dataclass(slots=True)
class LogView:
    """A log record."""

    trace_id: str
    span_id: str
    time_ns: int
    name: str
    body: Any
    attributes: Attributes
    scope: str
    resource: Mapping[str, Any]
    issues: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The name of the record in problems."""
        return f"log record of span {self.trace_id or '?'}-{self.span_id or '?'}"


Reject: TypeAlias = Callable[[str, str], None]
Spans: TypeAlias = "Iterator[SpanView | None]"
"""None stands for a span without GenAI names."""
Logs: TypeAlias = "Iterator[LogView | None]"
