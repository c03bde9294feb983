"""Fixtures of the unit tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from confluent_kafka import Producer
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from streamgauge import defaults, logs
from streamgauge.testing import Recorder

# Deadlines are meaningless on a shared machine.
hypothesis_settings.register_profile("client", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("client")


class MakeRecorder(Protocol):
    """Factory of publishers that keep their events."""

    def __call__(self, **settings: Any) -> Recorder: ...


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove settings from the environment, the default publisher of another test, and the log throttling."""
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(defaults, "_default", None)
    monkeypatch.setattr(defaults, "_next_attempt", 0.0)
    logs.reset_throttling()
    yield
    if defaults._default is not None:
        defaults._default.close(0)


@pytest.fixture
def recorder() -> Iterator[MakeRecorder]:
    publishers: list[Recorder] = []

    def make(**settings: Any) -> Recorder:
        publishers.append(Recorder(**({"tenant": "clinic", "app": "triage"} | settings)))
        return publishers[-1]

    yield make
    for publisher in publishers:
        publisher.close()


@pytest.fixture
def mock_kafka() -> Iterator[str]:
    """Start librdkafka's mock cluster; return its ``kafka://`` URL."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    yield f"kafka://{broker.host}:{broker.port}"
    host.flush(1)  # the cluster lives as long as this client


Wait = Callable[[Callable[[], bool]], None]


def logged_reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons of the client's log records."""
    return [getattr(record, "reason", "") for record in caplog.records if record.name == "streamgauge"]


@pytest.fixture
def until() -> Wait:
    """Wait for a condition; fail after 30 s."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "did not happen within 30 s"
            time.sleep(0.002)

    return wait
