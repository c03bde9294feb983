"""Messages, answers and documents in the shapes of an event, from the many shapes that dialects give them."""

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
_SILENT_PARTS: Final = frozenset({"reasoning", "thinking", "redacted_thinking", "tool_call", "tool_use", "compaction"})
"""Said elsewhere in the event (tool calls), or not said to anybody."""


@dataclass(slots=True)
class Content:
    """What a call was asked, what it answered, what had been looked up for it, and what was repaired in them."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    choices: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    issues: list[str] = field(default_factory=list)

    def add(self, other: Content) -> None:
        """Take from another dialect what this one did not say."""
        self.messages = self.messages or other.messages
        self.choices = self.choices or other.choices
        self.documents = self.documents or other.documents
        self.issues += other.issues


def role(value: Any, default: str = "user") -> str:
    """Return one of an event's roles."""
    return _ROLES.get(value.lower(), default) if isinstance(value, str) else default


def compact(value: Any) -> str:
    """Return JSON text of a value; a string is itself, None nothing."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return TOO_DEEP


def decoded(value: Any) -> Any:
    """Return what JSON text says; text that is no JSON, and anything else, as it is."""
    if type(value) is str and value.startswith(_JSON):
        try:
            return loads(value)
        except RecordError:
            return value
    return value


def told(value: Any, into: Content) -> Any:
    """Return `decoded` of content: what stands in JSON that was cut or is no valid Unicode too, which is an issue."""
    found = decoded(value)
    if found is not value or type(value) is not str or not value.startswith(("[", "{")):
        return found
    if (raw := repaired_unicode(value.encode())) is not None and (whole := decoded(raw.decode())) != raw.decode():
        into.issues.append(INVALID_UNICODE)
        return whole
    if (begun := completed_json(value)) is not None:
        into.issues.append(TRUNCATED_JSON)
        return begun
    return found


def parts_of(content: Any, into: Content | None = None) -> Any:
    """Return a list of parts that was written as JSON text; any other text stays, be it JSON or not."""
    if not (isinstance(content, str) and content.startswith(_PARTS)):
        return content
    return decoded(content) if into is None else told(content, into)


def flat(content: Any) -> str:
    r"""Return content as one text: parts of text by lines, other parts as a marker such as ``[image]``.

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


def spoken_text(content: Any) -> str:
    """Return content as one text, be it a text, parts, or parts written as JSON text."""
    if type(content) is str and not content.startswith(_PARTS):
        return content
    return flat(parts_of(content))


def _part(part: Any) -> str:
    if not isinstance(part, dict):
        return compact(part)
    kind = part.get("type", "text")
    if not isinstance(kind, str) or kind in _SILENT_PARTS:
        return ""
    if kind in _TEXT_PARTS:
        text = part.get("text", part.get("content"))
        return text if isinstance(text, str) else compact(text)
    modality = part.get("modality")
    return f"[{(modality if isinstance(modality, str) else kind).removesuffix('_url')[:32]}]"


def tool_calls(calls: Any) -> list[dict[str, str]]:
    """Return tool calls, from OpenAI's shape (``function``) or the flat one of the semantic conventions."""
    out = []
    for call in calls[:MAX_PARTS] if isinstance(calls, list) else ():
        if isinstance(call, dict):
            inner = call.get("function")
            said = inner if isinstance(inner, dict) else call
            arguments = said.get("arguments", said.get("args", said.get("input")))
            out.append(tool_call(call.get("id"), said.get("name"), arguments))
    return out


def tool_call(call_id: Any, name: Any, arguments: Any) -> dict[str, str]:
    """Return one tool call."""
    return {"id": compact(call_id), "name": compact(name), "arguments": compact(arguments)}


def message(who: str, text: str, calls: list[dict[str, str]] | None = None, tool_call_id: Any = None) -> dict[str, Any]:
    """Return one message."""
    out: dict[str, Any] = {"role": who, "content": text}
    if calls:
        out["tool_calls"] = calls
    if tool_call_id:
        out["tool_call_id"] = compact(tool_call_id)
    return out


def choice(text: str, reason: Any, calls: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return one answer."""
    out: dict[str, Any] = {"content": text}
    if reason:
        out["finish_reason"] = compact(reason)
    if calls:
        out["tool_calls"] = calls
    return out


def document(text: Any, doc_id: Any = None, score: Any = None, source: Any = None) -> dict[str, Any]:
    """Return one retrieved passage."""
    out: dict[str, Any] = {"text": flat(text)}
    if doc_id is not None:
        out["id"] = compact(doc_id)
    value = number(score)
    if value is not None and math.isfinite(value):
        out["score"] = value
    if isinstance(source, str):
        out["source"] = source
    return out


def openai_message(said: Mapping[str, Any], default: str = "user") -> dict[str, Any]:
    """Return a message of OpenAI's shape (``role``, ``content``, ``tool_calls``)."""
    who = role(said.get("role"), default)
    return message(who, flat(said.get("content")), tool_calls(said.get("tool_calls")), said.get("tool_call_id"))


def bounded(items: Any) -> Iterable[Any]:
    """Return at most `MAX_MESSAGES` of a list; of what is no list, itself."""
    return items[:MAX_MESSAGES] if isinstance(items, list) else (items,)
