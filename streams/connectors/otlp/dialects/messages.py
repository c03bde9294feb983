"""Semantic conventions 1.37 and later: ``gen_ai.input.messages``, ``gen_ai.output.messages``, system instructions.

A message is ``{role, parts: [{type, ...}], finish_reason}``, in JSON text (spans) or structured (spans, events). Some
libraries put messages of OpenAI's shape there; these are read too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    compact,
    flat,
    message,
    openai_message,
    role,
    told,
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
    """Return what these attributes say; empty where they are missing."""
    out = Content()
    if attributes.keys().isdisjoint(_NAMES):
        return out
    if system := told(attributes.get(SYSTEM), out):
        out.messages.append(message("system", flat(system)))
    for said in bounded(told(attributes.get(INPUT), out) or []):
        out.messages += spoken(said)
    for said in bounded(told(attributes.get(OUTPUT), out) or []):
        out.choices.append(_choice(said))
    return out


def spoken(said: Any) -> list[dict[str, Any]]:
    """Return one message, and one more for each tool result in it."""
    if not isinstance(said, dict):
        return [message("user", flat(said))]
    parts = said.get("parts")
    if not isinstance(parts, list):
        return [openai_message(said)]
    if (text := _only_text(parts)) is not None:
        return [message(role(said.get("role")), text)]
    out = [_result(p) for p in parts[:MAX_PARTS] if _is(p, _RESULTS)]
    rest = [p for p in parts if not _is(p, _RESULTS)] if out else parts
    text, calls = flat(rest), _calls(rest)
    if text or calls or not out:
        out.append(message(role(said.get("role")), text, calls))
    return out


def _only_text(parts: list[Any]) -> str | None:
    """Return the text of parts that are one text, as most are; None for any others."""
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


def _choice(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        return choice(compact(said), None)
    parts = said.get("parts")
    if isinstance(parts, list):
        if (text := _only_text(parts)) is not None:
            return choice(text, said.get("finish_reason"))
        return choice(flat(parts), said.get("finish_reason"), _calls(parts))
    return choice(flat(said.get("content")), said.get("finish_reason"), tool_calls(said.get("tool_calls")))
