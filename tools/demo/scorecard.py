"""Scorecard of the demo: match alerts to incidents and count false alarms. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.outputs import Alert
from tools.simulator import GroundTruth, Incident
from tools.simulator.incidents import Kind

DETECTED_BY: Mapping[Kind, tuple[tuple[str, str], ...]] = {
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
"""Rules and signals that identify an incident; other alerts during the incident do not count as its detection.

The drift agent reports a change once, by the first feature whose change is significant. For the regression it may be
the higher latency, the higher cost, or the longer answers that cause both.
"""

_SINGLE_EVENT = "injection-attempt"
_RECOVERY_MS = 600_000


@dataclass(frozen=True, slots=True)
class Detection:
    """An incident and the first alert that identifies it.

    Attributes
    ----------
    alert
        None if the incident was missed.
    events
        Calls of the app from the start of the incident to the alert, both included.
    delay_ms
        Event time from the start of the incident to the alert.
    """

    incident: Incident
    alert: Alert | None
    events: int = 0
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Detections and the classification of all other alerts.

    Attributes
    ----------
    detections
        One per incident.
    related
        Further firing alerts during an incident of their app.
    recovery
        Change alerts within ten minutes after an incident of their app, when the traffic returns to normal.
    false_alarms
        All remaining firing alerts.
    """

    detections: tuple[Detection, ...]
    related: tuple[Alert, ...]
    recovery: tuple[Alert, ...]
    false_alarms: tuple[Alert, ...]

    @property
    def detected(self) -> int:
        """Number of detected incidents."""
        return sum(d.alert is not None for d in self.detections)


def build_scorecard(truth: GroundTruth, alerts: Sequence[Alert]) -> Scorecard:
    """Match the alerts to the incidents.

    Parameters
    ----------
    truth
        Ground truth of the traffic.
    alerts
        All alert states.
    """
    firing = sorted((a for a in alerts if a.state == "firing"), key=fired_ms)
    detections = tuple(_detect(incident, truth, firing) for incident in truth.incidents)
    counted = {d.alert.alert_id for d in detections if d.alert is not None}
    categories: dict[str, list[Alert]] = {"related": [], "recovery": [], "false": []}
    for alert in firing:
        if alert.alert_id not in counted:
            categories[_category(alert, truth.incidents)].append(alert)
    related, recovery, false_alarms = map(tuple, categories.values())
    return Scorecard(detections, related, recovery, false_alarms)


def _detect(incident: Incident, truth: GroundTruth, firing: Sequence[Alert]) -> Detection:
    for alert in firing:
        if identifies(alert, incident):
            at_ms = fired_ms(alert)
            events = truth.apps[incident.app].between(incident.start_ms, at_ms)
            return Detection(incident, alert, events, at_ms - incident.start_ms)
    return Detection(incident, None)


def identifies(alert: Alert, incident: Incident) -> bool:
    """Return True if rule, signal, app, time and evidence of an alert match an incident."""
    return (
        any(alert.rule == rule and fnmatchcase(alert.signal, signal) for rule, signal in DETECTED_BY[incident.kind])
        and (alert.segment.get("tenant"), alert.segment.get("app")) == (incident.tenant, incident.app)
        and incident.start_ms <= fired_ms(alert) <= incident.end_ms
        and (not alert.evidence or not incident.affected.isdisjoint(alert.evidence))
    )


def _category(alert: Alert, incidents: Sequence[Incident]) -> str:
    if alert.rule == _SINGLE_EVENT:
        attacks = (i.affected for i in incidents if i.kind == "injection")
        return "related" if any(not ids.isdisjoint(alert.evidence) for ids in attacks) else "false"
    at_ms = fired_ms(alert)
    same_app = [i for i in incidents if (i.tenant, i.app) == (alert.segment.get("tenant"), alert.segment.get("app"))]
    if any(i.start_ms <= at_ms <= i.end_ms for i in same_app):
        return "related"
    return "recovery" if any(i.end_ms < at_ms <= i.end_ms + _RECOVERY_MS for i in same_app) else "false"


def fired_ms(alert: Alert) -> int:
    """Return the event time at which an alert fired."""
    return round(alert.started_at.timestamp() * 1000)
