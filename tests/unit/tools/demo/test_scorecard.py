"""Which alerts count as a catch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.outputs import Alert
from tools.demo.exactness_checks import Check
from tools.demo.scorecard import Verdict, judge
from tools.simulator import AppTruth, Incident, Truth

BEGIN = datetime(2026, 1, 1, 9, tzinfo=UTC)
BEGIN_MS = round(BEGIN.timestamp() * 1000)


def truth() -> Truth:
    """One call a second; an injection campaign from second 100 to second 200."""
    app = AppTruth(calls=1_000, times_ms=[BEGIN_MS + 1000 * i for i in range(1_000)])
    affected = frozenset(f"e{i}" for i in range(100, 201, 2))
    incident = Incident(
        "injection", "campaign", "sentinel", "soc", BEGIN_MS + 100_000, BEGIN_MS + 200_000, 100, affected
    )
    return Truth(apps={"soc": app}, incidents=(incident,))


def alert(second: float, **fields: Any) -> Alert:
    at = BEGIN + timedelta(seconds=second)
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


def verdict(*alerts: Alert) -> Verdict:
    return judge(truth(), alerts)


def test_the_right_alert_catches_and_its_delay_is_counted_in_calls_and_time() -> None:
    [catch] = verdict(alert(130)).catches
    assert catch.alert is not None
    assert (catch.events, catch.delay_ms) == (31, 30_000)


def test_the_first_of_two_counts() -> None:
    found = verdict(alert(150), alert(130))
    assert found.catches[0].delay_ms == 30_000
    assert (found.caught, len(found.other), len(found.false)) == (1, 1, 0)


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
def test_any_other_alert_does_not(wrong: Alert) -> None:
    assert verdict(wrong).caught == 0


def test_alerts_are_sorted_into_related_recovering_and_false() -> None:
    found = verdict(
        alert(150, rule="drift", signal="drift.text"),
        alert(300, rule="drift", signal="drift.text"),
        alert(50, rule="drift", signal="drift.text"),
        alert(130, rule="injection-attempt", signal="injection.score", evidence=("e102",)),
        alert(131, rule="injection-attempt", signal="injection.score", evidence=("e103",)),
    )
    assert [len(part) for part in (found.other, found.after, found.false)] == [2, 1, 2]


def test_a_check_holds_only_for_the_very_number() -> None:
    assert Check("events", "calls", "soc", 5, 5).ok
    assert not Check("events", "calls", "soc", 4, 5).ok
    assert not Check("events", "calls", "soc", None, 0).ok
