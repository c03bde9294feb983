"""From what the host published to the record that is sent: defaults, content mode, redaction, truncation, bytes."""

from __future__ import annotations

from typing import Any

import orjson

from streamgauge.conform import conform, key_of
from streamgauge.settings import Settings


class Unpublishable(Exception):  # noqa: N818 - it never reaches the host
    """This event cannot be sent.

    Attributes
    ----------
    reason
        How it is counted.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class Preparer:
    """Turns queued events into keys and values. Used by our thread only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.repaired = 0
        self.truncated = 0
        self.redaction_errors = 0

    def prepare(self, raw: bytes) -> tuple[str, bytes, bytes]:
        """Return topic, key and value."""
        event: Any = orjson.loads(raw)
        topic = "feedback" if event.get("kind") == "feedback" else "events"
        event = conform(event, self._settings)
        return topic, key_of(event), orjson.dumps(event)
