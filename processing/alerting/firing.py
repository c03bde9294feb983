"""An alert that fires, and how it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.common.state_validation import expect_at_most, expect_text, expect_texts, expect_times_ms
from agents.common.watermark import Scope
from processing.alerting.summary import summarise_resolved
from schemas.rules import Rule

EVIDENCE_MAX = 20


@dataclass(slots=True)
class Active:
    """One firing alert of a rule and a segment.

    Attributes
    ----------
    due, silent_at
        Event time of its scope, and time of the broker, at which it resolves if nothing keeps it up; the latter, 0
        where it is not known, ends it also where the scope has fallen silent.
    """

    rule: str
    fingerprint: str
    alert_id: str
    signal: str
    segment: dict[str, str]
    value: float
    summary: str
    started: int
    due: int
    silent_at: int
    change_started_at: int | None = None
    evidence: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """Tenant and app."""
        return self.segment.get("tenant", ""), self.segment.get("app", "")

    def keep(self, due: int, silent_at: int, event_ids: Iterable[str]) -> None:
        """Note that it goes on, and the first of the events that show it."""
        self.due, self.silent_at = max(self.due, due), max(self.silent_at, silent_at)
        self.evidence += [e for e in event_ids if e not in self.evidence][: EVIDENCE_MAX - len(self.evidence)]


def from_row(row: list[Any]) -> Active:
    """Return the alert of a row of state; raise TypeError or ValueError for values that cannot be written."""
    active = Active(*row)
    for name in ("rule", "fingerprint", "alert_id", "signal", "summary"):
        expect_text(getattr(active, name))
    expect_texts([*active.segment, *active.segment.values(), *active.details])
    expect_texts(active.evidence)
    expect_at_most(active.evidence, EVIDENCE_MAX, "events as evidence")
    expect_times_ms(active.started, active.due, active.silent_at)
    if active.change_started_at is not None:
        expect_times_ms(active.change_started_at)
    if type(active.value) is not float or not all(isinstance(part, dict) for part in (active.segment, active.details)):
        raise ValueError("an alert's value, segment or details are of another type")
    return active


def fingerprint(rule: str, signal: str, segment: Mapping[str, str], partition: int) -> str:
    """Return what is the same for all alerts of a rule, a signal, a segment and a source partition."""
    return _digest(rule, signal, *(f"{k}={v}" for k, v in sorted(segment.items())), str(partition))


def alert_id(mark: str, offset: int, event_id: str) -> str:
    """Return the id of one firing; the same in every replay."""
    return _digest(mark, str(offset), event_id)


def as_row(  # noqa: PLR0913, PLR0917 - the parts of a row
    active: Active, rule: Rule, state: str, at: int, partition: int, offset: int
) -> dict[str, Any]:
    """Return an alert as `schemas.outputs.Alert` has it."""
    return {
        "alert_id": active.alert_id,
        "fingerprint": active.fingerprint,
        "state": state,
        "rule": active.rule,
        "severity": rule.severity,
        "signal": active.signal,
        "segment": active.segment,
        "summary": summarise_resolved(rule, active.summary) if state == "resolved" else active.summary,
        "value": active.value,
        "threshold": rule.threshold if rule.below is None else rule.below,
        "started_at": iso(active.started),
        "changed_at": iso(at),
        "change_started_at": None if active.change_started_at is None else iso(active.change_started_at),
        "evidence": list(active.evidence),
        "details": active.details,
        "source_partition": partition,
        "source_offset": offset,
    }


def iso(ms: int) -> str:
    """Return a time as ISO 8601 with milliseconds, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()
