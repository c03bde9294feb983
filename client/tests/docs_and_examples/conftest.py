"""Fixtures for the tests of the pages: an environment in which a page's program runs unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from docs_and_examples import pages
from docs_and_examples.scripts import Place, place

KAFKA = "kafka://localhost:9092"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[Place]:
    """Return local servers, and an environment in which programs find them."""
    with place(tmp_path) as one:
        yield one


@pytest.fixture
def kafka() -> Iterator[str]:
    """librdkafka's own mock cluster, in memory, as long as its producer lives."""
    host = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(host.list_topics(timeout=10).brokers.values()))
    host.list_topics("llm.alerts", timeout=10)
    yield f"{broker.host}:{broker.port}"
    host.flush(1)


@pytest.fixture
def published(at: Place) -> Any:
    """Run the program of a page; return what the monitor was sent. Only the monitor's address is another one."""

    def run(page: str) -> list[dict[str, Any]]:
        program = at.folder / "service.py"
        program.write_text(pages.program(page).replace(KAFKA, at.monitor.url))
        at.python(program)
        return at.monitor.events

    return run
