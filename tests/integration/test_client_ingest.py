"""The client and the gateway, as they are: what one sends the other takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from streamgauge import AsyncEventPublisher, send_feedback

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.settings import Settings
from streams.ingest import create_key
from tests.conftest import MakeSettings
from tests.ingest import Client, running
from tests.topics import read_all


@pytest.fixture
def tree(mock_kafka: str, settings: MakeSettings) -> Settings:
    return settings(mock_kafka, ingest={"port": 0})


def keyed(tree: Settings, folder: Path, **entry: Any) -> tuple[Settings, str]:
    """Return settings with a key file, and its only key."""
    made = create_key.new_key("k", "acme", [], {})
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump([yaml.safe_load(made.entry)[0] | entry]))
    return tree.model_copy(update={"ingest": tree.ingest.model_copy(update={"keys_file": path})}), made.key


def publisher(gateway: Client, **more: Any) -> AsyncEventPublisher:
    return AsyncEventPublisher(f"http://127.0.0.1:{gateway.server.port}", app="triage", linger_ms=1, **more)


async def test_events_and_labels_reach_their_topics_under_one_key(tree: Settings) -> None:
    async with running(tree) as gateway, publisher(gateway, tenant="acme") as client:
        for n in range(300):
            client.publish({"call_id": f"c{n}", "conversation_id": f"conv-{n % 5}" if n % 2 else None})
        for n in range(10):
            conversation = f"conv-{n % 5}" if n % 2 else None
            send_feedback(
                call_id=f"c{n}", signal="injection", label=True, conversation_id=conversation, publisher=client
            )
        assert await client.flush(30)
        assert (client.stats.delivered, client.stats.failed) == (310, {})
    events = {LLMEvent.model_validate_json(r.value).call_id: r for r in await read_all(tree, "events")}
    labels = {Feedback.model_validate_json(r.value).call_id: r for r in await read_all(tree, "feedback")}
    assert (len(events), len(labels)) == (300, 10)
    for call_id, label in labels.items():
        assert (label.key, label.partition) == (events[call_id].key, events[call_id].partition)


async def test_the_key_says_whose_events_these_are(tree: Settings, tmp_path: Path) -> None:
    tree, key = keyed(tree, tmp_path)
    async with running(tree) as gateway, publisher(gateway, api_key=key) as client:
        client.publish({})
        send_feedback(call_id="c", signal="injection", label=True, publisher=client)
        assert await client.flush(30)
        assert client.stats.delivered == 2
    (event,) = await read_all(tree, "events")
    (label,) = await read_all(tree, "feedback")
    assert orjson.loads(event.value)["tenant"] == orjson.loads(label.value)["tenant"] == "acme"
    assert event.key == label.key == b"acme/triage"


async def test_what_the_key_may_not_send_is_counted_and_its_neighbours_arrive(tree: Settings, tmp_path: Path) -> None:
    tree, key = keyed(tree, tmp_path)
    async with running(tree) as gateway, publisher(gateway, api_key=key) as client:
        for n in range(20):
            client.publish({"tenant": "other" if n == 7 else "acme"})
        assert await client.flush(30)
        assert client.stats.delivered == 19
        assert sum(client.stats.failed.values()) == 1
    assert len(await read_all(tree, "events")) == 19


async def test_a_wrong_key_is_counted(tree: Settings, tmp_path: Path) -> None:
    tree, _ = keyed(tree, tmp_path)
    async with running(tree) as gateway, publisher(gateway, api_key="wrong") as client:
        client.publish({})
        assert await client.flush(30)
        assert client.stats.failed == {"http_401": 1}


async def test_a_quota_delays_events_and_loses_none(tree: Settings, tmp_path: Path) -> None:
    tree, key = keyed(tree, tmp_path, quota={"events_per_s": 200, "burst_s": 0.5})
    async with running(tree) as gateway, publisher(gateway, api_key=key) as client:
        for n in range(300):
            client.publish({"call_id": f"c{n}"})
        assert await client.flush(60)
        assert (client.stats.delivered, client.stats.failed) == (300, {})
    assert len(await read_all(tree, "events")) == 300
