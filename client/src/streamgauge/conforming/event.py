"""The event as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamgauge.conforming import parts
from streamgauge.conforming.identity import MAX_ID, id_of, time_of
from streamgauge.conforming.numbers import MAX_MS, MAX_USD, bounded
from streamgauge.conforming.repairs import Json, Repairs
from streamgauge.conforming.text import optional_text, text_of
from streamgauge.ids import new_id
from streamgauge.settings import Settings

_KINDS = ("call", "request", "response", "fragment")  # tuples: what is looked up may be a list
_FRAGMENTS = ("span", "messages", "choices")


def conform_event(event: Json, settings: Settings) -> bool:
    """Make an event fit ``LLMEvent``, in place: fill what is missing, repair what does not fit.

    Returns
    -------
    bool
        Whether anything was repaired.
    """
    repairs = Repairs()
    _identify(event, settings, repairs)
    for name, value in event.items():
        fix = _FIELDS.get(name)
        if fix is not None:
            event[name] = fix(value, repairs)
    _agree(event, repairs)
    return repairs.made


def _identify(event: Json, settings: Settings, repairs: Repairs) -> None:
    event["schema_version"] = 1
    event.pop("input_issues", None)  # the monitor's field, not the service's
    event["event_id"] = id_of(event.get("event_id"), "", repairs) or new_id()
    event["call_id"] = id_of(event.get("call_id"), event["event_id"], repairs)
    event["time"] = time_of(event.get("time"), repairs)
    event["tenant"] = id_of(event.get("tenant"), settings.fallback_tenant, repairs)
    event["app"] = id_of(event.get("app"), settings.app, repairs)
    if not event["tenant"]:
        del event["tenant"]  # the gateway knows whose the API key is
    event["environment"] = text_of(event.get("environment"), repairs) or settings.environment


def _agree(event: Json, repairs: Repairs) -> None:
    """Settle what depends on more than one field."""
    kind = event.get("kind", "call")
    named = event.get("fragments")
    known = [fragment for fragment in _FRAGMENTS if isinstance(named, list) and fragment in named]
    if kind not in _KINDS or (kind == "request" and event.get("choices")) or (kind == "fragment" and not known):
        kind = repairs("call")
    event["kind"] = kind
    if "fragments" in event:
        event["fragments"] = known if kind == "fragment" else []


def _id(value: Any, repairs: Repairs) -> str | None:
    text = optional_text(value, repairs)
    return repairs(text[:MAX_ID]) if text and len(text) > MAX_ID else text


def _mapping(value: Any, repairs: Repairs) -> Json:
    return value if isinstance(value, dict) else ({} if value is None else repairs({}))


def _milliseconds(value: Any, repairs: Repairs) -> float | None:
    return bounded(value, MAX_MS, repairs)


def _usd(value: Any, repairs: Repairs) -> float | None:
    return bounded(value, MAX_USD, repairs)


def _each(one: Callable[[Any, Repairs], Json], most: int | None = None) -> Callable[[Any, Repairs], list[Json]]:
    return lambda value, repairs: parts.many(value, one, repairs)[:most]


_FIELDS: dict[str, Callable[[Any, Repairs], Any]] = {
    "conversation_id": _id,
    "user_id": optional_text,
    "prompt_name": text_of,
    "prompt_version": text_of,
    "provider": text_of,
    "request_model": text_of,
    "response_model": text_of,
    "system_fingerprint": optional_text,
    "parameters": _mapping,
    "messages": _each(parts.message),
    "documents": _each(parts.document),
    "choices": _each(parts.choice),
    "usage": parts.usage,
    "cost_usd": _usd,
    "latency_ms": _milliseconds,
    "ttft_ms": _milliseconds,
    "error": parts.error,
    "guardrails": _each(parts.verdict, parts.MAX_VERDICTS),
    "groups": parts.tags,
    "tags": parts.tags,
}
