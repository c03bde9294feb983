"""A scored row that is larger than its topic takes: what it says is kept, the texts it is about are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from schemas.event import merged_issues

ISSUE: Final = "event_truncated"
_FIELD_BYTES: Final = 1 << 10
_SIGNAL_BYTES: Final = 16 << 10


def reduced(row: bytes, most: int) -> bytes | None:
    """Return a scored row within a number of bytes, marked; None where even that is larger.

    Signals and identity stay, so that a huge event that is an attack is seen in the store: only its dead letter would
    else tell.
    """
    try:
        scored = orjson.loads(row)
    except orjson.JSONDecodeError:
        return None
    event = _small(scored["event"], _FIELD_BYTES)
    event["input_issues"] = issues = merged_issues(event.get("input_issues") or (), (ISSUE,))
    scored |= {"event": event, "signals": dict.fromkeys(scored["signals"]) | _small(scored["signals"], _SIGNAL_BYTES)}
    scored["input_issues"] = issues
    less = orjson.dumps(scored)
    return less if len(less) <= most else None


def _small(values: Mapping[str, Any], most: int) -> dict[str, Any]:
    return {name: value for name, value in values.items() if len(orjson.dumps(value)) <= most}
