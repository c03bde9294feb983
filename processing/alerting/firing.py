"""Firing alert: its state, its identity and its output row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.common.state_validation import expect_at_most, expect_text, expect_texts, expect_times_ms
from agents.common.watermark import Scope
from processing.alerting.summary import summarise_firing, summarise_resolved
from schemas.rules import Rule

EVIDENCE_MAX = 20


@dataclass(slots=True)
class FiringAlert:
    """Firing alert of one rule, signal and segment.

    Attributes
    ----------
    resolve_at_ms
        Event time of the scope at which the alert resolves without new evidence.
    idle_resolve_at_ms
        Broker time at which the alert resolves if its scope has become idle; 0 if unknown.
    """

    rule: str
    fingerprint: str
    alert_id: str
    signal: str
    segment: dict[str, str]
    value: float
    summary: str
    started_ms: int
    resolve_at_ms: int
    idle_resolve_at_ms: int
    change_started_at: int | None = None
    evidence: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """Tenant and app."""
        return self.segment.get("tenant", ""), self.segment.get("app", "")

    def extend(self, resolve_at_ms: int, idle_resolve_at_ms: int, event_ids: Iterable[str]) -> None:
        """Postpone the resolution, and add the first events to the evidence."""
        self.resolve_at_ms = max(self.resolve_at_ms, resolve_at_ms)
        self.idle_resolve_at_ms = max(self.idle_resolve_at_ms, idle_resolve_at_ms)
        self.evidence += [e for e in event_ids if e not in self.evidence][: EVIDENCE_MAX - len(self.evidence)]


def from_row(row: list[Any]) -> FiringAlert:
    """Return the alert in a row of state; raise TypeError or ValueError for values that cannot be published."""
    alert = FiringAlert(*row)
    for name in ("rule", "fingerprint", "alert_id", "signal", "summary"):
        expect_text(getattr(alert, name))
    expect_texts([*alert.segment, *alert.segment.values(), *alert.details])
    expect_texts(alert.evidence)
    expect_at_most(alert.evidence, EVIDENCE_MAX, "events as evidence")
    expect_times_ms(alert.started_ms, alert.resolve_at_ms, alert.idle_resolve_at_ms)
    if alert.change_started_at is not None:
        expect_times_ms(alert.change_started_at)
    if type(alert.value) is not float or not all(isinstance(part, dict) for part in (alert.segment, alert.details)):
        raise ValueError("the value, segment or details of an alert have the wrong type")
    return alert


def fingerprint_of(rule: str, signal: str, segment: Mapping[str, str], partition: int) -> str:
    """Return the identity shared by all alerts of a rule, signal, segment and source partition."""
    return _digest(rule, signal, *(f"{k}={v}" for k, v in sorted(segment.items())), str(partition))


def alert_id(fingerprint: str, offset: int, event_id: str) -> str:
    """Return the id of one firing of an alert; identical in every replay."""
    return _digest(fingerprint, str(offset), event_id)


def as_row(  # noqa: PLR0913, PLR0917 - the parts of a row
    alert: FiringAlert, rule: Rule, state: str, time_ms: int, partition: int, offset: int
) -> dict[str, Any]:
    """Return the row of an alert, see `schemas.outputs.Alert`."""
    is_firing = state == "firing"
    summary = summarise_firing(alert.signal, alert.summary) if is_firing else summarise_resolved(rule, alert.summary)
    return {
        "alert_id": alert.alert_id,
        "fingerprint": alert.fingerprint,
        "state": state,
        "rule": alert.rule,
        "severity": rule.severity,
        "signal": alert.signal,
        "segment": alert.segment,
        "summary": summary,
        "value": alert.value,
        "threshold": rule.threshold if rule.below is None else rule.below,
        "started_at": iso(alert.started_ms),
        "changed_at": iso(time_ms),
        "change_started_at": None if alert.change_started_at is None else iso(alert.change_started_at),
        "evidence": list(alert.evidence),
        "details": alert.details,
        "source_partition": partition,
        "source_offset": offset,
    }


def iso(time_ms: int) -> str:
    """Return a time in milliseconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
