"""From a record's bytes to an event or a feedback, or to the error that says what is wrong with it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import orjson
from pydantic import ValidationError

from schemas.errors import ContractError, DecodeError
from schemas.event import Choice, Contract, LLMEvent, Message
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from streams.runtime.identifiers import validated
from streams.runtime.problems import explain, listed
from streams.runtime.record_batches import raise_refused
from streams.runtime.repair import INVALID_UNICODE, repaired_unicode

FEEDBACK_HEADER = ("kind", b"feedback")
COMMAND_HEADER = ("kind", b"model")
MAX_RECORD_BYTES = 16 << 20
MAX_VALUES = 200_000
"""In one record. Each costs up to a kilobyte as an object: ``[{},{},...]`` of 16 MB would be 5 GB."""
_COUNTED_FROM = 64 << 10
_STRUCTURAL = re.compile(rb'[^"\[{,]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?[^"\[{,]*+)*+(?:[\[{,]|\Z)', re.DOTALL)
"""All up to the next character outside of strings that begins a value. Possessive: a text is read once."""
# With one literal in front, re looks for its byte by memchr: half of the time that `b"NaN" in raw` takes.
_NAN, _INFINITY = re.compile(rb"N(?=aN)"), re.compile(rb"I(?=nfinity)")
_FINITE = frozenset({str, bool, type(None)})
_LARGEST = sys.float_info.max
"""A whole number is compared with it exactly, and NaN with anything is False."""


def decode_record(raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> LLMEvent | Feedback | ModelCommand:
    """Decode one record of the events topic, which may be a command of ``streamgauge model`` too (``kind: model``)."""
    if COMMAND_HEADER not in headers:
        return decode_event(raw, headers)
    raise_refused(raw)
    try:
        return ModelCommand.model_validate_json(raw or b"")
    except ValidationError as error:
        raise explain(error.title, listed(error)) from error


def read_record(
    raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[LLMEvent | Feedback | ModelCommand, bytes]:
    """Return what `decode_record` does, and the bytes that say so, see `read_event`."""
    # A command is no text of a user's: it is taken as it was sent, or not at all.
    return (decode_record(raw, headers), raw or b"") if COMMAND_HEADER in headers else read_event(raw, headers)


def read_event(raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> tuple[LLMEvent | Feedback, bytes]:
    """Decode one event or label, repaired where its text is no valid Unicode.

    Returns
    -------
    tuple
        What it says, and the bytes that say so: those that came, unless they had to be repaired.

    Raises
    ------
    RecordError
        Naming the field and the fix.
    """
    try:
        return decode_event(raw, headers), raw or b""
    except DecodeError:
        if raw is None or (repaired := repaired_unicode(raw)) is None:
            raise
    item = decode_event(repaired, headers)
    if isinstance(item, LLMEvent):
        item = item.with_issue(INVALID_UNICODE)
    return item, item.model_dump_json(exclude_unset=True).encode()


def decode_event(raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> LLMEvent | Feedback:
    """Decode one event or label.

    Parameters
    ----------
    raw
        The record's value.
    headers
        The record's headers; ``kind: feedback`` marks a label that the worker forwarded into this log.

    Raises
    ------
    RecordError
        Naming the field and the fix.
    """
    if raw is None:
        raise DecodeError("value: null; publish a JSON object", code="null")
    raise_refused(raw)
    check_size(raw)
    if _NAN.search(raw) or _INFINITY.search(raw):
        _strict(raw)
    item: LLMEvent | Feedback
    item = validated(Feedback, raw) if FEEDBACK_HEADER in headers else validated(LLMEvent, raw)
    for name, value in _free(item):
        if (where := _infinite(value)) is not None:
            field = name + where
            raise ContractError(f"{field}: must be a finite number; leave it out where it is unknown", field)
    return item


def check_size(raw: bytes, most_bytes: int = MAX_RECORD_BYTES, most_values: int = MAX_VALUES) -> None:
    """Raise `ContractError` if JSON is larger, or holds more values, than may be unpacked into objects."""
    if len(raw) > most_bytes:
        raise ContractError(f"value: {len(raw)} bytes; at most {most_bytes} are read; truncate texts", code="too_large")
    if len(raw) > max(_COUNTED_FROM, most_values) and has_more_values(raw, most_values):
        raise ContractError(
            f"value: over {most_values} values in it; leave out what nobody looks at", code="too_many_values"
        )


def has_more_values(raw: bytes, most: int) -> bool:
    """Return whether a JSON text has more than about ``most`` values; what is in strings counts for none."""
    # A count of bytes is a count of values only outside of strings, which costs ten times as much: prose has commas.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= most:
        return False
    return sum(1 for _ in islice(_STRUCTURAL.finditer(raw), most + 1)) > most


def _strict(raw: bytes) -> None:
    """Refuse the numbers that JSON has not: pydantic reads them, and llm.scored hands on the bytes as they came."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"value: {error.msg} at byte {error.pos}; leave the field out where it is unknown") from error


def _free(item: LLMEvent | Feedback) -> Iterable[tuple[str, Any]]:
    """Return name and value of each field that the contract leaves free; of all others it says what they hold.

    Of every event: so ``__pydantic_extra__``, for which ``model_extra`` is a property that takes three times as long.
    """
    found: list[tuple[str, Any]] = list(item.__pydantic_extra__.items()) if item.__pydantic_extra__ else []
    if isinstance(item, Feedback):
        return found
    if item.parameters:
        found.append(("parameters", item.parameters))
    parts: tuple[tuple[str, Sequence[Contract]], ...] = (("documents", item.documents), ("guardrails", item.guardrails))
    for name, many in parts:
        for n, part in enumerate(many):
            if part.__pydantic_extra__:
                found.append((f"{name}.{n}", part.__pydantic_extra__))
    calls: list[tuple[str, Any]] = []
    for name, turns in (("messages", item.messages), ("choices", item.choices)):
        _free_of_turns(name, turns, found, calls)
    if item.usage is not None and item.usage.__pydantic_extra__:
        found.append(("usage", item.usage.__pydantic_extra__))
    if item.error is not None:
        found.append(("error.status", item.error.status))
        if item.error.__pydantic_extra__:
            found.append(("error", item.error.__pydantic_extra__))
    return found + calls


def _free_of_turns(
    name: str, turns: Sequence[Message | Choice], found: list[tuple[str, Any]], calls: list[tuple[str, Any]]
) -> None:
    for n, turn in enumerate(turns):
        if turn.__pydantic_extra__:
            found.append((f"{name}.{n}", turn.__pydantic_extra__))
        if turn.tool_calls:
            calls += [(f"{name}.{n}.tool_calls.{k}", c.__pydantic_extra__) for k, c in enumerate(turn.tool_calls)]


def _infinite(value: Any) -> str | None:
    """Return where in a value a number is beyond what a float holds (``1e999`` is JSON); None if nowhere.

    An integer too: pydantic reads 400 digits, the sink's orjson does not.
    """
    if type(value) is float or type(value) is int:
        return None if -_LARGEST <= value <= _LARGEST else ""
    if type(value) is dict or type(value) is list:
        for name, inner in value.items() if type(value) is dict else enumerate(value):
            if type(inner) not in _FINITE and (where := _infinite(inner)) is not None:
                return f".{name}{where}"
    return None
