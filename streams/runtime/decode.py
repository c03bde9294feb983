"""Decoding: validate a record's bytes as an event, a label or a command, or raise an error that names the problem."""

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
from streams.runtime.problems import list_problems, to_record_error
from streams.runtime.record_batches import raise_refused
from streams.runtime.repair import INVALID_UNICODE, repaired_unicode

FEEDBACK_HEADER = ("kind", b"feedback")
COMMAND_HEADER = ("kind", b"model")
MAX_RECORD_BYTES = 16 << 20
MAX_VALUES = 200_000
"""Maximum JSON values in a record. Each costs up to 1 kB as an object: ``[{},{},...]`` of 16 MB would take 5 GB."""
_MIN_COUNTED_BYTES = 64 << 10
_STRUCTURAL = re.compile(rb'[^"\[{,]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?[^"\[{,]*+)*+(?:[\[{,]|\Z)', re.DOTALL)
"""Text up to the next character outside strings that starts a value; possessive quantifiers read the text once."""
# With a leading literal byte, re searches by memchr, which takes half the time of `b"NaN" in raw`.
_NAN, _INFINITY = re.compile(rb"N(?=aN)"), re.compile(rb"I(?=nfinity)")
_FINITE = frozenset({str, bool, type(None)})
_LARGEST = sys.float_info.max
"""Largest finite float. Integers compare with it exactly, and any comparison with NaN is False."""


def decode_record(raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> LLMEvent | Feedback | ModelCommand:
    """Decode one record of the events topic: an event, a label, or a model command (header ``kind: model``)."""
    if COMMAND_HEADER not in headers:
        return decode_event(raw, headers)
    raise_refused(raw)
    try:
        return ModelCommand.model_validate_json(raw or b"")
    except ValidationError as error:
        raise to_record_error(error.title, list_problems(error)) from error


def read_record(
    raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
) -> tuple[LLMEvent | Feedback | ModelCommand, bytes]:
    """Decode one record of the events topic; return the item and its bytes, repaired like in `read_event`."""
    # A command holds no user text, so it is not repaired.
    return (decode_record(raw, headers), raw or b"") if COMMAND_HEADER in headers else read_event(raw, headers)


def read_event(raw: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> tuple[LLMEvent | Feedback, bytes]:
    """Decode one event or label; repair invalid Unicode.

    Returns
    -------
    tuple
        The item and its bytes: the original bytes, or new bytes if they were repaired.

    Raises
    ------
    RecordError
        If the record is invalid; the message names the field and the remedy.
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
        The record's headers; ``kind: feedback`` marks a label that the worker forwarded into the event log.

    Raises
    ------
    RecordError
        If the record is invalid; the message names the field and the remedy.
    """
    if raw is None:
        raise DecodeError("value: null; publish a JSON object", code="null")
    raise_refused(raw)
    check_size(raw)
    if _NAN.search(raw) or _INFINITY.search(raw):
        _refuse_non_json_numbers(raw)
    item: LLMEvent | Feedback
    item = validated(Feedback, raw) if FEEDBACK_HEADER in headers else validated(LLMEvent, raw)
    for name, value in _unvalidated_fields(item):
        if (path := _non_finite_path(value)) is not None:
            field = name + path
            raise ContractError(f"{field}: must be a finite number; leave the field out if it is unknown", field)
    return item


def check_size(raw: bytes, max_bytes: int = MAX_RECORD_BYTES, max_values: int = MAX_VALUES) -> None:
    """Raise `ContractError` if JSON exceeds the size or the number of values that may be parsed into objects."""
    if len(raw) > max_bytes:
        raise ContractError(
            f"value: {len(raw)} bytes exceed the maximum of {max_bytes}; truncate long texts", code="too_large"
        )
    if len(raw) > max(_MIN_COUNTED_BYTES, max_values) and has_more_values(raw, max_values):
        raise ContractError(f"value: over {max_values} JSON values; leave out unneeded fields", code="too_many_values")


def has_more_values(raw: bytes, limit: int) -> bool:
    """Return whether a JSON text has more than about ``limit`` values; characters in strings do not count."""
    # Counting bytes overestimates, because prose has commas. The exact count skips strings and takes ten times as long.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= limit:
        return False
    return sum(1 for _ in islice(_STRUCTURAL.finditer(raw), limit + 1)) > limit


def _refuse_non_json_numbers(raw: bytes) -> None:
    """Refuse NaN and Infinity, which JSON excludes; pydantic accepts them, and llm.scored keeps the original bytes."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"value: {error.msg} at byte {error.pos}; leave the field out if it is unknown") from error


def _unvalidated_fields(item: LLMEvent | Feedback) -> Iterable[tuple[str, Any]]:
    """Return name and value of each field that the contract does not validate.

    The function runs on every event. It reads ``__pydantic_extra__`` because the property ``model_extra`` takes three
    times as long.
    """
    fields: list[tuple[str, Any]] = list(item.__pydantic_extra__.items()) if item.__pydantic_extra__ else []
    if isinstance(item, Feedback):
        return fields
    if item.parameters:
        fields.append(("parameters", item.parameters))
    lists: tuple[tuple[str, Sequence[Contract]], ...] = (("documents", item.documents), ("guardrails", item.guardrails))
    for name, items in lists:
        for n, entry in enumerate(items):
            if entry.__pydantic_extra__:
                fields.append((f"{name}.{n}", entry.__pydantic_extra__))
    calls: list[tuple[str, Any]] = []
    for name, turns in (("messages", item.messages), ("choices", item.choices)):
        _add_unvalidated_of_turns(name, turns, fields, calls)
    if item.usage is not None and item.usage.__pydantic_extra__:
        fields.append(("usage", item.usage.__pydantic_extra__))
    if item.error is not None:
        fields.append(("error.status", item.error.status))
        if item.error.__pydantic_extra__:
            fields.append(("error", item.error.__pydantic_extra__))
    return fields + calls


def _add_unvalidated_of_turns(
    name: str, turns: Sequence[Message | Choice], fields: list[tuple[str, Any]], calls: list[tuple[str, Any]]
) -> None:
    for n, turn in enumerate(turns):
        if turn.__pydantic_extra__:
            fields.append((f"{name}.{n}", turn.__pydantic_extra__))
        if turn.tool_calls:
            calls += [(f"{name}.{n}.tool_calls.{k}", c.__pydantic_extra__) for k, c in enumerate(turn.tool_calls)]


def _non_finite_path(value: Any) -> str | None:
    """Return the path of a number beyond the range of a float (``1e999`` is valid JSON); None without such a number.

    Integers count too: pydantic reads 400 digits, the sink's orjson does not.
    """
    if type(value) is float or type(value) is int:
        return None if -_LARGEST <= value <= _LARGEST else ""
    if type(value) is dict or type(value) is list:
        for name, inner in value.items() if type(value) is dict else enumerate(value):
            if type(inner) not in _FINITE and (path := _non_finite_path(inner)) is not None:
                return f".{name}{path}"
    return None
