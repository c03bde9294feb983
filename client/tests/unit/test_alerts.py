"""Parsing, filters and subscriptions of alerts."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import streamgauge
from confluent_kafka import Producer
from streamgauge import Alert, ConfigurationError, SubscriptionError
from streamgauge.alert_filter import AlertFilter
from streamgauge.alerts import read_alert
from unit.conftest import logged_reasons

RECORD: dict[str, Any] = {
    "alert_id": "a1",
    "fingerprint": "f1",
    "state": "firing",
    "rule": "injection-rate",
    "severity": "critical",
    "signal": "injection.flag",
    "segment": {"tenant": "clinic", "app": "triage"},
    "summary": "attacks rose from 1 % to 9 %",
    "value": 0.09,
    "threshold": 0.05,
    "started_at": "2026-01-01T00:00:00Z",
    "changed_at": "2026-01-01T00:01:00Z",
    "change_started_at": None,
    "evidence": ["e1"],
    "details": {"slice": "de"},
    "source_partition": 2,
    "source_offset": 17,
}


def raw(**changes: Any) -> bytes:
    return json.dumps(RECORD | changes).encode()


class Topic:
    """The alerts topic of a mock cluster."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._producer = Producer({"bootstrap.servers": urlsplit(url).netloc, "log_level": 0})
        self._producer.list_topics("llm.alerts", timeout=10)

    def put(self, *records: bytes | None) -> None:
        for record in records:
            self._producer.produce("llm.alerts", record, b"f1")
        assert self._producer.flush(10) == 0


@pytest.fixture
def topic(mock_kafka: str) -> Topic:
    return Topic(mock_kafka)


def test_a_record_becomes_a_typed_frozen_alert() -> None:
    alert = read_alert(raw(newer_field=[1]))
    assert (alert.state, alert.severity, alert.tenant, alert.app) == ("firing", "critical", "clinic", "triage")
    assert alert.started_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (alert.change_started_at, alert.evidence, alert.details) == (None, ("e1",), {"slice": "de"})
    assert alert.extra == {"newer_field": [1]}
    with pytest.raises(FrozenInstanceError):
        alert.state = "resolved"  # type: ignore[misc] # the point


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state": "burning"}, "state"),
        ({"started_at": "today"}, "started_at"),
        ({"started_at": "2026-01-01T00:00:00"}, "started_at"),
        ({"segment": "clinic"}, "segment"),
        ({"value": "high"}, "value"),
        ({"evidence": 5}, "evidence"),
        ({"rule": None}, "rule"),
    ],
)
def test_an_invalid_record_is_rejected_with_the_field(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_alert(raw(**changes))


def test_a_missing_field_is_named() -> None:
    record = {name: value for name, value in RECORD.items() if name != "summary"}
    with pytest.raises(ValueError, match="summary"):
        read_alert(json.dumps(record).encode())


@pytest.mark.parametrize(
    ("allowed", "matches"),
    [
        ({}, True),
        ({"app": "triage", "severity": "critical", "state": "firing", "tenant": "clinic"}, True),
        ({"app": ["triage", "advisor"], "severity": {"warning", "critical"}}, True),
        ({"app": "tri"}, False),
        ({"severity": ("info", "warning")}, False),
        ({"rule": "injection-rate"}, True),
        ({"tenant": []}, False),
    ],
)
def test_a_filter_takes_one_value_or_several(allowed: dict[str, Any], matches: bool) -> None:
    assert AlertFilter(**allowed)(read_alert(raw())) is matches


@pytest.mark.parametrize(
    ("allowed", "setting"),
    [({"severity": "crit"}, "severity"), ({"state": ["firing", "open"]}, "state")],
)
def test_a_filter_rejects_unknown_severities_and_states(allowed: dict[str, Any], setting: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        AlertFilter(**allowed)
    assert raised.value.setting == setting


def test_a_subscription_starts_at_the_end_of_the_topic(topic: Topic) -> None:
    topic.put(raw(alert_id="before"))
    with streamgauge.subscribe_alerts(topic.url, idle_s=2) as alerts:
        topic.put(raw(alert_id="after"))
        assert next(alerts).alert_id == "after"


def test_start_earliest_reads_all_alerts_of_the_topic(topic: Topic) -> None:
    topic.put(raw(alert_id="one"), raw(alert_id="two", severity="info"), raw(alert_id="three"))
    with streamgauge.subscribe_alerts(topic.url, start="earliest", severity="critical", idle_s=1) as alerts:
        assert [alert.alert_id for alert in alerts] == ["one", "three"]


def test_records_that_are_not_alerts_are_skipped_and_counted(topic: Topic, caplog: pytest.LogCaptureFixture) -> None:
    topic.put(b"{", b"[]", raw(state="burning"), None, raw(alert_id="good"))
    with streamgauge.subscribe_alerts(topic.url, start="earliest", idle_s=1) as alerts:
        assert [alert.alert_id for alert in alerts] == ["good"]
        assert alerts.skipped == 3
    assert logged_reasons(caplog) == ["alerts.skipped"]


def test_stop_from_another_thread_ends_the_iteration(topic: Topic) -> None:
    alerts = streamgauge.subscribe_alerts(topic.url)
    seen: list[Alert] = []
    thread = threading.Thread(target=lambda: seen.extend(alerts))
    thread.start()
    alerts.stop()
    thread.join(10)
    assert not thread.is_alive()
    alerts.close()


def test_a_subscription_uses_the_url_of_configure(topic: Topic) -> None:
    streamgauge.configure(topic.url)
    topic.put(raw())
    with streamgauge.subscribe_alerts(start="earliest", idle_s=1) as alerts:
        assert next(alerts).alert_id == "a1"


def test_an_unreachable_broker_is_a_subscription_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamgauge.alert_source.METADATA_TIMEOUT_S", 0.2)
    with pytest.raises(SubscriptionError):
        streamgauge.subscribe_alerts("kafka://127.0.0.1:1")


@pytest.mark.parametrize("url", ["https://monitor", None])
def test_a_subscription_needs_a_kafka_url(url: str | None) -> None:
    with pytest.raises(ConfigurationError) as raised:
        streamgauge.subscribe_alerts(url)
    assert raised.value.setting == "url"


async def test_an_async_subscription_yields_matching_alerts(topic: Topic) -> None:
    async with streamgauge.subscribe_alerts_async(topic.url, app="triage", idle_s=5) as alerts:
        topic.put(raw(alert_id="other", segment={"app": "other"}), raw(alert_id="mine"))
        assert (await anext(alerts)).alert_id == "mine"


async def test_an_async_subscription_stops_when_idle(topic: Topic) -> None:
    topic.put(raw(), b"{")
    async with streamgauge.subscribe_alerts_async(topic.url, start="earliest", idle_s=0.5) as alerts:
        assert [alert.alert_id async for alert in alerts] == ["a1"]
        assert alerts.skipped == 1


async def test_a_cancelled_wait_loses_no_alert(topic: Topic) -> None:
    async with streamgauge.subscribe_alerts_async(topic.url, idle_s=10) as alerts:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(alerts), 0.01)
        topic.put(raw(alert_id="late"))
        assert (await anext(alerts)).alert_id == "late"
