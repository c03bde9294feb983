"""An alert as the monitor publishes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, cast, get_args

import orjson

from streamgauge.vocabulary import Severity, State


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state of one alert.

    Attributes
    ----------
    alert_id
        The same from firing to resolved.
    fingerprint
        The same whenever this rule fires for this segment.
    state, severity, rule, signal
        What happened, how bad it is, and what says so.
    segment
        Whom it is about: ``tenant``, ``app``, and where it applies ``model`` and ``prompt_version``.
    summary
        One sentence for the on-call engineer.
    value, threshold
        What was measured, and what it crossed.
    started_at, changed_at, change_started_at
        Event time at which it fired, of this state, and of the estimated begin of the change.
    evidence
        Event ids.
    details
        What else the signal says.
    source_partition, source_offset
        The record that caused this state.
    extra
        Fields that a newer monitor sends.
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
        """Whose application it is about."""
        return self.segment.get("tenant", "")

    @property
    def app(self) -> str:
        """Which application it is about."""
        return self.segment.get("app", "")


_NAMES = frozenset(f.name for f in fields(Alert)) - {"extra"}


def read_alert(raw: bytes) -> Alert:
    """Read one record of the alerts topic.

    Raises
    ------
    ValueError
        Naming the field.
    """
    record = orjson.loads(raw)
    if not isinstance(record, dict):
        raise ValueError("not an object")
    known = {name: _read(name, value) for name, value in record.items() if name in _NAMES}
    try:
        return Alert(**known, extra={name: value for name, value in record.items() if name not in _NAMES})
    except TypeError as error:  # a field is missing: its name is in the text
        raise ValueError(str(error)) from error


def _read(name: str, value: Any) -> Any:
    try:
        read: Callable[[Any], Any] = _READERS.get(name, _as_text)
        return read(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name}: {value!r} does not fit") from error


def _as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(type(value))
    return value


def _as_time(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError("no zone")
    return at


def _as_optional_time(value: Any) -> datetime | None:
    return None if value is None else _as_time(value)


def _as_texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_as_text, value))


def _as_mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(type(value))
    return value


def _one_of(literal: Any) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in get_args(literal):
            raise ValueError(f"not one of {get_args(literal)}")
        return cast("str", value)

    return read


_READERS: Mapping[str, Callable[[Any], Any]] = {
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
