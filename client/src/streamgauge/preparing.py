"""From what the host published to the record that is sent: defaults, content mode, redaction, truncation, bytes."""

from __future__ import annotations

import time
from typing import Any

import orjson

from streamgauge.conforming import conform_event, conform_feedback, fault_of, key_of
from streamgauge.content.fitting import fit
from streamgauge.content.outgoing import Outgoing
from streamgauge.settings import Settings

_BREATH_S = 0.0005


class Unpublishable(Exception):  # noqa: N818 - it never reaches the host
    """There is no way to send an event.

    Attributes
    ----------
    reason
        How it is counted.
    """

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


class Preparer:
    """Turns queued events into topics, keys and values. Used by our thread only.

    Attributes
    ----------
    outgoing
        What decides on the texts; it counts what it cut.
    repaired
        Events changed to fit the schema.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.outgoing = Outgoing(settings, _breathe)
        self.repaired = 0

    def prepare(self, raw: bytes) -> tuple[str, bytes, bytes]:
        """Return short topic name, key and value.

        Raises
        ------
        Unpublishable
            If there is no way to send it.
        """
        event: Any = orjson.loads(raw)
        if type(event) is not dict:
            raise Unpublishable("invalid", "not an event: give a mapping")
        label = event.get("kind") == "feedback"
        self.repaired += (conform_feedback if label else conform_event)(event, self._settings)
        if label and (fault := fault_of(event)) is not None:
            raise Unpublishable("invalid", fault)
        self.outgoing.apply(event, len(raw))
        return "feedback" if label else "events", key_of(event), self._encode(event)

    def _encode(self, event: dict[str, Any]) -> bytes:
        settings = self._settings
        value = fit(event, settings.max_event_bytes, self.outgoing.cut, settings.max_field_chars)
        if value is None:
            raise Unpublishable("too_large", f"larger than max_event_bytes={settings.max_event_bytes}, even when cut")
        return value


def _breathe() -> None:
    time.sleep(_BREATH_S)
