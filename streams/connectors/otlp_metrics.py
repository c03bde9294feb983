"""What became of spans and log records, as metrics of the process."""

from __future__ import annotations

from streams.connectors.otlp import Normalised
from streams.runtime.metrics import OTLP_RECORDS, OTLP_UNMAPPED

_MOST_NAMES = 500
_OTHERS = "(others)"
_names: set[str] = set()


def count(signal: str, found: Normalised) -> None:
    """Count what one export request became; ``signal`` is ``spans`` or ``logs``."""
    outcomes = {
        "event": len(found.events),
        "feedback": len(found.feedback),
        "skipped": found.skipped,
        "rejected": found.rejected,
    }
    for outcome, number in outcomes.items():
        OTLP_RECORDS.labels(signal, outcome).inc(number)
    for name, number in found.unmapped.items():
        OTLP_UNMAPPED.labels(_known(name)).inc(number)


def _known(name: str) -> str:
    """Return the name while there is room: names come from outside, and a metric keeps each for ever."""
    if name not in _names and len(_names) >= _MOST_NAMES:
        return _OTHERS
    _names.add(name)
    return name
