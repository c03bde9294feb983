"""Reader of labelled rows; each row becomes the event that a service would publish."""

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

_START = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = ("user", "system", "developer", "assistant", "tool", "document")


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """Row of an injection or hallucination data set.

    Attributes
    ----------
    event
        Event of the row.
    label
        1 for an attack or an unsupported response, 0 otherwise.
    src, lang, role
        Groups of the row; empty if the file does not name them.
    """

    event: LLMEvent
    label: int
    src: str
    lang: str
    role: str


@dataclass(frozen=True, slots=True)
class DriftRow:
    """Row of a drift data set.

    Attributes
    ----------
    event
        Event of the row; its application is the stream.
    stream
        Name of the stream.
    i
        Position in the stream.
    change_at
        Position of the first row after the change; None if there is no change or it is unknown.
    change_known
        True if the file states where the stream changes, or that it does not change.
    kind
        Kind and share of the change, for example ``abrupt 0.5``; empty if the file does not name them.
    """

    event: LLMEvent
    stream: str
    i: int
    change_at: int | None
    change_known: bool
    kind: str


def read_labelled(path: Path, signal: str) -> list[LabelledRow]:
    """Read the rows of an injection or hallucination data set; `tools.evaluation` describes the fields.

    Raises
    ------
    RecordError
        For the first malformed row: line, field and remedy.
    SettingsError
        If the file has no rows or cannot be read.
    """
    make = _injection_row if signal == "injection" else _hallucination_row
    return [make(line, n) for n, line in enumerate(_lines(path))]


def read_streams(path: Path) -> list[DriftRow]:
    """Read the rows of a drift data set; the rows of each stream must be in order.

    Raises
    ------
    RecordError
        For the first malformed row: line, field and remedy.
    SettingsError
        If the file has no rows or cannot be read.
    """
    rows: list[DriftRow] = []
    last: dict[str, DriftRow] = {}
    for n, line in enumerate(_lines(path)):
        row = _drift_row(line, n)
        previous = last.setdefault(row.stream, row)
        if previous is not row and row.i <= previous.i:
            raise line.wrong("i", f"{row.i} follows {previous.i} of the same stream; sort its rows")
        if (row.change_at, row.change_known) != (previous.change_at, previous.change_known):
            raise line.wrong(
                "change_at", f"{row.change_at}, but {previous.change_at} in the row before; give one value per stream"
            )
        last[row.stream] = row
        rows.append(row)
    return rows


@dataclass(frozen=True, slots=True)
class _Line:
    where: str
    value: Mapping[str, Any]
    number_in_file: int

    def wrong(self, field: str, problem: str) -> ContractError:
        return ContractError(f"{self.where}: {field}: {problem}", field, line=self.number_in_file)

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
    # The file is read completely before parsing: an exception for a malformed row would leave it open.
    read = list(numbered_lines(path))
    lines = [_parse(f"{path}:{number}", raw, number) for number, raw in read]
    if not lines:
        raise SettingsError(
            f"{path}: no rows; give JSON lines with one labelled row per line", code="malformed", path=path
        )
    return lines


def _parse(where: str, raw: bytes, number: int) -> _Line:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"{where}: not valid JSON ({error}); give one object per line", line=number) from error
    if not isinstance(value, dict):
        raise ContractError(f"{where}: {_short(value)}; must be a JSON object", line=number)
    return _Line(where, value, number)


def _injection_row(line: _Line, n: int) -> LabelledRow:
    text, role = line.text("text"), line.text("role", "user")
    if role not in ROLES:
        raise line.wrong("role", f"{role!r}; must be one of {', '.join(ROLES)}")
    if role == "document":
        event = _event(n, documents=(Document(text=text),))
    else:
        event = _event(n, messages=(Message(role=role, content=text),))
    return LabelledRow(event, line.label(), line.text("src", ""), line.text("lang", ""), role)


def _hallucination_row(line: _Line, n: int) -> LabelledRow:
    question, response = line.text("question", ""), line.text("response")
    event = _event(
        n,
        messages=(Message(role="user", content=question),) if question else (),
        documents=tuple(Document(text=passage) for passage in _passages(line) if passage),
        choices=(Choice(content=response),),
    )
    return LabelledRow(event, line.label(), line.text("src", ""), line.text("lang", ""), "")


def _passages(line: _Line) -> list[str]:
    value = line.value.get("context")
    passages = value if isinstance(value, list) else [line.text("context", "")]
    if not all(isinstance(passage, str) for passage in passages):
        raise line.wrong("context", f"{_short(value)}; must be a string or a list of strings")
    return passages


def _drift_row(line: _Line, n: int) -> DriftRow:
    stream = line.value.get("stream")
    if type(stream) not in {int, str} or stream == "":
        raise line.wrong("stream", f"{_short(stream)}; must be a name or a number")
    change = None if line.value.get("change_at") is None else line.number("change_at")
    kind = " ".join(str(line.value[key]) for key in ("kind", "mix") if line.value.get(key))
    event = _event(n, app=f"stream {stream}"[:256], messages=(Message(role="user", content=line.text("text")),))
    return DriftRow(event, str(stream), line.number("i"), change, "change_at" in line.value, kind)


def _event(n: int, app: str = "eval", **fields: Any) -> LLMEvent:
    """Return the event of row ``n``; rows are one second apart."""
    name = f"row-{n}"
    return LLMEvent(event_id=name, call_id=name, time=_START + timedelta(seconds=n), tenant="eval", app=app, **fields)


def _short(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
