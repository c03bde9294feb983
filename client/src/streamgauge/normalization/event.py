"""Normalization of an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamgauge.ids import new_id
from streamgauge.normalization import fields
from streamgauge.normalization.identity import MAX_ID, to_id, to_timestamp
from streamgauge.normalization.numbers import MAX_MS, MAX_USD, bounded
from streamgauge.normalization.repair_flag import Json, RepairFlag
from streamgauge.normalization.text import to_optional_text, to_text
from streamgauge.settings import Settings

_KINDS = ("call", "request", "response", "fragment")  # a tuple: the value looked up may be an unhashable list
_FRAGMENTS = ("span", "messages", "choices")


def normalize_event(event: Json, settings: Settings) -> bool:
    """Normalize an event to ``LLMEvent`` in place: fill in missing fields, repair invalid ones.

    Returns
    -------
    bool
        Whether a field was repaired.
    """
    repaired = RepairFlag()
    _identify(event, settings, repaired)
    for name, value in event.items():
        normalize = _FIELDS.get(name)
        if normalize is not None:
            event[name] = normalize(value, repaired)
    _reconcile(event, repaired)
    return repaired.is_set


def _identify(event: Json, settings: Settings, repaired: RepairFlag) -> None:
    event["schema_version"] = 1
    event.pop("input_issues", None)  # set by the monitor only
    event["event_id"] = to_id(event.get("event_id"), "", repaired) or new_id()
    event["call_id"] = to_id(event.get("call_id"), event["event_id"], repaired)
    event["time"] = to_timestamp(event.get("time"), repaired)
    event["tenant"] = to_id(event.get("tenant"), settings.fallback_tenant, repaired)
    event["app"] = to_id(event.get("app"), settings.app, repaired)
    if not event["tenant"]:
        del event["tenant"]  # the ingest service takes the tenant from the API key
    event["environment"] = to_text(event.get("environment"), repaired) or settings.environment


def _reconcile(event: Json, repaired: RepairFlag) -> None:
    """Repair fields that depend on each other."""
    kind = event.get("kind", "call")
    fragments = event.get("fragments")
    known = [fragment for fragment in _FRAGMENTS if isinstance(fragments, list) and fragment in fragments]
    if kind not in _KINDS or (kind == "request" and event.get("choices")) or (kind == "fragment" and not known):
        kind = repaired("call")
    event["kind"] = kind
    if "fragments" in event:
        event["fragments"] = known if kind == "fragment" else []


def _id(value: Any, repaired: RepairFlag) -> str | None:
    text = to_optional_text(value, repaired)
    return repaired(text[:MAX_ID]) if text and len(text) > MAX_ID else text


def _mapping(value: Any, repaired: RepairFlag) -> Json:
    return value if isinstance(value, dict) else ({} if value is None else repaired({}))


def _milliseconds(value: Any, repaired: RepairFlag) -> float | None:
    return bounded(value, MAX_MS, repaired)


def _usd(value: Any, repaired: RepairFlag) -> float | None:
    return bounded(value, MAX_USD, repaired)


def _list_of(
    item: Callable[[Any, RepairFlag], Json], limit: int | None = None
) -> Callable[[Any, RepairFlag], list[Json]]:
    return lambda value, repaired: fields.to_list(value, item, repaired)[:limit]


_FIELDS: dict[str, Callable[[Any, RepairFlag], Any]] = {
    "conversation_id": _id,
    "user_id": to_optional_text,
    "prompt_name": to_text,
    "prompt_version": to_text,
    "provider": to_text,
    "request_model": to_text,
    "response_model": to_text,
    "system_fingerprint": to_optional_text,
    "parameters": _mapping,
    "messages": _list_of(fields.message),
    "documents": _list_of(fields.document),
    "choices": _list_of(fields.choice),
    "usage": fields.usage,
    "cost_usd": _usd,
    "latency_ms": _milliseconds,
    "ttft_ms": _milliseconds,
    "error": fields.error,
    "guardrails": _list_of(fields.verdict, fields.MAX_VERDICTS),
    "groups": fields.to_string_map,
    "tags": fields.to_string_map,
}
