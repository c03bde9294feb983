"""Publishing: what is queued, dropped, counted and copied."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from streamgauge import EventPublisher, Stats
from unit.conftest import MakeRecorder, Wait

EVENT: dict[str, Any] = {"event_id": "e1", "call_id": "c1", "messages": [{"role": "user", "content": "hello"}]}
NOWHERE = "kafka://127.0.0.1:1"


def balanced(stats: Stats) -> bool:
    ended = stats.delivered + stats.sampled_out + sum(stats.dropped.values()) + sum(stats.failed.values())
    return stats.published == ended + stats.queued


def test_what_is_published_is_sent_with_defaults_filled(recorder: MakeRecorder) -> None:
    publisher = recorder(environment="staging")
    assert publisher.publish(EVENT)
    (event,) = publisher.events
    assert event["tenant"] == "clinic"
    assert event["app"] == "triage"
    assert event["environment"] == "staging"
    assert event["kind"] == "call"
    assert event["time"].endswith("Z")
    assert event["messages"] == EVENT["messages"]


def test_what_the_host_changes_later_is_not_sent(recorder: MakeRecorder) -> None:
    publisher = recorder(linger_ms=50)
    messages = [{"role": "user", "content": "first"}]
    publisher.publish({"messages": messages})
    messages[0]["content"] = "changed"
    messages.append({"role": "user", "content": "second"})
    assert [m["content"] for m in publisher.events[0]["messages"]] == ["first"]


def test_the_event_of_the_host_is_left_as_it_is(recorder: MakeRecorder) -> None:
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


@pytest.mark.parametrize("what", [None, 3, "text", b"bytes", [EVENT], Explosive(), Hostile(), {"a": Explosive()}])
def test_what_is_no_event_is_dropped_and_counted(recorder: MakeRecorder, what: Any) -> None:
    publisher = recorder()
    publisher.publish(what)
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
def test_what_json_does_not_have_is_sent_as_the_nearest_it_has(recorder: MakeRecorder, value: Any, sent: Any) -> None:
    publisher = recorder()
    assert publisher.publish({"parameters": {"x": value}})
    assert publisher.events[0]["parameters"] == {"x": sent}


def test_lists_without_end_are_cut(recorder: MakeRecorder) -> None:
    publisher = recorder()
    assert publisher.publish({"parameters": {"x": ENDLESS}})
    assert "[nested too deep]" in str(publisher.events[0]["parameters"])


def test_events_beyond_the_queue_are_dropped_and_counted() -> None:
    publisher = EventPublisher(NOWHERE, queue_size=100)
    taken = sum(publisher.publish(EVENT) for _ in range(250))
    assert (taken, publisher.stats.dropped["queue_full"], publisher.stats.queued) == (100, 150, 100)
    assert balanced(publisher.stats)
    publisher.close(0)


def test_bytes_beyond_the_queue_are_dropped_and_counted() -> None:
    publisher = EventPublisher(NOWHERE, queue_bytes=100_000)
    large = {"messages": [{"role": "user", "content": "x" * 10_000}]}
    taken = sum(publisher.publish(large) for _ in range(50))
    assert taken == 9
    assert publisher.stats.dropped["queue_bytes"] == 41
    assert publisher.stats.queued_bytes <= 100_000
    assert balanced(publisher.stats)
    publisher.close(0)


def test_events_that_waited_too_long_are_given_up(until: Wait) -> None:
    publisher = EventPublisher(NOWHERE, delivery_timeout_s=1, queue_size=2_000)
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
    # The collector may be at work in another thread, where it leaves those that came too late for it.
    until(lambda: gc.collect() >= 0 and publisher.stats.published == 6_000)
    assert publisher.flush(30)
    assert publisher.stats.delivered == 6_000


def test_sampling_keeps_or_leaves_both_halves_of_a_call(recorder: MakeRecorder) -> None:
    publisher = recorder(sample_rate=0.3)
    for n in range(2_000):
        publisher.publish({"call_id": f"c{n}", "kind": "request"})
        publisher.publish({"call_id": f"c{n}", "kind": "response"})
    sent = [event["call_id"] for event in publisher.events]
    assert all(sent.count(call_id) == 2 for call_id in set(sent))
    assert 500 < len(set(sent)) < 700
    assert publisher.stats.sampled_out == 4_000 - len(sent)
    assert balanced(publisher.stats)


def test_a_flush_ends_although_events_keep_coming(recorder: MakeRecorder) -> None:
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


def test_a_full_queue_is_said_once_a_minute(caplog: pytest.LogCaptureFixture, until: Wait) -> None:
    with caplog.at_level(logging.WARNING, "streamgauge"):
        publisher = EventPublisher(NOWHERE, queue_size=10)
        for _ in range(5_000):
            publisher.publish(EVENT)
        until(lambda: "queue_full" in caplog.text)
        publisher.close(0)
    assert sum("queue_full" in line for line in caplog.messages) == 1


def test_the_log_never_quotes_an_event(recorder: MakeRecorder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        publisher = recorder(content="redacted", redact=lambda text: text[99999])
        publisher.publish({"messages": [{"role": "user", "content": "my secret"}], "x": Explosive()})
        publisher.publish({"messages": [{"role": "user", "content": "my secret"}]})
        assert publisher.events[0]["messages"][0]["content"] == "[redaction failed]"
    assert caplog.messages
    assert "my secret" not in caplog.text


def test_a_with_block_closes(recorder: MakeRecorder) -> None:
    with recorder() as publisher:
        publisher.publish(EVENT)
    assert publisher.stats.delivered == 1
    assert not publisher.publish(EVENT)
