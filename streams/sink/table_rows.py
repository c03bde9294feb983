"""Table rows: conversion of output records to rows of their ClickHouse tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any, NamedTuple

import orjson
from pydantic import TypeAdapter, ValidationError

from schemas.errors import ContractError, DecodeError
from schemas.event import NAME_MAX, Time, Tokens
from schemas.feedback import Feedback
from schemas.learning import QualityRow
from schemas.outputs import Aggregate, Alert, DeadLetter
from streams.runtime.decode import MAX_RECORD_BYTES, MAX_VALUES, check_size
from streams.runtime.identifiers import shortened, validated
from streams.runtime.problems import list_problems
from streams.runtime.record_batches import raise_refused
from streams.sink.range_planner import SourcePosition

Row = tuple[Any, ...]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
MAX_ROW_BYTES, MAX_ROW_VALUES = 2 * MAX_RECORD_BYTES, 2 * MAX_VALUES
"""Maximum size of one output record: an event of maximum size plus its signals."""
_NONE: Mapping[str, Any] = {}
# llm.scored carries each event as the service wrote it, so a field may have any form that the contract accepts.
_TIME, _TOKENS_OF = TypeAdapter[datetime](Time), TypeAdapter[int](Tokens)


class Built(NamedTuple):
    """Row of a record; for a scored record also its source position."""

    row: Row
    position: SourcePosition | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Table of one topic: its columns and the function that builds a row from a record's value.

    Every table ends with ``received_at``, the broker's time of the record. Retention counts from ``received_at``.
    Counting from the event's time would delete replayed history during its insertion.
    """

    topic: str
    name: str
    fields: tuple[str, ...]
    build: Callable[[bytes], Built]
    dated_by: str = "received_at"
    """Time column whose month is the table's partition."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in row order."""
        return (*self.fields, "received_at")

    @property
    def dated_column(self) -> int:
        """Index of `dated_by` in a row."""
        return self.columns.index(self.dated_by)


def build_row(table: Table, value: bytes | None, timestamp_ms: int) -> Built:
    """Build one row.

    Raises
    ------
    RecordError
        If the record does not fit the table; the message names the field.
    """
    if value is None:
        raise ContractError("value: null; publish a JSON object")
    raise_refused(value)
    check_size(value, MAX_ROW_BYTES, MAX_ROW_VALUES)
    try:
        row, position = table.build(value)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"value: {error}") from error
    except ValidationError as error:
        first = list_problems(error)[0]
        raise ContractError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # The message of any other error may quote the value, which is a user's text.
        cause = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else type(error).__name__
        raise ContractError(f"value: {cause}; see schemas/outputs.py") from error
    return Built((*row, timestamp_ms if timestamp_ms > 0 else int(time.time() * 1000)), position)


def milliseconds(value: Any) -> int:
    """Convert a time, in any form that the contract accepts, to milliseconds since 1970.

    Examples
    --------
    >>> milliseconds("1971-01-01T00:00:01.5Z"), milliseconds(31536001.5)
    (31536001500, 31536001500)
    """
    moment = _moment(value)
    if moment.tzinfo is None:
        raise ValueError(f"time {value!r} has no time zone; append Z")
    return _in_range(moment)


def _moment(value: Any) -> datetime:
    if type(value) is str and value[4:5] == "-":  # some numeric strings would parse as dates
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return _TIME.validate_python(value)


def _in_range(moment: datetime) -> int:
    if not 1970 < moment.year < 2200:
        raise ValueError(f"time {moment.isoformat()}: must lie between 1971 and 2199")
    return (moment - _EPOCH) // _MS


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not isfinite(number):
        raise ValueError(f"{number} is not a finite number; leave the field out")
    return number


def _count(value: Any, limit: int = 2**32) -> int:
    number = 0 if value is None else value
    if type(number) is not int or not 0 <= number < limit:
        raise ValueError(f"{value!r} is not a count; send an integer from 0 to {limit - 1}")
    return number


