"""Alert record as published by the monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, cast, get_args

import orjson

from streamgauge.vocabulary import Severity, State


@dataclass(frozen=True, slots=True)
class Alert:
    """One state change of one alert.

    Attributes
    ----------
    alert_id
        Id shared by the firing and the resolved record.
    fingerprint
        Id of the rule and segment; equal each time this rule fires for this segment.
    state, severity, rule, signal
        State, severity, name of the rule, and the signal that the rule evaluates.
    segment
        ``tenant`` and ``app``; also ``model`` and ``prompt_version`` where they apply.
    summary
        One sentence for the on-call engineer.
    value, threshold
        Measured value, and the threshold that it crossed.
    started_at, changed_at, change_started_at
        Event times: when the alert fired, when this state started, and the estimated start of the change.
    evidence
        Event ids.
    details
        Further figures of the signal.
    source_partition, source_offset
        Kafka record that caused this state.
    extra
        Fields of a newer monitor that this client does not know.
    """

    alert_id: str
    fingerprint: str
    state: State
    rule: str
    severity: Severity
    signal: str
    segment: Mapping[str, str]
    summary: str
    value: float
    threshold: float
    started_at: datetime
    changed_at: datetime
    source_partition: int
    source_offset: int
    change_started_at: datetime | None = None
    evidence: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        """Tenant of the segment."""
        return self.segment.get("tenant", "")

    @property
    def app(self) -> str:
        """App of the segment."""
        return self.segment.get("app", "")


_FIELD_NAMES = frozenset(f.name for f in fields(Alert)) - {"extra"}


def read_alert(raw: bytes) -> Alert:
    """Parse one record of the alerts topic.

    Raises
    ------
    ValueError
        If a field is missing or invalid; the message names the field.
    """
    record = orjson.loads(raw)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    known = {name: _parse_field(name, value) for name, value in record.items() if name in _FIELD_NAMES}
    try:
        return Alert(**known, extra={name: value for name, value in record.items() if name not in _FIELD_NAMES})
    except TypeError as error:  # a field is missing; the message names it
        raise ValueError(str(error)) from error


def _parse_field(name: str, value: Any) -> Any:
    try:
        parse: Callable[[Any], Any] = _PARSERS.get(name, _as_text)
        return parse(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {value!r} is invalid") from error


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value


def _as_time(value: Any) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("no time zone")
    return time


def _as_optional_time(value: Any) -> datetime | None:
    return None if value is None else _as_time(value)


def _as_texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_as_text, value))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(type(value))
    return value


def _one_of(literal: Any) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in get_args(literal):
            raise ValueError(f"not one of {get_args(literal)}")
        return cast("str", value)

    return parse


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "state": _one_of(State),
    "severity": _one_of(Severity),
    "segment": _as_mapping,
    "details": _as_mapping,
    "value": float,
    "threshold": float,
    "started_at": _as_time,
    "changed_at": _as_time,
    "change_started_at": _as_optional_time,
    "evidence": _as_texts,
    "source_partition": int,
    "source_offset": int,
}
