"""`EventPublisher`: queue, drops, counts and copies."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from streamgauge import EventPublisher, Stats
from streamgauge.content.policy import FAILED
from streamgauge.encoding import TOO_DEEP
from unit.conftest import MakeRecorder, Wait, logged_reasons

EVENT: dict[str, Any] = {"event_id": "e1", "call_id": "c1", "messages": [{"role": "user", "content": "hello"}]}
UNREACHABLE = "kafka://127.0.0.1:1"


def balanced(stats: Stats) -> bool:
    settled = stats.delivered + stats.sampled_out + sum(stats.dropped.values()) + sum(stats.failed.values())
    return stats.published == settled + stats.queued


def test_missing_fields_get_defaults(recorder: MakeRecorder) -> None:
    publisher = recorder(environment="staging")
    assert publisher.publish(EVENT)
    (event,) = publisher.events
    assert event["tenant"] == "clinic"
    assert event["app"] == "triage"
    assert event["environment"] == "staging"
    assert event["kind"] == "call"
    assert event["time"].endswith("Z")
    assert event["messages"] == EVENT["messages"]


def test_later_changes_of_the_host_are_not_sent(recorder: MakeRecorder) -> None:
    publisher = recorder(linger_ms=50)
    messages = [{"role": "user", "content": "first"}]
    publisher.publish({"messages": messages})
    messages[0]["content"] = "changed"
    messages.append({"role": "user", "content": "second"})
    assert [m["content"] for m in publisher.events[0]["messages"]] == ["first"]


def test_the_hosts_event_is_not_modified(recorder: MakeRecorder) -> None:
    event = {"messages": [{"role": "human", "content": [{"type": "text", "text": "hi"}]}]}
    publisher = recorder()
    publisher.publish(event)
    assert publisher.events[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert event == {"messages": [{"role": "human", "content": [{"type": "text", "text": "hi"}]}]}


class Explosive:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Hostile(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(key)

    def __iter__(self) -> Any:
        raise RuntimeError

    def __len__(self) -> int:
        return 1


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize("value", [None, 3, "text", b"bytes", [EVENT], Explosive(), Hostile(), {"a": Explosive()}])
def test_a_value_that_is_not_an_event_is_dropped_and_counted(recorder: MakeRecorder, value: Any) -> None:
    publisher = recorder()
    publisher.publish(value)
    publisher.flush()
    assert publisher.stats.dropped["invalid"] == 1
    assert balanced(publisher.stats)
    assert publisher.events == []


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (object, "<class 'object'>"),
        ({1: "a", None: "b"}, {"1": "a", "None": "b"}),
        ({"x"}, ["x"]),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        (2**70, str(2**70)),
        (b"bytes", "[5 bytes]"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (float("nan"), None),
        (threading.Lock, str(threading.Lock)),
    ],
)
def test_values_without_a_json_type_are_converted(recorder: MakeRecorder, value: Any, sent: Any) -> None:
    publisher = recorder()
    assert publisher.publish({"parameters": {"x": value}})
    assert publisher.events[0]["parameters"] == {"x": sent}


def test_recursive_lists_are_truncated(recorder: MakeRecorder) -> None:
    publisher = recorder()
    assert publisher.publish({"parameters": {"x": ENDLESS}})
    assert TOO_DEEP in str(publisher.events[0]["parameters"])


def test_events_beyond_the_queue_are_dropped_and_counted() -> None:
    publisher = EventPublisher(UNREACHABLE, queue_size=100)
    accepted = sum(publisher.publish(EVENT) for _ in range(250))
    assert (accepted, publisher.stats.dropped["queue_full"], publisher.stats.queued) == (100, 150, 100)
    assert balanced(publisher.stats)
    publisher.close(0)


def test_bytes_beyond_the_queue_are_dropped_and_counted() -> None:
    publisher = EventPublisher(UNREACHABLE, queue_bytes=100_000)
    large = {"messages": [{"role": "user", "content": "x" * 10_000}]}
    accepted = sum(publisher.publish(large) for _ in range(50))
    assert accepted == 9
    assert publisher.stats.dropped["queue_bytes"] == 41
    assert publisher.stats.queued_bytes <= 100_000
    assert balanced(publisher.stats)
    publisher.close(0)


def test_events_fail_after_the_delivery_timeout(until: Wait) -> None:
    publisher = EventPublisher(UNREACHABLE, delivery_timeout_s=1, queue_size=2_000)
    for _ in range(1_500):
        publisher.publish(EVENT)
    until(lambda: publisher.stats.failed.get("timed_out") == 1_500)
    assert balanced(publisher.stats)
    publisher.close(0)


def test_after_close_events_are_dropped_and_counted(recorder: MakeRecorder) -> None:
    publisher = recorder()
    publisher.publish(EVENT)
    assert publisher.close()
    assert not publisher.publish(EVENT)
    assert (publisher.stats.delivered, publisher.stats.dropped["closed"]) == (1, 1)
    assert balanced(publisher.stats)


def test_counts_are_exact_from_many_threads(recorder: MakeRecorder) -> None:
    publisher = recorder(queue_size=500)
    results: list[int] = []

    def publish() -> None:
        results.append(sum(publisher.publish(EVENT) for _ in range(2_000)))

    threads = [threading.Thread(target=publish) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert publisher.flush(30)
    stats = publisher.stats
    assert stats.published == 32_000
    assert stats.delivered == sum(results)
    assert stats.dropped["queue_full"] == 32_000 - sum(results)
    assert (stats.queued, stats.queued_bytes) == (0, 0)


def test_a_finaliser_may_publish_in_the_middle_of_publishing(recorder: MakeRecorder, until: Wait) -> None:
    publisher = recorder(queue_size=100_000)

    class Stream:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            publisher.publish(EVENT)

    threshold = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for _ in range(3_000):
            Stream()
            publisher.publish(EVENT)
    finally:
        gc.set_threshold(*threshold)
    # The collector may run in another thread; objects that it missed are collected later.
    until(lambda: gc.collect() >= 0 and publisher.stats.published == 6_000)
    assert publisher.flush(30)
    assert publisher.stats.delivered == 6_000


def test_request_and_response_are_sampled_together(recorder: MakeRecorder) -> None:
    publisher = recorder(sample_rate=0.3)
    for n in range(2_000):
        publisher.publish({"call_id": f"c{n}", "kind": "request"})
        publisher.publish({"call_id": f"c{n}", "kind": "response"})
    sent = [event["call_id"] for event in publisher.events]
    assert all(sent.count(call_id) == 2 for call_id in set(sent))
    assert 500 < len(set(sent)) < 700
    assert publisher.stats.sampled_out == 4_000 - len(sent)
    assert balanced(publisher.stats)


def test_a_flush_completes_while_events_keep_arriving(recorder: MakeRecorder) -> None:
    publisher = recorder()
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            publisher.publish(EVENT)
            stop.wait(0.0005)

    thread = threading.Thread(target=publish)
    thread.start()
    assert publisher.flush(10)
    stop.set()
    thread.join()


def test_a_full_queue_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture, until: Wait) -> None:
    with caplog.at_level(logging.WARNING, "streamgauge"):
        publisher = EventPublisher(UNREACHABLE, queue_size=10)
        for _ in range(5_000):
            publisher.publish(EVENT)
        until(lambda: "dropped.queue_full" in logged_reasons(caplog))
        publisher.close(0)
    assert logged_reasons(caplog).count("dropped.queue_full") == 1


def test_the_log_never_quotes_an_event(recorder: MakeRecorder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        publisher = recorder(content="redacted", redact=lambda text: text[99999])
        publisher.publish({"messages": [{"role": "user", "content": "my secret"}], "x": Explosive()})
        publisher.publish({"messages": [{"role": "user", "content": "my secret"}]})
        assert publisher.events[0]["messages"][0]["content"] == FAILED
    assert caplog.messages
    assert "my secret" not in caplog.text


def test_a_with_block_closes(recorder: MakeRecorder) -> None:
    with recorder() as publisher:
        publisher.publish(EVENT)
    assert publisher.stats.delivered == 1
    assert not publisher.publish(EVENT)
