"""Messages, documents, choices, usage, errors, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from streamgauge.conforming.numbers import MAX_MS, bounded, finite, tokens
from streamgauge.conforming.repairs import Json, Repairs
from streamgauge.conforming.text import content_of, optional_text, text_of

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_OTHER_ROLES = {"function": "tool", "human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant"}
_VERDICTS = ("pass", "flag", "block", "error")  # tuples: what is looked up may be a list
_MODES = ("pre", "post", None)
_USAGE = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
MAX_VERDICTS = 64


def many(value: Any, one: Callable[[Any, Repairs], Json], repairs: Repairs) -> list[Json]:
    """Return a list with each of its items conformed; a single item becomes a list of one."""
    if type(value) is not list:
        value = [] if value is None else repairs([value])
    return [one(item, repairs) for item in value]


def message(value: Any, repairs: Repairs) -> Json:
    """Conform one message of the prompt."""
    if not isinstance(value, dict):
        return repairs({"role": "user", "content": content_of(value, repairs)})
    role = value.get("role")
    if len(value) == 2 and isinstance(role, str) and role in ROLES and type(value.get("content")) is str:
        return value  # as most are
    if not isinstance(role, str) or role not in ROLES:
        value["role"] = repairs(_OTHER_ROLES.get(role, "user") if isinstance(role, str) else "user")
    _each(value, _MESSAGE, repairs)
    return value


def tool_call(value: Any, repairs: Repairs) -> Json:
    """Conform one tool call; the OpenAI shape, with ``function`` inside, is known."""
    if not isinstance(value, dict):
        return repairs({"name": content_of(value, repairs)})
    function = value.get("function")
    if type(function) is dict and "name" not in value:
        rest = {k: v for k, v in value.items() if k not in {"function", "type"}}
        return tool_call(
            repairs({**rest, "name": function.get("name"), "arguments": function.get("arguments")}), repairs
        )
    value.setdefault("name", "")
    _each(value, _TOOL_CALL, repairs)
    return value


def document(value: Any, repairs: Repairs) -> Json:
    """Conform one retrieved passage."""
    if not isinstance(value, dict):
        return repairs({"text": content_of(value, repairs)})
    if "text" not in value:
        value["text"] = repairs(value.get("page_content", value.get("content")))
    _each(value, _DOCUMENT, repairs)
    return value


def choice(value: Any, repairs: Repairs) -> Json:
    """Conform one answer; the OpenAI shape, with ``message`` inside, is known."""
    if not isinstance(value, dict):
        return repairs({"content": content_of(value, repairs)})
    inside = value.get("message")
    if type(inside) is dict and "content" not in value:
        rest = {k: v for k, v in value.items() if k != "message"}
        return choice(repairs({"content": None, **rest, **inside}), repairs)
    _each(value, _CHOICE, repairs)
    return value


def usage(value: Any, repairs: Repairs) -> Json | None:
    """Conform the token counts."""
    if not isinstance(value, dict):
        return repairs(None) if value is not None else None
    for name in _USAGE:
        if name in value:
            value[name] = tokens(value[name], repairs)
    return value


def error(value: Any, repairs: Repairs) -> Json | None:
    """Conform why the call failed."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return repairs({"type": "error", "message": content_of(value, repairs)})
    value["type"] = text_of(value.get("type"), repairs)
    if "message" in value:
        value["message"] = text_of(value["message"], repairs)
    status = value.get("status")
    if status is not None and type(status) is not int:
        value["status"] = repairs(int(status) if isinstance(status, str) and status.isdecimal() else None)
    return value


def verdict(value: Any, repairs: Repairs) -> Json:
    """Conform one verdict of a guardrail; one that says nothing we know is an ``error``."""
    if not isinstance(value, dict):
        return verdict(repairs({"name": content_of(value, repairs)}), repairs)
    value["name"] = text_of(value.get("name"), repairs)[:256]
    if value.get("verdict") not in _VERDICTS:
        value["verdict"] = repairs("error")
    if value.get("mode") not in _MODES:
        value["mode"] = repairs(None)
    _each(value, _VERDICT, repairs)
    return value


def tags(value: Any, repairs: Repairs) -> dict[str, str]:
    """Conform tags or groups: texts by name; those without a value are left out."""
    if not isinstance(value, dict):
        return repairs({}) if value is not None else {}
    return {name: text_of(tag, repairs) for name, tag in value.items() if tag is not None}


def _each(value: Json, fixers: Mapping[str, Callable[[Any, Repairs], object]], repairs: Repairs) -> None:
    for name, fix in fixers.items():
        if name in value:
            value[name] = fix(value[name], repairs)


def _tool_calls(value: Any, repairs: Repairs) -> list[Json]:
    return many(value, tool_call, repairs)


def _logprobs(value: Any, repairs: Repairs) -> list[float] | None:
    if value is None:
        return None
    if type(value) is list and all(type(p) in (int, float) and math.isfinite(p) for p in value):
        return value
    return repairs(None)


def _milliseconds(value: Any, repairs: Repairs) -> float | None:
    return bounded(value, MAX_MS, repairs)


def _categories(value: Any, repairs: Repairs) -> list[str]:
    if type(value) is not list:
        value = [] if value is None else repairs([value])
    return [text_of(category, repairs) for category in value[:64]]


_MESSAGE = {"content": content_of, "name": optional_text, "tool_calls": _tool_calls, "tool_call_id": optional_text}
_TOOL_CALL = {"id": text_of, "name": text_of, "arguments": text_of}
_DOCUMENT = {"id": text_of, "text": content_of, "score": finite, "source": optional_text}
_CHOICE = {"content": content_of, "finish_reason": optional_text, "tool_calls": _tool_calls, "logprobs": _logprobs}
_VERDICT = {"score": finite, "categories": _categories, "latency_ms": _milliseconds, "provider": text_of}
