"""The dialect of the semantic conventions up to 1.36: one event per message, as span events or as log records.

``gen_ai.user.message`` and similar events contain one message, ``gen_ai.choice`` one response. The fields are the body
of a log record, the attributes of a span event, or JSON in the attribute ``gen_ai.event.content`` (Azure's SDKs). Older
libraries (1.27) write all content as one text: ``gen_ai.content.prompt`` and ``gen_ai.content.completion``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    decode_content,
    decode_json,
    flat,
    message,
    openai_message,
    role,
    text_of,
    tool_calls,
)
from streams.connectors.otlp.request_limits import MAX_EVENTS

_ROLE_OF: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE: Final = "gen_ai.choice"
_PROMPT, _COMPLETION = "gen_ai.content.prompt", "gen_ai.content.completion"
NAMES: Final = frozenset({*_ROLE_OF, _CHOICE, _PROMPT, _COMPLETION})


def read(events: Iterable[tuple[str, Any]]) -> Content:
    """Return the content of events, given as pairs of name and fields."""
    out = Content()
    choices: list[tuple[int, dict[str, Any]]] = []
    for name, body in events:
        if len(out.messages) + len(choices) >= MAX_EVENTS:
            break
        if name in _ROLE_OF:
            out.messages.append(_message(_ROLE_OF[name], _fields(body, out)))
        elif name == _CHOICE:
            choices.append(_choice(_fields(body, out), len(choices)))
        elif name == _PROMPT:
            out.messages += _texts(_fields(body, out).get("gen_ai.prompt"), out)
        elif name == _COMPLETION:
            choices += [
                (n, choice(m["content"], None))
                for n, m in enumerate(_texts(_fields(body, out).get("gen_ai.completion"), out))
            ]
    if len(choices) > 1:
        choices.sort(key=lambda pair: pair[0])
    out.choices = [item for _, item in choices]
    return out


def _fields(body: Any, out: Content) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        found = decode_content(body, out)
        return found if isinstance(found, dict) else {"content": body}
    if "gen_ai.event.content" not in body:
        return body
    inner = decode_content(body["gen_ai.event.content"], out)
    return inner if isinstance(inner, dict) else body


def _message(default: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    role_name = role(fields.get("role"), default)
    calls = tool_calls(decode_json(fields["tool_calls"])) if "tool_calls" in fields else None
    call_id = fields.get("tool_call_id", fields.get("id")) if role_name == "tool" else None
    return message(role_name, text_of(fields.get("content")), calls, call_id)


def _choice(fields: Mapping[str, Any], position: int) -> tuple[int, dict[str, Any]]:
    item = decode_json(fields.get("message"))
    inner: Mapping[str, Any] = item if isinstance(item, dict) else {"content": fields.get("content", item)}
    calls_value = inner.get("tool_calls", fields.get("tool_calls"))
    calls = tool_calls(decode_json(calls_value)) if calls_value else None
    index = fields.get("index")
    order = index if isinstance(index, int) else position
    return order, choice(text_of(inner.get("content")), fields.get("finish_reason"), calls)


def _texts(item: Any, out: Content) -> list[dict[str, Any]]:
    return [
        openai_message(item) if isinstance(item, dict) else message("user", flat(item))
        for item in bounded(decode_content(item, out))
        if item
    ]
