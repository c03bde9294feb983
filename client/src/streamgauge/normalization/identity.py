"""Ids, times and the Kafka key of a record."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from streamgauge.normalization.repair_flag import Json, RepairFlag
from streamgauge.normalization.text import to_text

MAX_ID = 256
_SPAN_CALL_ID = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")
"""``call_id`` of a call from OpenTelemetry: trace id and span id."""


def to_id(value: Any, default: str, repaired: RepairFlag) -> str:
    """Convert to an id of 1 to 256 characters; return the default for an empty value."""
    text = to_text(value, repaired)
    if not text:
        return default
    return text if len(text) <= MAX_ID else repaired(text[:MAX_ID])


def now() -> str:
    """Return the current time in the format of the contracts."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def to_timestamp(value: Any, repaired: RepairFlag) -> str:
    """Convert to an ISO time with zone, between 1971 and 2199; return the current time for invalid values.

    A time without a zone is read as UTC, a number as seconds since 1970.
    """
    if value is None:
        return now()
    try:
        time = _parse(value)
        if time.tzinfo is UTC and 1970 < time.year < 2200 and _is_canonical(value):
            return value  # type: ignore[no-any-return] # the value is a text then
        time = time.astimezone(UTC) if time.tzinfo else repaired(time.replace(tzinfo=UTC))
        if 1970 < time.year < 2200:
            return time.isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        pass
    return repaired(now())


def _parse(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if type(value) in (int, float):
        return datetime.fromtimestamp(value, UTC)
    raise ValueError(type(value))


def _is_canonical(value: Any) -> bool:
    """Return whether a valid time has the output format already, as nine of ten have; it is then not formatted."""
    return type(value) is str and len(value) in {20, 27} and value[10] == "T" and value[-1] == "Z" and "," not in value


def partition_key(event: Json) -> bytes:
    """Return the record's Kafka key: the conversation, or tenant and app if there is none or the call is a span.

    Feedback gets the key of its event by the same rule, so both go to one partition.
    """
    conversation: str | None = event.get("conversation_id")
    if conversation and not _SPAN_CALL_ID.fullmatch(event["call_id"]):
        return conversation.encode()
    return f"{event.get('tenant', '')}/{event['app']}".encode()
