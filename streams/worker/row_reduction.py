"""Reduction of scored rows that exceed their topic's record size: signals stay, large texts are removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from schemas.event import merged_issues

ISSUE: Final = "event_truncated"
_FIELD_BYTES: Final = 1 << 10
_SIGNAL_BYTES: Final = 16 << 10


def reduce_row(row: bytes, max_bytes: int) -> bytes | None:
    """Return a scored row reduced to ``max_bytes`` and marked as truncated; None if the reduced row is too large.

    Identity and signals stay. Without them, only the dead letter would show that a huge event was an attack.
    """
    try:
        scored = orjson.loads(row)
    except orjson.JSONDecodeError:
        return None
    event = _fields_within(scored["event"], _FIELD_BYTES)
    event["input_issues"] = issues = merged_issues(event.get("input_issues") or (), (ISSUE,))
    signals = dict.fromkeys(scored["signals"]) | _fields_within(scored["signals"], _SIGNAL_BYTES)
    scored |= {"event": event, "signals": signals}
    scored["input_issues"] = issues
    reduced = orjson.dumps(scored)
    return reduced if len(reduced) <= max_bytes else None


def _fields_within(values: Mapping[str, Any], max_bytes: int) -> dict[str, Any]:
    return {name: value for name, value in values.items() if len(orjson.dumps(value)) <= max_bytes}
