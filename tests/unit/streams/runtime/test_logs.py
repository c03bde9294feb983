"""Throttling of repeated library messages, with counts of suppressed messages."""

from __future__ import annotations

import logging

from streams.runtime.logs import INTERVAL_S, Throttle

FETCH_FAILED = "Failed fetch messages from %s: %s"


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, values, None)


def test_a_flood_is_logged_once_per_interval_with_its_count() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    written = []
    for n in range(1000):
        now[0] = n * INTERVAL_S / 500
        message = record("aiokafka.consumer.fetcher", FETCH_FAILED, n % 3, "NodeNotReadyError")
        if throttle.filter(message):
            written.append(message.getMessage())
    assert written == [
        "Failed fetch messages from 0: NodeNotReadyError",
        "Failed fetch messages from 2: NodeNotReadyError (499 equal messages suppressed)",
    ]


def test_different_messages_and_other_loggers_are_not_throttled() -> None:
    throttle = Throttle(lambda: 0.0)
    assert throttle.filter(record("aiokafka.a", FETCH_FAILED, 1, 2))
    assert throttle.filter(record("aiokafka.a", "Group Coordinator Request failed: %s", 1))
    assert throttle.filter(record("aiokafka.b", FETCH_FAILED, 1, 2))
    assert all(throttle.filter(record("streams.sink", "insert failed")) for _ in range(3))
    assert all(throttle.filter(record("models", "ours")) for _ in range(3))
    assert not throttle.filter(record("aiokafka.a", FETCH_FAILED, 3, 4))


def test_a_new_error_type_is_logged_during_a_flood() -> None:
    throttle = Throttle(lambda: 0.0)
    assert throttle.filter(record("aiokafka.a", FETCH_FAILED, 1, ConnectionError("gone")))
    assert not throttle.filter(record("aiokafka.a", FETCH_FAILED, 2, ConnectionError("gone")))
    assert throttle.filter(record("aiokafka.a", FETCH_FAILED, 1, PermissionError("topic")))


def test_unlimited_messages_use_bounded_memory() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(5_000):
        throttle.filter(record("faust", f"offset {n}"))
    assert len(throttle._last_written) <= 1_000
