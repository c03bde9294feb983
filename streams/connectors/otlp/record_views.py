"""Spans and log records as the dialects read them, whichever encoding they came in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

Attributes: TypeAlias = "dict[str, Any]"
"""Name to str, bool, int, float, list, dict, bytes or None."""


class Happening(NamedTuple):
    """A span event."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class SpanView:
    """One span."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    status: str
    attributes: Attributes
    happenings: Sequence[Happening]
    scope: str
    resource: Mapping[str, Any]
    issues: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The span's name in a problem."""
        return f"span {self.trace_id or '?'}-{self.span_id or '?'}"


@dataclass(slots=True)
class LogView:
    """One log record."""

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
        """The record's name in a problem."""
        return f"log record of span {self.trace_id or '?'}-{self.span_id or '?'}"


Reject: TypeAlias = Callable[[str, str], None]
Spans: TypeAlias = "Iterator[SpanView | None]"
"""None stands for a span that is no GenAI span, as far as a look at its names tells."""
Logs: TypeAlias = "Iterator[LogView | None]"
