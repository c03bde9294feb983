"""Delivery over HTTP, against a server that answers as the gateway does."""

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
from streamgauge.transports.answers import judge
from streamgauge.transports.backoff import Backoff
from unit.conftest import Wait
from unit.test_publisher import balanced


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with listening() as running:
        yield running


def publisher(gateway: Gateway, **settings: Any) -> EventPublisher:
    usual: dict[str, Any] = {"tenant": "clinic", "app": "triage", "linger_ms": 1}
    return EventPublisher(gateway.url, **(usual | settings))


def publish(to: EventPublisher, count: int, **fields: Any) -> None:
    for n in range(count):
        to.publish({"event_id": f"e{n}", **fields})


def test_events_go_in_batches_over_one_connection(gateway: Gateway) -> None:
    with publisher(gateway, api_key="sesame") as one:
        publish(one, 2_000)
        assert one.flush(30)
        assert one.stats.delivered == 2_000
    assert [item["event_id"] for item in gateway.taken] == [f"e{n}" for n in range(2_000)]
    assert {post.path for post in gateway.posts} == {"/v1/events"}
    assert gateway.posts[0].headers["authorization"] == "Bearer sesame"
    assert gateway.posts[0].headers["content-type"] == "application/x-ndjson"
    assert len(gateway.posts) < 100
    assert gateway.connections == 1


def test_feedback_has_a_path_of_its_own(gateway: Gateway) -> None:
    with publisher(gateway) as one:
        assert send_feedback(call_id="c1", signal="injection", label=True, conversation_id="conv", publisher=one)
        assert one.flush(30)
    (post,) = gateway.posts
    assert post.path == "/v1/feedback"
    assert post.items[0]["call_id"] == "c1"
    assert post.items[0]["conversation_id"] == "conv"


def test_the_path_of_the_url_is_kept(gateway: Gateway) -> None:
    with EventPublisher(f"{gateway.url}/monitor/", linger_ms=1) as one:
        publish(one, 1)
    assert gateway.posts[0].path == "/monitor/v1/events"


def test_the_tenant_is_left_to_the_key(gateway: Gateway) -> None:
    with EventPublisher(gateway.url, api_key="sesame", linger_ms=1) as one:
        publish(one, 1)
    assert "tenant" not in gateway.taken[0]


@pytest.mark.parametrize(
    "answer", [Answer(429), Answer(503), Answer(500), Answer(hang_up=True)], ids=["429", "503", "500", "hang up"]
)
def test_what_may_work_later_is_tried_again(gateway: Gateway, answer: Answer) -> None:
    gateway.will.extend([answer] * 2)
    with publisher(gateway) as one:
        publish(one, 10)
        assert one.flush(30)
        assert (one.stats.delivered, one.stats.failed) == (10, {})
    assert len(gateway.taken) == 10


def test_the_time_asked_for_is_waited(gateway: Gateway) -> None:
    gateway.will.append(Answer(429, headers={"Retry-After": "1"}))
    with publisher(gateway) as one:
        began = time.monotonic()
        publish(one, 1)
        assert one.flush(30)
        assert time.monotonic() - began >= 1


def test_a_server_that_is_not_there_yet_is_found_when_it_is(until: Wait) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EventPublisher(f"http://127.0.0.1:{port}", linger_ms=1) as one:
        publish(one, 5)
        assert not one.flush(0.2)
        assert one.stats.queued == 5
        with listening(port) as gateway:
            assert one.flush(30)
            assert len(gateway.taken) == 5


def test_what_the_gateway_sets_aside_is_counted_as_failed(gateway: Gateway) -> None:
    problems = [{"index": 1, "reason": "contract", "field": "time", "error": "time: no"}]
    gateway.will.append(Answer(202, {"accepted": 2, "rejected": 1, "problems": problems}))
    with publisher(gateway, linger_ms=50) as one:
        publish(one, 3)
        assert one.flush(30)
        assert (one.stats.delivered, one.stats.failed) == (2, {"rejected": 1})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415])
def test_what_will_never_work_is_given_up_and_said(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    gateway.will.append(Answer(status, {"error": "API key: not known; make one"}))
    with publisher(gateway, linger_ms=50) as one:
        publish(one, 3)
        assert one.flush(30)
        assert one.stats.failed == {f"http_{status}": 3}
    assert len(gateway.posts) == 1
    assert "not known; make one" in caplog.text


def test_a_body_too_large_is_split(gateway: Gateway) -> None:
    gateway.will.extend([Answer(413)] * 3)
    with publisher(gateway, linger_ms=50) as one:
        publish(one, 100)
        assert one.flush(30)
        assert (one.stats.delivered, one.stats.failed) == (100, {})
    sizes = [len(post.items) for post in gateway.posts[:4]]
    assert sizes[1:] == [size // 2 for size in sizes[:3]]
    assert sizes[-1] > 1


def test_one_event_too_large_is_given_up_alone(gateway: Gateway) -> None:
    gateway.will.append(Answer(413))
    with publisher(gateway) as one:
        publish(one, 1)
        assert one.flush(30)
        assert one.stats.failed == {"http_413": 1}


def test_an_idle_connection_that_the_server_closed_is_made_anew(gateway: Gateway) -> None:
    gateway.will.append(Answer(headers={"Connection": "close"}))
    with publisher(gateway) as one:
        publish(one, 1)
        assert one.flush(30)
        publish(one, 1)
        assert one.flush(30)
        assert one.stats.delivered == 2


def test_counts_are_exact_while_the_server_fails_at_random(gateway: Gateway) -> None:
    kinds = [Answer(), Answer(503), Answer(400), Answer(hang_up=True), Answer(413)]
    gateway.will.extend(kinds[n % len(kinds)] for n in range(20))
    with publisher(gateway, queue_size=300) as one:
        threads = [threading.Thread(target=publish, args=(one, 500)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert one.flush(60)
        stats = one.stats
        assert stats.published == 4_000
        assert balanced(stats)
        assert stats.delivered == len(gateway.taken)


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert judge(429, "7", b"").wait_s == 7
    assert 28 < (judge(503, later, b"").wait_s or 0) <= 30
    assert judge(503, "soon", b"").wait_s is None
    assert judge(503, None, b"").wait_s is None


def test_the_wait_doubles_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("streamgauge.transports.backoff.time.monotonic", lambda: now[0])
    monkeypatch.setattr("streamgauge.transports.backoff.random.uniform", lambda low, high: high)
    waits = []
    one = Backoff()
    for _ in range(12):
        one.failed()
        waits.append(one._until - now[0])
    assert waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert waits[-1] == pytest.approx(30)
    one.failed(1_000)
    assert one._until - now[0] == pytest.approx(300)
    one.succeeded()
    one.failed()
    assert one._until - now[0] == pytest.approx(0.2)
