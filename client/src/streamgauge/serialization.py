"""Serialization of a published event: normalization, content policy, truncation, JSON."""

from __future__ import annotations

import time
from typing import Any

import orjson

from streamgauge.content.policy import ContentPolicy
from streamgauge.content.truncation import truncate_event
from streamgauge.normalization import find_fault, normalize_event, normalize_feedback, partition_key
from streamgauge.settings import Settings

GIL_YIELD_S = 0.0005


class RejectedEvent(Exception):  # noqa: N818 - never reaches the host
    """An event that cannot be sent.

    Attributes
    ----------
    reason
        Key under which the drop is counted.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class EventSerializer:
    """Converter from a queued event to topic, key and value. Background thread only.

    Attributes
    ----------
    content_policy
        Content mode, redaction and truncation; counts the truncated texts.
    repaired
        Number of events changed to fit the schema.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.content_policy = ContentPolicy(settings, yield_gil)
        self.repaired = 0

    def serialize(self, raw: bytes) -> tuple[str, bytes, bytes]:
        """Return the short topic name, the key and the value of a record.

        Raises
        ------
        RejectedEvent
            If the event cannot be sent.
        """
        event: Any = orjson.loads(raw)
        if type(event) is not dict:
            raise RejectedEvent("invalid", "not an event; publish a mapping")
        is_feedback = event.get("kind") == "feedback"
        self.repaired += (normalize_feedback if is_feedback else normalize_event)(event, self._settings)
        if is_feedback and (fault := find_fault(event)) is not None:
            raise RejectedEvent("invalid", fault)
        self.content_policy.apply(event, len(raw))
        return "feedback" if is_feedback else "events", partition_key(event), self._to_json(event)

    def _to_json(self, event: dict[str, Any]) -> bytes:
        settings = self._settings
        value = truncate_event(event, settings.max_event_bytes, self.content_policy.truncate, settings.max_field_chars)
        if value is None:
            message = f"larger than max_event_bytes={settings.max_event_bytes}, even with its texts truncated"
            raise RejectedEvent("too_large", message)
        return value


def yield_gil() -> None:
    """Let the host's threads run."""
    time.sleep(GIL_YIELD_S)
