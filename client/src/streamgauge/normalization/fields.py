"""Normalization of an event's fields: messages, documents, choices, usage, errors, verdicts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from streamgauge.normalization.numbers import MAX_MS, bounded, finite, to_token_count
from streamgauge.normalization.repair_flag import Json, RepairFlag
from streamgauge.normalization.text import to_content, to_optional_text, to_text

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_ROLE_ALIASES = {"function": "tool", "human": "user", "ai": "assistant", "model": "assistant", "bot": "assistant"}
_VERDICTS = ("pass", "flag", "block", "error")  # a tuple: the value looked up may be an unhashable list
_VERDICT_MODES = ("pre", "post", None)
_USAGE_FIELDS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
MAX_VERDICTS = 64


def to_list(value: Any, normalize: Callable[[Any, RepairFlag], Json], repaired: RepairFlag) -> list[Json]:
    """Return a list of normalized items; a single item becomes a list of one."""
    if type(value) is not list:
        value = [] if value is None else repaired([value])
    return [normalize(item, repaired) for item in value]


def message(value: Any, repaired: RepairFlag) -> Json:
    """Normalize one message of the prompt."""
    if not isinstance(value, dict):
        return repaired({"role": "user", "content": to_content(value, repaired)})
    role = value.get("role")
    if len(value) == 2 and isinstance(role, str) and role in ROLES and type(value.get("content")) is str:
        return value  # the common case
    if not isinstance(role, str) or role not in ROLES:
        value["role"] = repaired(_ROLE_ALIASES.get(role, "user") if isinstance(role, str) else "user")
    _normalize_fields(value, _MESSAGE, repaired)
    return value


def tool_call(value: Any, repaired: RepairFlag) -> Json:
    """Normalize one tool call, also in OpenAI's layout with a nested ``function``."""
    if not isinstance(value, dict):
        return repaired({"name": to_content(value, repaired)})
    function = value.get("function")
    if type(function) is dict and "name" not in value:
        rest = {k: v for k, v in value.items() if k not in {"function", "type"}}
        return tool_call(
            repaired({**rest, "name": function.get("name"), "arguments": function.get("arguments")}), repaired
        )
    value.setdefault("name", "")
    _normalize_fields(value, _TOOL_CALL, repaired)
    return value


def document(value: Any, repaired: RepairFlag) -> Json:
    """Normalize one retrieved passage."""
    if not isinstance(value, dict):
        return repaired({"text": to_content(value, repaired)})
    if "text" not in value:
        value["text"] = repaired(value.get("page_content", value.get("content")))
    _normalize_fields(value, _DOCUMENT, repaired)
    return value


def choice(value: Any, repaired: RepairFlag) -> Json:
    """Normalize one choice, also in OpenAI's layout with a nested ``message``."""
    if not isinstance(value, dict):
        return repaired({"content": to_content(value, repaired)})
    nested = value.get("message")
    if type(nested) is dict and "content" not in value:
        rest = {k: v for k, v in value.items() if k != "message"}
        return choice(repaired({"content": None, **rest, **nested}), repaired)
    _normalize_fields(value, _CHOICE, repaired)
    return value


def usage(value: Any, repaired: RepairFlag) -> Json | None:
    """Normalize the token counts."""
    if not isinstance(value, dict):
        return repaired(None) if value is not None else None
    for name in _USAGE_FIELDS:
        if name in value:
            value[name] = to_token_count(value[name], repaired)
    return value


def error(value: Any, repaired: RepairFlag) -> Json | None:
    """Normalize the error of a failed call."""
    if value is None:
        return None
    if not isinstance(value, dict):
        return repaired({"type": "error", "message": to_content(value, repaired)})
    value["type"] = to_text(value.get("type"), repaired)
    if "message" in value:
        value["message"] = to_text(value["message"], repaired)
    status = value.get("status")
    if status is not None and type(status) is not int:
        value["status"] = repaired(int(status) if isinstance(status, str) and status.isdecimal() else None)
    return value


def verdict(value: Any, repaired: RepairFlag) -> Json:
    """Normalize one guardrail verdict; an unknown verdict becomes ``error``."""
    if not isinstance(value, dict):
        return verdict(repaired({"name": to_content(value, repaired)}), repaired)
    value["name"] = to_text(value.get("name"), repaired)[:256]
    if value.get("verdict") not in _VERDICTS:
        value["verdict"] = repaired("error")
    if value.get("mode") not in _VERDICT_MODES:
        value["mode"] = repaired(None)
    _normalize_fields(value, _VERDICT, repaired)
    return value


def to_string_map(value: Any, repaired: RepairFlag) -> dict[str, str]:
    """Normalize tags or groups: texts by name, entries without a value removed."""
    if not isinstance(value, dict):
        return repaired({}) if value is not None else {}
    return {name: to_text(text, repaired) for name, text in value.items() if text is not None}


def _normalize_fields(
    value: Json, normalizers: Mapping[str, Callable[[Any, RepairFlag], object]], repaired: RepairFlag
) -> None:
    for name, normalize in normalizers.items():
        if name in value:
            value[name] = normalize(value[name], repaired)


def _tool_calls(value: Any, repaired: RepairFlag) -> list[Json]:
    return to_list(value, tool_call, repaired)


def _logprobs(value: Any, repaired: RepairFlag) -> list[float] | None:
    if value is None:
        return None
    if type(value) is list and all(type(p) in (int, float) and math.isfinite(p) for p in value):
        return value
    return repaired(None)


def _milliseconds(value: Any, repaired: RepairFlag) -> float | None:
    return bounded(value, MAX_MS, repaired)


def _categories(value: Any, repaired: RepairFlag) -> list[str]:
    if type(value) is not list:
        value = [] if value is None else repaired([value])
    return [to_text(category, repaired) for category in value[:64]]


_MESSAGE = {
    "content": to_content,
    "name": to_optional_text,
    "tool_calls": _tool_calls,
    "tool_call_id": to_optional_text,
}
_TOOL_CALL = {"id": to_text, "name": to_text, "arguments": to_text}
_DOCUMENT = {"id": to_text, "text": to_content, "score": finite, "source": to_optional_text}
_CHOICE = {"content": to_content, "finish_reason": to_optional_text, "tool_calls": _tool_calls, "logprobs": _logprobs}
_VERDICT = {"score": finite, "categories": _categories, "latency_ms": _milliseconds, "provider": to_text}
