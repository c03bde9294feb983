"""Metrics of converted spans and log records."""

from __future__ import annotations

from streams.connectors.otlp import Normalised
from streams.runtime.metrics import OTLP_RECORDS, OTLP_UNMAPPED

_MAX_NAMES = 500
_OTHERS = "(others)"
_names: set[str] = set()


def count(signal: str, result: Normalised) -> None:
    """Count the outcomes of an export request; ``signal`` is ``spans`` or ``logs``."""
    outcomes = {
        "event": len(result.events),
        "feedback": len(result.feedback),
        "skipped": result.skipped,
        "rejected": result.rejected,
    }
    for outcome, number in outcomes.items():
        OTLP_RECORDS.labels(signal, outcome).inc(number)
    for name, number in result.unmapped.items():
        OTLP_UNMAPPED.labels(_bounded(name)).inc(number)


def _bounded(name: str) -> str:
    """Return the name, or ``(others)`` above `_MAX_NAMES`: senders choose names, and a metric keeps each forever."""
    if name not in _names and len(_names) >= _MAX_NAMES:
        return _OTHERS
    _names.add(name)
    return name
