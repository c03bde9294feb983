"""Delivery over HTTP, to a server with the responses of the ingest service."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from gateway import Answer, Gateway, listening
from streamgauge import EventPublisher, send_feedback
from streamgauge.transports.backoff import Backoff
from streamgauge.transports.responses import classify_response
from unit.conftest import Wait, logged_reasons
from unit.test_publisher import balanced


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as running:
        yield running


def publisher(gateway: Gateway, **settings: Any) -> EventPublisher:
    defaults: dict[str, Any] = {"tenant": "clinic", "app": "triage", "linger_ms": 1}
    return EventPublisher(gateway.url, **(defaults | settings))


def publish(to: EventPublisher, count: int, **fields: Any) -> None:
    for n in range(count):
        to.publish({"event_id": f"e{n}", **fields})


def test_events_go_in_batches_over_one_connection(gateway: Gateway) -> None:
    with publisher(gateway, api_key="sesame") as sender:
        publish(sender, 2_000)
        assert sender.flush(30)
        assert sender.stats.delivered == 2_000
    assert [item["event_id"] for item in gateway.taken] == [f"e{n}" for n in range(2_000)]
    assert {post.path for post in gateway.posts} == {"/v1/events"}
    assert gateway.posts[0].headers["authorization"] == "Bearer sesame"
    assert gateway.posts[0].headers["content-type"] == "application/x-ndjson"
    assert len(gateway.posts) < 100
    assert gateway.connections == 1


def test_feedback_has_its_own_path(gateway: Gateway) -> None:
    with publisher(gateway) as sender:
        assert send_feedback(call_id="c1", signal="injection", label=True, conversation_id="conv", publisher=sender)
        assert sender.flush(30)
    (post,) = gateway.posts
    assert post.path == "/v1/feedback"
    assert post.items[0]["call_id"] == "c1"
    assert post.items[0]["conversation_id"] == "conv"


def test_the_path_of_the_url_is_kept(gateway: Gateway) -> None:
    with EventPublisher(f"{gateway.url}/monitor/", linger_ms=1) as sender:
        publish(sender, 1)
    assert gateway.posts[0].path == "/monitor/v1/events"


def test_with_an_api_key_no_default_tenant_is_sent(gateway: Gateway) -> None:
    with EventPublisher(gateway.url, api_key="sesame", linger_ms=1) as sender:
        publish(sender, 1)
    assert "tenant" not in gateway.taken[0]


@pytest.mark.parametrize(
    "answer", [Answer(429), Answer(503), Answer(500), Answer(hang_up=True)], ids=["429", "503", "500", "hang up"]
)
def test_temporary_failures_are_retried(gateway: Gateway, answer: Answer) -> None:
    gateway.will.extend([answer] * 2)
    with publisher(gateway) as sender:
        publish(sender, 10)
        assert sender.flush(30)
        assert (sender.stats.delivered, sender.stats.failed) == (10, {})
    assert len(gateway.taken) == 10


def test_retry_after_is_respected(gateway: Gateway) -> None:
    gateway.will.append(Answer(429, headers={"Retry-After": "1"}))
    with publisher(gateway) as sender:
        start = time.monotonic()
        publish(sender, 1)
        assert sender.flush(30)
        assert time.monotonic() - start >= 1


def test_events_wait_until_the_server_starts(until: Wait) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EventPublisher(f"http://127.0.0.1:{port}", linger_ms=1) as sender:
        publish(sender, 5)
        assert not sender.flush(0.2)
        assert sender.stats.queued == 5
        with listening(port) as gateway:
            assert sender.flush(30)
            assert len(gateway.taken) == 5


def test_rejected_events_are_counted_as_failed(gateway: Gateway) -> None:
    problems = [{"index": 1, "reason": "contract", "field": "time", "error": "time: no"}]
    gateway.will.append(Answer(202, {"accepted": 2, "rejected": 1, "problems": problems}))
    with publisher(gateway, linger_ms=50) as sender:
        publish(sender, 3)
        assert sender.flush(30)
        assert (sender.stats.delivered, sender.stats.failed) == (2, {"rejected": 1})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415])
def test_permanent_failures_are_counted_and_logged(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    gateway.will.append(Answer(status, {"error": "unknown API key"}))
    with publisher(gateway, linger_ms=50) as sender:
        publish(sender, 3)
        assert sender.flush(30)
        assert sender.stats.failed == {f"http_{status}": 3}
    assert len(gateway.posts) == 1
    assert f"http.{status}" in logged_reasons(caplog)


def test_a_body_too_large_is_split(gateway: Gateway) -> None:
    gateway.will.extend([Answer(413)] * 3)
    with publisher(gateway, linger_ms=50) as sender:
        publish(sender, 100)
        assert sender.flush(30)
        assert (sender.stats.delivered, sender.stats.failed) == (100, {})
    sizes = [len(post.items) for post in gateway.posts[:4]]
    assert sizes[1:] == [size // 2 for size in sizes[:3]]
    assert sizes[-1] > 1


def test_a_single_event_too_large_fails(gateway: Gateway) -> None:
    gateway.will.append(Answer(413))
    with publisher(gateway) as sender:
        publish(sender, 1)
        assert sender.flush(30)
        assert sender.stats.failed == {"http_413": 1}


def test_an_idle_connection_closed_by_the_server_is_reopened(gateway: Gateway) -> None:
    gateway.will.append(Answer(headers={"Connection": "close"}))
    with publisher(gateway) as sender:
        publish(sender, 1)
        assert sender.flush(30)
        publish(sender, 1)
        assert sender.flush(30)
        assert sender.stats.delivered == 2


def test_counts_are_exact_while_the_server_fails_at_random(gateway: Gateway) -> None:
    kinds = [Answer(), Answer(503), Answer(400), Answer(hang_up=True), Answer(413)]
    gateway.will.extend(kinds[n % len(kinds)] for n in range(20))
    with publisher(gateway, queue_size=300) as sender:
        threads = [threading.Thread(target=publish, args=(sender, 500)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sender.flush(60)
        stats = sender.stats
        assert stats.published == 4_000
        assert balanced(stats)
        assert stats.delivered == len(gateway.taken)


def test_retry_after_may_be_seconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert classify_response(429, "7", b"").wait_s == 7
    assert 28 < (classify_response(503, later, b"").wait_s or 0) <= 30
    assert classify_response(503, "soon", b"").wait_s is None
    assert classify_response(503, None, b"").wait_s is None


def test_the_back_off_doubles_up_to_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("streamgauge.transports.backoff.time.monotonic", lambda: now[0])
    monkeypatch.setattr("streamgauge.transports.backoff.random.uniform", lambda low, high: high)
    waits = []
    backoff = Backoff()
    for _ in range(12):
        backoff.record_failure()
        waits.append(backoff._until - now[0])
    assert waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert waits[-1] == pytest.approx(30)
    backoff.record_failure(1_000)
    assert backoff._until - now[0] == pytest.approx(300)
    backoff.record_success()
    backoff.record_failure()
    assert backoff._until - now[0] == pytest.approx(0.2)