def _tokens(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**31 else _TOKENS_OF.validate_python(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        raise TypeError(f"{str(value)[:40]!r} is not a string; send a JSON string")
    return value


def _name(value: Any) -> str:
    """Return a text for a low-cardinality column or a sorting key, shortened to `NAME_MAX`."""
    return shortened(_text(value), NAME_MAX)


_EVENT_TEXTS = (
    "environment", "conversation_id", "user_id", "prompt_name", "prompt_version", "provider", "request_model",
    "response_model",
)  # fmt: skip
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
_SCORED_COLUMNS = (
    "event_id", "call_id", "time", "tenant", "app", *_EVENT_TEXTS, *_TOKENS, "cost_usd", "latency_ms", "ttft_ms",
    "error_type", "finish_reason", "injection_score", "injection_flag", "hallucination_score", "hallucination_flag",
    "hallucination_reason", "drift_distance", "event", "signals", "input_issues",
    "source_partition", "source_offset", "source_seq",
)  # fmt: skip


def _reason(signal: Mapping[str, Any]) -> str:
    reason = signal.get("reason")
    return reason if type(reason) is str else "" if reason is None else orjson.dumps(reason).decode()


def _scored(value: bytes) -> Built:
    scored = orjson.loads(value)
    event, signals = scored["event"], scored["signals"]
    position = (_count(scored["source_offset"], 2**63), _count(scored.get("source_seq", 0)))
    usage, error, choices = event.get("usage") or _NONE, event.get("error") or _NONE, event.get("choices")
    injection, hallucination = signals.get("injection") or _NONE, signals.get("hallucination") or _NONE
    row = (
        _name(event["event_id"]), _name(event["call_id"]), milliseconds(event["time"]),
        _name(event["tenant"]), _name(event["app"]),
        _name(event.get("environment", "production")), *[_name(event.get(name)) for name in _EVENT_TEXTS[1:]],
        *[_tokens(usage.get(name, 0)) for name in _TOKENS],
        _number(event.get("cost_usd")), _number(event.get("latency_ms")), _number(event.get("ttft_ms")),
        _name(error.get("type")), _name(choices[0].get("finish_reason")) if choices else "",
        _number(injection.get("score")), bool(injection.get("flag")),
        _number(hallucination.get("score")), bool(hallucination.get("flag")), _reason(hallucination),
        _number((signals.get("drift") or _NONE).get("distance")),
        orjson.dumps(event).decode(), orjson.dumps(signals).decode(),
        [_name(code) for code in scored.get("input_issues", ())], _count(scored["source_partition"]), *position,
    )  # fmt: skip
    return Built(row, position)


_ALERT_COLUMNS = (
    "alert_id", "fingerprint", "state", "rule", "severity", "signal", "segment", "tenant", "app", "summary", "value",
    "threshold", "started_at", "changed_at", "change_started_at", "evidence", "details", "source_partition",
    "source_offset",
)  # fmt: skip


def _alert(value: bytes) -> Built:
    alert = Alert.model_validate_json(value)
    derived = {
        "tenant": alert.segment.get("tenant", ""), "app": alert.segment.get("app", ""),
        "value": _number(alert.value), "threshold": _number(alert.threshold),
        "started_at": _in_range(alert.started_at), "changed_at": _in_range(alert.changed_at),
        "change_started_at": None if alert.change_started_at is None else _in_range(alert.change_started_at),
        "evidence": list(alert.evidence), "details": orjson.dumps(alert.details).decode(),
        "source_partition": _count(alert.source_partition), "source_offset": _count(alert.source_offset, 2**63),
    }  # fmt: skip
    return Built(tuple(derived[c] if c in derived else getattr(alert, c) for c in _ALERT_COLUMNS))


_HISTOGRAMS = ("latency_ms", "ttft_ms", "grounding")
_COUNTS = (
    "version", "events", "errors", "refusals", *_TOKENS, "cost_nanousd", "injection_flags", "hallucination_flags",
    "grounded",
)  # fmt: skip
_KEYS = ("tenant", "app", "model", "prompt_version")


def _histogram(buckets: Mapping[int, int]) -> dict[int, int]:
    return {_count(k, 2**16): _count(n, 2**63) for k, n in buckets.items()}


def _aggregate(value: bytes) -> Built:
    window = Aggregate.model_validate_json(value)
    return Built(
        (
            _in_range(window.window_start), *[getattr(window, c) for c in _KEYS], _count(window.source_partition),
            *[_count(getattr(window, c), 2**63) for c in _COUNTS],
            *[_histogram(getattr(window, c)) for c in _HISTOGRAMS],
        )
    )  # fmt: skip


_DEAD_LETTER_COLUMNS = (
    "dead_letter_id", "reason", "error", "source_topic", "source_partition", "source_offset", "key", "raw",
    "raw_bytes", "raw_sha256",
)  # fmt: skip


def _dead_letter(value: bytes) -> Built:
    letter = DeadLetter.model_validate_json(value)
    _count(letter.source_partition)
    _count(letter.source_offset, 2**63)
    _count(letter.raw_bytes, 2**63)
    return Built(tuple(getattr(letter, c) for c in _DEAD_LETTER_COLUMNS))


_FEEDBACK_TEXTS = (
    "feedback_id",
    "call_id",
    "tenant",
    "app",
    "conversation_id",
    "signal",
    "source",
    "user_id",
    "comment",
)


def _feedback(value: bytes) -> Built:
    feedback = validated(Feedback, value)
    return Built((_in_range(feedback.time), feedback.label, *[getattr(feedback, c) or "" for c in _FEEDBACK_TEXTS]))


_QUALITY_COLUMNS = (
    "hour", "signal", "tenant", "app", "estimator", "source_partition", "version", "weights", "labels", "positives",
    "precision", "recall", "auc", "calibration_error",
)  # fmt: skip


def _quality(value: bytes) -> Built:
    quality = QualityRow.model_validate_json(value)
    derived = {
        "hour": _in_range(quality.hour), "source_partition": _count(quality.source_partition),
        "version": _count(quality.version, 2**63), "labels": _count(quality.labels, 2**63),
        "positives": _count(quality.positives, 2**63),
    }  # fmt: skip
    return Built(tuple(derived[c] if c in derived else getattr(quality, c) for c in _QUALITY_COLUMNS))


TABLES = (
    Table("scored", "events", _SCORED_COLUMNS, _scored, "time"),
    Table("alerts", "alerts", _ALERT_COLUMNS, _alert, "changed_at"),
    Table(
        "aggregates",
        "aggregates_1m",
        ("window_start", *_KEYS, "source_partition", *_COUNTS, *_HISTOGRAMS),
        _aggregate,
        "window_start",
    ),
    Table("dead_letters", "dead_letters", _DEAD_LETTER_COLUMNS, _dead_letter),
    Table("quality", "quality", _QUALITY_COLUMNS, _quality, "hour"),
    Table("feedback", "feedback", ("time", "label", *_FEEDBACK_TEXTS), _feedback, "time"),
)
