"""What the unit tests share."""

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

# A machine that is shared makes time a poor judge.
hypothesis_settings.register_profile("client", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("client")


class MakeRecorder(Protocol):
    """Makes publishers that keep what they send."""

    def __call__(self, **settings: Any) -> Recorder: ...


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, no default publisher of another test, and each reason is said anew."""
    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(defaults, "_default", None)
    monkeypatch.setattr(defaults, "_next_look", 0.0)
    logs.forget()
    yield
    if defaults._default is not None:
        defaults._default.close(0)


@pytest.fixture
def recorder() -> Iterator[MakeRecorder]:
    made: list[Recorder] = []

    def make(**settings: Any) -> Recorder:
        made.append(Recorder(**({"tenant": "clinic", "app": "triage"} | settings)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def mock_kafka() -> Iterator[str]:
    """librdkafka's mock cluster; its ``kafka://`` URL."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    yield f"kafka://{broker.host}:{broker.port}"
    host.flush(1)  # the cluster lives as long as this client


Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def until() -> Wait:
    """Wait for a condition; fail after 30 s."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "did not happen within 30 s"
            time.sleep(0.002)

    return wait
