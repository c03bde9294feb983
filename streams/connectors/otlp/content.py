"""Conversion of messages, responses and documents from the formats of all dialects to the event's format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from schemas.errors import RecordError
from streams.connectors.otlp.any_value import TOO_DEEP, number
from streams.connectors.otlp.otlp_json import loads
from streams.connectors.otlp.request_limits import MAX_MESSAGES, MAX_PARTS
from streams.runtime.repair import INVALID_UNICODE, TRUNCATED_JSON, completed_json, repaired_unicode

_ROLES: Final = {
    **{r: r for r in ("system", "developer", "user", "assistant", "tool")},
    **dict.fromkeys(("human", "customer"), "user"),
    **dict.fromkeys(("ai", "model", "bot", "agent", "chatbot"), "assistant"),
    **dict.fromkeys(("function", "ipython"), "tool"),
    **dict.fromkeys(("instruction", "instructions", "system_instruction"), "system"),
}
_JSON: Final = ("[", "{", '"')
_PARTS: Final = ('[{"type"', '[{"text"')
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_SKIPPED_PARTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "tool_call", "tool_use", "compaction"})
"""Types of parts that are not text of the message: tool calls have their own field, reasoning is internal."""


@dataclass(slots=True)
class Content:
    """Prompt, response and retrieved documents of a call, and the issues repaired in them."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    issues: list[str] = field(default_factory=list)

    def add(self, other: Content) -> None:
        """Add the content of another dialect where this content is empty."""
        self.messages = self.messages or other.messages
        self.choices = self.choices or other.choices
        self.documents = self.documents or other.documents
        self.issues += other.issues


def role(value: Any, default: str = "user") -> str:
    """Return the event's role for a dialect's role."""
    return _ROLES.get(value.lower(), default) if isinstance(value, str) else default


def compact(value: Any) -> str:
    """Return a value as JSON text; strings are unchanged, None is empty."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return TOO_DEEP


def decode_json(value: Any) -> Any:
    """Return the parsed value of JSON text; other values are unchanged."""
    if type(value) is str and value.startswith(_JSON):
        try:
            return loads(value)
        except RecordError:
            return value
    return value


def decode_content(value: Any, out: Content) -> Any:
    """Return the parsed value of JSON text, repaired if it is truncated or invalid Unicode; repairs are issues."""
    decoded = decode_json(value)
    if decoded is not value or type(value) is not str or not value.startswith(("[", "{")):
        return decoded
    if (raw := repaired_unicode(value.encode())) is not None:
        text = raw.decode()
        if (repaired := decode_json(text)) != text:
            out.issues.append(INVALID_UNICODE)
            return repaired
    if (completed := completed_json(value)) is not None:
        out.issues.append(TRUNCATED_JSON)
        return completed
    return decoded


def decode_parts(content: Any, out: Content | None = None) -> Any:
    """Return the list of parts in JSON text; other text is unchanged, even if it is JSON."""
    if not (isinstance(content, str) and content.startswith(_PARTS)):
        return content
    return decode_json(content) if out is None else decode_content(content, out)


def flat(content: Any) -> str:
    r"""Return content as one text: one line per text part, and markers such as ``[image]`` for other parts.

    Examples
    --------
    >>> flat([{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {}}])
    'what is this?\n[image]'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text for part in content[:MAX_PARTS] if (text := _part(part)))
    if isinstance(content, dict) and ("text" in content or "content" in content):
        return _part(content)
    return compact(content)


def text_of(content: Any) -> str:
    """Return content as one text; content is a text, a list of parts, or parts as JSON text."""
    if type(content) is str and not content.startswith(_PARTS):
        return content
    return flat(decode_parts(content))


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return compact(part)
    kind = part.get("type", "text")
    if not isinstance(kind, str) or kind in _SKIPPED_PARTS:
        return ""
    if kind in _TEXT_PARTS:
        text = part.get("text", part.get("content"))
        return text if isinstance(text, str) else compact(text)
    modality = part.get("modality")
    return f"[{(modality if isinstance(modality, str) else kind).removesuffix('_url')[:32]}]"


def tool_calls(calls: Any) -> list[dict[str, str]]:
    """Return tool calls, from OpenAI's format (``function``) or the flat format of the semantic conventions."""
    out = []
    for call in calls[:MAX_PARTS] if isinstance(calls, list) else ():
        if isinstance(call, dict):
            inner = call.get("function")
            function = inner if isinstance(inner, dict) else call
            arguments = function.get("arguments", function.get("args", function.get("input")))
            out.append(tool_call(call.get("id"), function.get("name"), arguments))
    return out


def tool_call(call_id: Any, name: Any, arguments: Any) -> dict[str, str]:
    """Return a tool call in the event's format."""
    return {"id": compact(call_id), "name": compact(name), "arguments": compact(arguments)}


def message(
    role_name: str, text: str, calls: list[dict[str, str]] | None = None, tool_call_id: Any = None
) -> dict[str, Any]:
    """Return a message in the event's format."""
    out: dict[str, Any] = {"role": role_name, "content": text}
    if calls:
        out["tool_calls"] = calls
    if tool_call_id:
        out["tool_call_id"] = compact(tool_call_id)
    return out


def choice(text: str, reason: Any, calls: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return a choice in the event's format."""
    out: dict[str, Any] = {"content": text}
    if reason:
        out["finish_reason"] = compact(reason)
    if calls:
        out["tool_calls"] = calls
    return out


def document(text: Any, doc_id: Any = None, score: Any = None, source: Any = None) -> dict[str, Any]:
    """Return a retrieved document in the event's format."""
    out: dict[str, Any] = {"text": flat(text)}
    if doc_id is not None:
        out["id"] = compact(doc_id)
    value = number(score)
    if value is not None and math.isfinite(value):
        out["score"] = value
    if isinstance(source, str):
        out["source"] = source
    return out


def openai_message(item: Mapping[str, Any], default: str = "user") -> dict[str, Any]:
    """Return a message from OpenAI's format (``role``, ``content``, ``tool_calls``)."""
    role_name = role(item.get("role"), default)
    return message(role_name, flat(item.get("content")), tool_calls(item.get("tool_calls")), item.get("tool_call_id"))


def bounded(items: Any) -> Iterable[Any]:
    """Return at most `MAX_MESSAGES` items of a list; a single value is returned as the only item."""
    return items[:MAX_MESSAGES] if isinstance(items, list) else (items,)
