"""From nearly any mapping to one that the monitor's ``LLMEvent`` accepts."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from streamgauge.settings import Settings

Json = dict[str, Any]


def conform(event: Json, settings: Settings) -> Json:
    """Fill what is missing."""
    event.setdefault("kind", "call")
    event.setdefault("schema_version", 1)
    event["event_id"] = event.get("event_id") or uuid.uuid4().hex
    event["call_id"] = event.get("call_id") or event["event_id"]
    event["time"] = event.get("time") or datetime.now(UTC).isoformat()
    event["tenant"] = event.get("tenant") or settings.tenant
    event["app"] = event.get("app") or settings.app
    event["environment"] = event.get("environment") or settings.environment
    return event


def key_of(event: Json) -> bytes:
    """Return the record's key: the conversation where there is one, tenant and app otherwise."""
    return str(event.get("conversation_id") or f"{event['tenant']}/{event['app']}").encode()
