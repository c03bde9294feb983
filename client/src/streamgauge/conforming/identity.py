"""Who and when: ids, times, and the key that decides where a record goes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from streamgauge.conforming.repairs import Json, Repairs
from streamgauge.conforming.text import text_of

MAX_ID = 256
_SPAN = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")
"""The id of a call that the monitor has from OpenTelemetry: of its trace and its span."""


def id_of(value: Any, default: str, repairs: Repairs) -> str:
    """Return an id of 1 to 256 characters."""
    text = text_of(value, repairs)
    if not text:
        return default
    return text if len(text) <= MAX_ID else repairs(text[:MAX_ID])


def now() -> str:
    """Return the time as the contracts want it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def time_of(value: Any, repairs: Repairs) -> str:
    """Return an ISO time with its zone, between 1971 and 2199; the present where nothing better is known.

    A time without a zone is taken as UTC, a number as seconds since 1970.
    """
    if value is None:
        return now()
    try:
        at = _read(value)
        if at.tzinfo is UTC and 1970 < at.year < 2200 and _is_plain(value):
            return value  # type: ignore[no-any-return] # a text, then
        at = at.astimezone(UTC) if at.tzinfo else repairs(at.replace(tzinfo=UTC))
        if 1970 < at.year < 2200:
            return at.isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        pass
    return repairs(now())


def _read(value: Any) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if type(value) in (int, float):
        return datetime.fromtimestamp(value, UTC)
    raise ValueError(type(value))


def _is_plain(value: Any) -> bool:
    """Return whether a time that was read is written as we write it: nine of ten are, and need not be written anew."""
    return type(value) is str and len(value) in {20, 27} and value[10] == "T" and value[-1] == "Z" and "," not in value


def key_of(event: Json) -> bytes:
    """Return the record's key: the conversation where there is one, tenant and app otherwise and for any span's call.

    Labels take the key of the event they are about, by the same rule, so both meet in one partition.
    """
    conversation: str | None = event.get("conversation_id")
    if conversation and not _SPAN.fullmatch(event["call_id"]):
        return conversation.encode()
    return f"{event.get('tenant', '')}/{event['app']}".encode()
