"""Texts of an event that are neither a message, a document nor an instruction to the model, and yet reach a model.

Tools are called with them, the next model reads them, a page's title comes along as metadata. Most events have few:
fields that an event does not set are not looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, TypeAlias

import orjson

from agents.base import Role
from schemas.event import Contract, LLMEvent, ToolCall


class Place(IntEnum):
    """Where such a text stands."""

    TOOL_CALL = 0
    NAME = 1
    SOURCE = 2
    ASSISTANT = 3
    RESPONSE = 4
    PARAMETER = 5
    TAG = 6
    ERROR = 7
    OTHER = 8


ROLE_OF = {
    Place.TOOL_CALL: Role.TOOL,
    Place.NAME: Role.DOCUMENT,
    Place.SOURCE: Role.DOCUMENT,
    Place.ASSISTANT: Role.DOCUMENT,
    Place.RESPONSE: Role.DOCUMENT,
    Place.PARAMETER: Role.SYSTEM,
    Place.TAG: Role.DOCUMENT,
    Place.ERROR: Role.TOOL,
    Place.OTHER: Role.DOCUMENT,
}
"""Whose weights and thresholds a text takes: tool definitions read like system prompts, all others like passages."""
SHORTEST, _SHORTEST_WIDE = 16, 6
"""Characters of a text that can hold an order to a model: in ASCII, and in any script."""
_LONG_KEY = 28
"""Characters of a key that can hold one: `max_completion_tokens` and `app.kubernetes.io/instance` are names."""
_generated = re.compile(
    r"(?:[a-z]{1,8}[_-]|chatcmpl-tool-)?(?:[0-9a-f-]{16,36}|(?!.*[a-z]{6})(?=.*[0-9])[0-9A-Za-z]{8,40})"
).fullmatch
"""Match an id that a provider drew, as most are: no word of six letters is in it."""
_MESSAGE, _CHOICE = frozenset({"role", "content"}), frozenset({"content", "finish_reason", "logprobs"})
_DOCUMENT, _CALL = frozenset({"id", "text", "score"}), frozenset({"id", "name", "arguments"})
_PLAIN = frozenset({int, float, bool, type(None)})


FieldText: TypeAlias = tuple[int, Place, str]
"""A text: of which event, where in it, itself. A plain tuple: there is one of each event at least."""


def field_texts(events: Sequence[LLMEvent]) -> list[FieldText]:
    """Return the texts of some events that `Chunk.texts` does not hold, in event order.

    Examples
    --------
    >>> call = {"name": "search", "arguments": '{"query": "a text of some length"}'}
    >>> event = LLMEvent(event_id="e", call_id="c", time="2026-01-01T00:00:00Z", tenant="t", app="a",
    ...                  messages=[{"role": "assistant", "tool_calls": [call]}])
    >>> [(place.name, text) for _, place, text in field_texts([event])]
    [('TOOL_CALL', 'a text of some length')]
    """
    found: list[FieldText] = []
    for i, event in enumerate(events):
        out: dict[Place, list[str]] = {}
        _of_parts(found, out, i, event)
        _of_event(out, event)
        if out:
            found += [(i, place, "\n".join(texts)) for place, texts in out.items()]
    return found


# Of every event: so each part is asked first whether it has more than what every part of its kind has.


def _of_parts(found: list[FieldText], out: dict[Place, list[str]], i: int, event: LLMEvent) -> None:
    for message in event.messages:
        if not message.__pydantic_fields_set__ <= _MESSAGE:
            _put(out, Place.NAME, (message.name, _id(message.tool_call_id)))
            _of_calls(found, out, i, message.tool_calls)
            _extra(out, message)
    for document in event.documents:
        if not document.__pydantic_fields_set__ <= _DOCUMENT or len(document.id) >= _SHORTEST_WIDE:
            _put(out, Place.SOURCE, (document.source, document.id))
            _extra(out, document)
    for n, choice in enumerate(event.choices):
        if n and is_long(choice.content):
            found.append((i, Place.RESPONSE, choice.content))
        if (why := choice.finish_reason) and len(why) >= _SHORTEST_WIDE:
            _put(out, Place.OTHER, (why,))
        if not choice.__pydantic_fields_set__ <= _CHOICE:
            _of_calls(found, out, i, choice.tool_calls)
            _extra(out, choice)


def _of_event(out: dict[Place, list[str]], event: LLMEvent) -> None:
    if event.parameters:
        _of_parameters(out, event.parameters)
    if event.tags:
        _of_tags(out, event.tags)
    if event.groups:
        _of_tags(out, event.groups)
    if event.error is not None or event.guardrails:
        _of_outcome(out, event)
    if event.__pydantic_extra__:
        _extra(out, event)
    if event.usage is not None and event.usage.__pydantic_extra__:
        _extra(out, event.usage)


def _of_parameters(out: dict[Place, list[str]], parameters: Mapping[str, Any]) -> None:
    if not _PLAIN.issuperset(map(type, parameters.values())):
        _put(out, Place.PARAMETER, ("\n".join(leaves(parameters)),))
    for name in parameters:
        if len(name) >= _LONG_KEY or not name.isascii():
            _put(out, Place.PARAMETER, (name,))


def _id(text: str | None) -> str | None:
    return text if text and len(text) >= _SHORTEST_WIDE and not _generated(text) else None


def _of_tags(out: dict[Place, list[str]], tags: Mapping[str, str]) -> None:
    for name, tag in tags.items():
        if len(name) >= _LONG_KEY or not name.isascii():
            _put(out, Place.TAG, (name,))
        if len(tag) >= SHORTEST or not tag.isascii():
            _put(out, Place.TAG, (tag,))


def is_long(text: str) -> bool:
    """Return whether a text is long enough to say something: Chinese says in six characters what English does in 16."""
    return len(text) >= SHORTEST or (len(text) >= _SHORTEST_WIDE and not text.isascii())


def _put(out: dict[Place, list[str]], place: Place, texts: Iterable[str | None]) -> None:
    """Add texts that are long enough to say something."""
    for text in texts:
        if text and is_long(text):
            out.setdefault(place, []).append(text)


def _extra(out: dict[Place, list[str]], part: Contract) -> None:
    """Add what a contract does not know: as one text, for an order may be cut into short ones."""
    if part.__pydantic_extra__:
        _put(out, Place.OTHER, ("\n".join(leaves(part.__pydantic_extra__)),))


def _of_calls(found: list[FieldText], out: dict[Place, list[str]], i: int, calls: Sequence[ToolCall]) -> None:
    for call in calls:
        _put(out, Place.NAME, (call.name, _id(call.id)))
        if is_long(call.arguments) and is_long(text := "\n".join(_arguments(call.arguments))):
            found.append((i, Place.TOOL_CALL, text))
        if not call.__pydantic_fields_set__ <= _CALL:
            _extra(out, call)


def _arguments(text: str) -> Iterable[str]:
    """Return the texts in a tool call's arguments; what is no JSON is one text.

    Parsers differ in which value of a repeated key they take: all are returned.
    """
    try:
        orjson.loads(text)  # it is stricter: half of a surrogate pair would break what reads the texts
        return leaves(json.loads(text, object_pairs_hook=_named, parse_int=float))
    except (ValueError, RecursionError):
        return (text,)


def _of_outcome(out: dict[Place, list[str]], event: LLMEvent) -> None:
    if event.error is not None:
        _put(out, Place.ERROR, (event.error.type, event.error.message))
        _extra(out, event.error)
    for guardrail in event.guardrails:
        _put(out, Place.OTHER, (guardrail.name, guardrail.provider, *guardrail.categories))
        _extra(out, guardrail)


def leaves(value: Any) -> list[str]:
    """Return the texts in a JSON value and the names that are long enough to be one, in order, however deep it is.

    Examples
    --------
    >>> leaves({"a": ["x", {"b": "y"}, 3], "c": "z"})
    ['x', 'y', 'z']
    """
    found: list[str] = []
    left = [iter((value,))]
    while left:
        for one in left[-1]:
            if isinstance(one, str):
                found.append(one)
            elif isinstance(one, Mapping):
                left.append(iter(_named(one.items())))
                break
            elif isinstance(one, list | tuple):
                left.append(iter(one))
                break
        else:
            left.pop()
    return found


def _named(fields: Iterable[tuple[str, Any]]) -> list[Any]:
    """Return the values of an object, each after its name where that is long enough to be a text."""
    return [one for name, value in fields for one in ((name, value) if len(name) >= SHORTEST else (value,))]
