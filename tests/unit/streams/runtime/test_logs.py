"""What a library says over and over is written now and then, with how often it was."""

from __future__ import annotations

import logging

from streams.runtime.logs import EVERY_S, Throttle

AWAY = "Failed fetch messages from %s: %s"


def record(name: str, message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, message, values, None)


def test_a_flood_is_one_line_and_then_one_with_its_count() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    written = []
    for n in range(1000):
        now[0] = n * EVERY_S / 500
        said = record("aiokafka.consumer.fetcher", AWAY, n % 3, "NodeNotReadyError")
        if throttle.filter(said):
            written.append(said.getMessage())
    assert written == [
        "Failed fetch messages from 0: NodeNotReadyError",
        "Failed fetch messages from 2: NodeNotReadyError (and 499 times more since)",
    ]


def test_other_messages_and_other_loggers_are_not_held_back() -> None:
    throttle = Throttle(lambda: 0.0)
    assert throttle.filter(record("aiokafka.a", AWAY, 1, 2))
    assert throttle.filter(record("aiokafka.a", "Group Coordinator Request failed: %s", 1))
    assert throttle.filter(record("aiokafka.b", AWAY, 1, 2))
    assert all(throttle.filter(record("streams.sink", "held back")) for _ in range(3))
    assert all(throttle.filter(record("models", "ours")) for _ in range(3))
    assert not throttle.filter(record("aiokafka.a", AWAY, 3, 4))


def test_another_kind_of_error_is_news_in_the_middle_of_a_flood() -> None:
    throttle = Throttle(lambda: 0.0)
    assert throttle.filter(record("aiokafka.a", AWAY, 1, ConnectionError("gone")))
    assert not throttle.filter(record("aiokafka.a", AWAY, 2, ConnectionError("gone")))
    assert throttle.filter(record("aiokafka.a", AWAY, 1, PermissionError("topic")))


def test_messages_without_end_take_no_memory_without_end() -> None:
    throttle = Throttle(lambda: 0.0)
    for n in range(5_000):
        throttle.filter(record("faust", f"offset {n}"))
    assert len(throttle._said) <= 1_000
