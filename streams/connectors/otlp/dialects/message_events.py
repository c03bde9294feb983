"""Semantic conventions up to 1.36: one event per message, as span events or as log records.

``gen_ai.user.message`` and its like carry one message, ``gen_ai.choice`` one answer; the fields are the body of a log
record, the attributes of a span event, or JSON in the attribute ``gen_ai.event.content`` (Azure's SDKs). Older yet
(1.27), and still written by some: ``gen_ai.content.prompt`` and ``gen_ai.content.completion``, all in one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from streams.connectors.otlp.content import (
    Content,
    bounded,
    choice,
    decoded,
    flat,
    message,
    openai_message,
    role,
    spoken_text,
    told,
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


def read(happenings: Iterable[tuple[str, Any]]) -> Content:
    """Return what events say, given each one's name and its fields."""
    out = Content()
    choices: list[tuple[int, dict[str, Any]]] = []
    for name, body in happenings:
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
    out.choices = [said for _, said in choices]
    return out


def _fields(body: Any, out: Content) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        found = told(body, out)
        return found if isinstance(found, dict) else {"content": body}
    if "gen_ai.event.content" not in body:
        return body
    inner = told(body["gen_ai.event.content"], out)
    return inner if isinstance(inner, dict) else body


def _message(default: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    who = role(fields.get("role"), default)
    calls = tool_calls(decoded(fields["tool_calls"])) if "tool_calls" in fields else None
    answers = fields.get("tool_call_id", fields.get("id")) if who == "tool" else None
    return message(who, spoken_text(fields.get("content")), calls, answers)


def _choice(fields: Mapping[str, Any], position: int) -> tuple[int, dict[str, Any]]:
    said = decoded(fields.get("message"))
    inner: Mapping[str, Any] = said if isinstance(said, dict) else {"content": fields.get("content", said)}
    asked = inner.get("tool_calls", fields.get("tool_calls"))
    calls = tool_calls(decoded(asked)) if asked else None
    index = fields.get("index")
    place = index if isinstance(index, int) else position
    return place, choice(spoken_text(inner.get("content")), fields.get("finish_reason"), calls)


def _texts(said: Any, out: Content) -> list[dict[str, Any]]:
    return [
        openai_message(item) if isinstance(item, dict) else message("user", flat(item))
        for item in bounded(told(said, out))
        if item
    ]
