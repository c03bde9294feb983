"""Labelled rows from a file, each as the event that a service would have published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from schemas.errors import ContractError, DecodeError, SettingsError
from schemas.event import Choice, Document, LLMEvent, Message
from tools.read_jsonl import numbered_lines

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = ("user", "system", "developer", "assistant", "tool", "document")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A row of an injection or hallucination set.

    Attributes
    ----------
    event
        What the agent is given.
    label
        1 for an attack or an unsupported response, 0 otherwise.
    src, lang, role
        Groups it is counted in; empty where the file does not say.
    """

    event: LLMEvent
    label: int
    src: str
    lang: str
    role: str


@dataclass(frozen=True, slots=True)
class Streamed:
    """A row of a drift set.

    Attributes
    ----------
    event
        What the agent is given; its application is the stream.
    stream
        Name of the stream.
    i
        Place in the stream.
    change_at
        Place of the first row after the change; None where there is no change, or where the file does not say.
    truth
        Whether the file says.
    kind
        Kind and share of the change, for example ``abrupt 0.5``; empty where the file does not say.
    """

    event: LLMEvent
    stream: str
    i: int
    change_at: int | None
    truth: bool
    kind: str


def read_labelled(path: Path, signal: str) -> list[Labelled]:
    """Read rows of an injection or hallucination set; see `tools.evaluation` for the fields.

    Raises
    ------
    RecordError
        Naming the line, the field and the fix.
    SettingsError
        Where the file has no rows or cannot be read.
    """
    make = _attack if signal == "injection" else _answer
    return [make(line, n) for n, line in enumerate(_lines(path))]


def read_streams(path: Path) -> list[Streamed]:
    """Read rows of a drift set; the rows of each stream must be in order.

    Raises
    ------
    RecordError
        Naming the line, the field and the fix.
    SettingsError
        Where the file has no rows or cannot be read.
    """
    rows: list[Streamed] = []
    last: dict[str, Streamed] = {}
    for n, line in enumerate(_lines(path)):
        row = _streamed(line, n)
        before = last.setdefault(row.stream, row)
        if before is not row and row.i <= before.i:
            raise line.wrong("i", f"{row.i} comes after {before.i} of the same stream; sort its rows")
        if (row.change_at, row.truth) != (before.change_at, before.truth):
            raise line.wrong("change_at", f"{row.change_at}, but {before.change_at} before; a stream has one")
        last[row.stream] = row
        rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    value: Mapping[str, Any]
    number_in_file: int

    def wrong(self, field: str, what: str) -> ContractError:
        return ContractError(f"{self.where}: {field}: {what}", field, line=self.number_in_file)

    def text(self, field: str, default: str | None = None) -> str:
        value = self.value.get(field)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(field, f"{_short(value)}; must be a string")
        return value

    def number(self, field: str) -> int:
        value = self.value.get(field)
        if type(value) is not int or value < 0:
            raise self.wrong(field, f"{_short(value)}; must be a whole number, 0 or more")
        return value

    def label(self) -> int:
        value = self.value.get("label")
        if type(value) is not int or value not in {0, 1}:
            raise self.wrong("label", f"{_short(value)}; must be 0 or 1")
        return value


def _lines(path: Path) -> list[_Line]:
    read = list(numbered_lines(path))  # whole before the first is parsed: a bad row would leave the file open
    lines = [_parse(f"{path}:{number}", raw, number) for number, raw in read]
    if not lines:
        raise SettingsError(f"{path}: has no rows; give JSON lines, one labelled row each", code="malformed", path=path)
    return lines


def _parse(where: str, raw: bytes, number: int) -> _Line:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"{where}: not JSON ({error}); give one object a line", line=number) from error
    if not isinstance(value, dict):
        raise ContractError(f"{where}: {_short(value)}; must be a JSON object", line=number)
    return _Line(where, value, number)


def _attack(line: _Line, n: int) -> Labelled:
    text, role = line.text("text"), line.text("role", "user")
    if role not in ROLES:
        raise line.wrong("role", f"{role!r}; must be one of {', '.join(ROLES)}")
    if role == "document":
        event = _event(n, documents=(Document(text=text),))
    else:
        event = _event(n, messages=(Message(role=role, content=text),))
    return Labelled(event, line.label(), line.text("src", ""), line.text("lang", ""), role)


def _answer(line: _Line, n: int) -> Labelled:
    question, response = line.text("question", ""), line.text("response")
    event = _event(
        n,
        messages=(Message(role="user", content=question),) if question else (),
        documents=tuple(Document(text=passage) for passage in _passages(line) if passage),
        choices=(Choice(content=response),),
    )
    return Labelled(event, line.label(), line.text("src", ""), line.text("lang", ""), "")


def _passages(line: _Line) -> list[str]:
    value = line.value.get("context")
    passages = value if isinstance(value, list) else [line.text("context", "")]
    if not all(isinstance(passage, str) for passage in passages):
        raise line.wrong("context", f"{_short(value)}; must be a string, or a list of them")
    return passages


def _streamed(line: _Line, n: int) -> Streamed:
    stream = line.value.get("stream")
    if type(stream) not in {int, str} or stream == "":
        raise line.wrong("stream", f"{_short(stream)}; must be a name or a number")
    change = None if line.value.get("change_at") is None else line.number("change_at")
    kind = " ".join(str(line.value[key]) for key in ("kind", "mix") if line.value.get(key))
    event = _event(n, app=f"stream {stream}"[:256], messages=(Message(role="user", content=line.text("text")),))
    return Streamed(event, str(stream), line.number("i"), change, "change_at" in line.value, kind)


def _event(n: int, app: str = "eval", **parts: Any) -> LLMEvent:
    """Make the event of row ``n``: rows are a second apart."""
    name = f"row-{n}"
    return LLMEvent(event_id=name, call_id=name, time=_BEGIN + timedelta(seconds=n), tenant="eval", app=app, **parts)


def _short(value: object) -> str:
    shown = "missing" if value is None else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
