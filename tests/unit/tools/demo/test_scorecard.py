"""Classification of alerts by the demo's scorecard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.outputs import Alert
from tools.demo.exactness_checks import Check
from tools.demo.scorecard import Scorecard, build_scorecard
from tools.simulator import AppTotals, GroundTruth, Incident

START = datetime(2026, 1, 1, 9, tzinfo=UTC)
START_MS = round(START.timestamp() * 1000)


def truth() -> GroundTruth:
    """Return one call per second with an injection campaign from second 100 to second 200."""
    app = AppTotals(calls=1_000, times_ms=[START_MS + 1000 * i for i in range(1_000)])
    affected = frozenset(f"e{i}" for i in range(100, 201, 2))
    incident = Incident(
        "injection", "campaign", "sentinel", "soc", START_MS + 100_000, START_MS + 200_000, 100, affected
    )
    return GroundTruth(apps={"soc": app}, incidents=(incident,))


def alert(second: float, **fields: Any) -> Alert:
    at = START + timedelta(seconds=second)
    values: dict[str, Any] = {
        "alert_id": f"a{second}{sorted(fields.items())}",
        "fingerprint": "f",
        "state": "firing",
        "rule": "injection-campaign",
        "severity": "critical",
        "signal": "injection.rate",
        "segment": {"tenant": "sentinel", "app": "soc"},
        "summary": "",
        "value": 1.0,
        "threshold": 0.0,
        "started_at": at,
        "changed_at": at,
        "evidence": ("e120",),
        "source_partition": 0,
        "source_offset": 0,
    }
    return Alert.model_validate(values | fields)


def scorecard(*alerts: Alert) -> Scorecard:
    return build_scorecard(truth(), alerts)


def test_a_matching_alert_detects_the_incident_with_a_delay_in_calls_and_time() -> None:
    [detection] = scorecard(alert(130)).detections
    assert detection.alert is not None
    assert (detection.events, detection.delay_ms) == (31, 30_000)


def test_the_first_of_two_matching_alerts_counts() -> None:
    result = scorecard(alert(150), alert(130))
    assert result.detections[0].delay_ms == 30_000
    assert (result.detected, len(result.related), len(result.false_alarms)) == (1, 1, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        alert(99),
        alert(201),
        alert(130, rule="drift", signal="drift.text"),
        alert(130, segment={"tenant": "sentinel", "app": "triage"}),
        alert(130, segment={"tenant": "harbor", "app": "soc"}),
        alert(130, evidence=("e121",)),
        alert(130, state="resolved"),
    ],
    ids=["before", "after", "other rule", "other app", "other tenant", "evidence of others", "resolved"],
)
def test_an_alert_that_does_not_match_detects_nothing(wrong: Alert) -> None:
    assert scorecard(wrong).detected == 0


def test_other_alerts_are_related_recovery_or_false_alarms() -> None:
    result = scorecard(
        alert(150, rule="drift", signal="drift.text"),
        alert(300, rule="drift", signal="drift.text"),
        alert(50, rule="drift", signal="drift.text"),
        alert(130, rule="injection-attempt", signal="injection.score", evidence=("e102",)),
        alert(131, rule="injection-attempt", signal="injection.score", evidence=("e103",)),
    )
    assert [len(part) for part in (result.related, result.recovery, result.false_alarms)] == [2, 1, 2]


def test_a_check_is_ok_only_for_the_exact_figure() -> None:
    assert Check("events", "calls", "soc", 5, 5).ok
    assert not Check("events", "calls", "soc", 4, 5).ok
    assert not Check("events", "calls", "soc", None, 0).ok
