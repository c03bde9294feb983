"""Which alert caught which incident, and which alerts nothing had caused. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.outputs import Alert
from tools.simulator import Incident, Truth
from tools.simulator.incidents import Kind

CAUGHT_BY: Mapping[Kind, tuple[tuple[str, str], ...]] = {
    "injection": (("injection-campaign", "injection.rate"),),
    "hallucination": (("hallucination-burst", "hallucination.rate"),),
    "topic": (("drift", "drift.text"), ("drift", "drift.novelty"), ("drift", "drift.unfamiliar")),
    "regression": (
        ("drift", "drift.latency_ms"),
        ("drift", "drift.response_chars"),
        ("drift", "drift.ttft_ms"),
        ("drift", "drift.input_tokens"),
        ("drift", "drift.output_tokens"),
        ("drift", "drift.cost_usd"),
        ("slow", "latency_ms"),
    ),
}
"""Rules and signals that name the incident; any other alert during it does not count.

The drift agent tells one change once, by the feature that proved it first: for the regression that may be what is
slower, what is dearer, or the longer answers that are the cause of both.
"""

_SINGLE_EVENT = "injection-attempt"
_RECOVERY_MS = 600_000


@dataclass(frozen=True, slots=True)
class Catch:
    """An incident and the first alert that names it.

    Attributes
    ----------
    alert
        None where it was missed.
    events
        Calls of the app from the incident's begin to the alert, both included.
    delay_ms
        Event time between them.
    """

    incident: Incident
    alert: Alert | None
    events: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of incidents and alerts.

    Attributes
    ----------
    catches
        One per incident.
    other
        Firing alerts during an incident of their app, beside the one that counts.
    after
        Change alerts within ten minutes after an incident of their app: the traffic went back.
    false
        All others.
    """

    catches: tuple[Catch, ...]
    other: tuple[Alert, ...]
    after: tuple[Alert, ...]
    false: tuple[Alert, ...]

    @property
    def caught(self) -> int:
        """How many incidents were caught."""
        return sum(c.alert is not None for c in self.catches)


def judge(truth: Truth, alerts: Sequence[Alert]) -> Verdict:
    """Hold the alerts against the incidents.

    Parameters
    ----------
    truth
        Of the traffic.
    alerts
        All changes of state.
    """
    firing = sorted((a for a in alerts if a.state == "firing"), key=fired_ms)
    catches = tuple(_catch(incident, truth, firing) for incident in truth.incidents)
    counted = {c.alert.alert_id for c in catches if c.alert is not None}
    kinds: dict[str, list[Alert]] = {"other": [], "after": [], "false": []}
    for alert in firing:
        if alert.alert_id not in counted:
            kinds[_kind(alert, truth.incidents)].append(alert)
    return Verdict(catches, tuple(kinds["other"]), tuple(kinds["after"]), tuple(kinds["false"]))


def _catch(incident: Incident, truth: Truth, firing: Sequence[Alert]) -> Catch:
    for alert in firing:
        if names(alert, incident):
            at = fired_ms(alert)
            events = truth.apps[incident.app].between(incident.begin_ms, at)
            return Catch(incident, alert, events, at - incident.begin_ms)
    return Catch(incident, None)


def names(alert: Alert, incident: Incident) -> bool:
    """Whether an alert names an incident: rule, signal and app are right, it came in time, its evidence is of it."""
    return (
        any(alert.rule == rule and fnmatchcase(alert.signal, signal) for rule, signal in CAUGHT_BY[incident.kind])
        and (alert.segment.get("tenant"), alert.segment.get("app")) == (incident.tenant, incident.app)
        and incident.begin_ms <= fired_ms(alert) <= incident.end_ms
        and (not alert.evidence or not incident.affected.isdisjoint(alert.evidence))
    )


def _kind(alert: Alert, incidents: Sequence[Incident]) -> str:
    if alert.rule == _SINGLE_EVENT:
        attacks = (i.affected for i in incidents if i.kind == "injection")
        return "other" if any(not ids.isdisjoint(alert.evidence) for ids in attacks) else "false"
    at = fired_ms(alert)
    own = [i for i in incidents if (i.tenant, i.app) == (alert.segment.get("tenant"), alert.segment.get("app"))]
    if any(i.begin_ms <= at <= i.end_ms for i in own):
        return "other"
    return "after" if any(i.end_ms < at <= i.end_ms + _RECOVERY_MS for i in own) else "false"


def fired_ms(alert: Alert) -> int:
    """Return the event time at which an alert fired."""
    return round(alert.started_at.timestamp() * 1000)
