"""The dialect of the semantic conventions since 1.37: ``gen_ai.input.messages``, ``gen_ai.output.messages``.

A message is ``{role, parts: [{type, ...}], finish_reason}``, as JSON text (spans) or structured (spans, events).
Messages in OpenAI's format, which some libraries write, are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    compact,
    decode_content,
    flat,
    message,
    openai_message,
    role,
    tool_call,
    tool_calls,
)
from streams.connectors.otlp.request_limits import MAX_PARTS

INPUT: Final = "gen_ai.input.messages"
OUTPUT: Final = "gen_ai.output.messages"
SYSTEM: Final = "gen_ai.system_instructions"
_NAMES: Final = frozenset({INPUT, OUTPUT, SYSTEM})
_CALLS: Final = frozenset({"tool_call", "server_tool_call", "tool_use"})
_RESULTS: Final = frozenset({"tool_call_response", "server_tool_call_response", "tool_result"})


def read(attributes: Mapping[str, Any]) -> Content:
    """Return the content in the attributes of this dialect; empty if there are none."""
    out = Content()
    if attributes.keys().isdisjoint(_NAMES):
        return out
    if system := decode_content(attributes.get(SYSTEM), out):
        out.messages.append(message("system", flat(system)))
    for item in bounded(decode_content(attributes.get(INPUT), out) or []):
        out.messages += normalised_messages(item)
    for item in bounded(decode_content(attributes.get(OUTPUT), out) or []):
        out.choices.append(_choice(item))
    return out


def normalised_messages(item: Any) -> list[dict[str, Any]]:
    """Return a message in the event's format, preceded by one message for each tool result in it."""
    if not isinstance(item, dict):
        return [message("user", flat(item))]
    parts = item.get("parts")
    if not isinstance(parts, list):
        return [openai_message(item)]
    if (text := _only_text(parts)) is not None:
        return [message(role(item.get("role")), text)]
    out = [_result(p) for p in parts[:MAX_PARTS] if _is(p, _RESULTS)]
    rest = [p for p in parts if not _is(p, _RESULTS)] if out else parts
    text, calls = flat(rest), _calls(rest)
    if text or calls or not out:
        out.append(message(role(item.get("role")), text, calls))
    return out


def _only_text(parts: list[Any]) -> str | None:
    """Return the text of a message with one text part, the most frequent case; None for all other messages."""
    if len(parts) == 1 and isinstance(part := parts[0], dict) and part.get("type") == "text":
        text = part.get("content")
        return text if isinstance(text, str) else None
    return None


def _is(part: Any, kinds: frozenset[str]) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and kind in kinds


def _result(part: Mapping[str, Any]) -> dict[str, Any]:
    names = ("response", "result", "content", "server_tool_call_response")
    response = next((part[name] for name in names if name in part), None)
    return message("tool", flat(response), None, part.get("id", part.get("tool_use_id")))


def _calls(parts: list[Any]) -> list[dict[str, str]]:
    return [
        tool_call(p.get("id"), p.get("name"), p.get("arguments", p.get("input", p.get("server_tool_call"))))
        for p in parts[:MAX_PARTS]
        if _is(p, _CALLS)
    ]


def _choice(item: Any) -> dict[str, Any]:
    if not isinstance(item, dict):
        return choice(compact(item), None)
    parts = item.get("parts")
    if isinstance(parts, list):
        if (text := _only_text(parts)) is not None:
            return choice(text, item.get("finish_reason"))
        return choice(flat(parts), item.get("finish_reason"), _calls(parts))
    return choice(flat(item.get("content")), item.get("finish_reason"), tool_calls(item.get("tool_calls")))
