"""A second version in shadow, in a worker on Apache Kafka itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.outputs import ShadowFinding
from schemas.settings import Settings
from streams.runtime.settings_override import load_override
from streams.runtime.topics import TOPICS, create_topics
from streams.shadow.shadow import Shadow
from tests.conftest import MakeSettings
from tests.integration.test_replay_is_live import grouped, last_of_each_window, publish
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.topics import values
from tests.traffic import lines
from tests.waiting import until
from tools.diff import diff
from tools.replay import replay

SECOND = """
drift: {events_per_false_alarm: 100, reference_events: 50}
"""


@pytest.fixture
def shadowed(settings: MakeSettings, tmp_path: Path) -> Any:
    """Return a factory of settings with a shadow file."""
    path = tmp_path / "second.yaml"
    path.write_text(SECOND)
    return lambda brokers: settings(brokers, worker={"shadow_file": path})


async def live(tree: Settings, raws: list[bytes], stops: int = 1) -> dict[str, list[dict[str, Any]]]:
    """Score lines in a worker that is restarted ``stops`` times; return the rows on the topics."""
    await create_topics(tree.kafka)
    size = -(-len(raws) // stops)
    for at in range(0, len(raws), size):
        async with judging(tree) as worker:
            await publish(tree, raws[at : at + size])
            done = min(at + size, len(raws))
            await until(lambda worker=worker, done=done: judged(worker) == done, 90)  # type: ignore[misc] # bound now
    return {t: await values(tree, t) for t in ("scored", "alerts", "aggregates", "shadow")}


def replayed(raws: list[bytes], tree: Settings, folder: Path) -> dict[str, list[dict[str, Any]]]:
    source = folder / "events.jsonl"
    source.write_bytes(b"".join(raw + b"\n" for raw in raws))
    replay([source], folder / "out", tree)
    return {
        name: [orjson.loads(line) for line in (folder / "out" / f"{name}.jsonl").read_bytes().splitlines()]
        for name in ("scored", "alerts", "aggregates")
    }


def assert_primary_unchanged(
    published: dict[str, list[dict[str, Any]]], expected: dict[str, list[dict[str, Any]]]
) -> None:
    assert expected["alerts"]
    assert grouped(published["scored"], "source_partition") == grouped(expected["scored"], "source_partition")
    assert grouped(published["alerts"], "fingerprint") == grouped(expected["alerts"], "fingerprint")
    assert last_of_each_window(published["aggregates"]) == last_of_each_window(expected["aggregates"])


@pytest.mark.parametrize("stops", [1, 3])
async def test_the_primary_is_unchanged_and_the_shadow_reports_the_differences_of_replay_diff(
    kafka: KafkaBroker, shadowed: Any, tmp_path: Path, stops: int
) -> None:
    tree: Settings = shadowed(kafka.brokers)
    raws = lines(3000)
    published = await live(tree, raws, stops)
    assert_primary_unchanged(published, replayed(raws, tree, tmp_path))
    findings = [ShadowFinding.model_validate(row) for row in published["shadow"]]
    assert {f.shadow for f in findings} == {"second"}
    second = load_override(tmp_path / "second.yaml", tree)
    found = diff([tmp_path / "events.jsonl"], tree, second)
    firing = [f for f in findings if f.alert is not None and f.alert.state == "firing"]
    appeared = {f.alert.alert_id for f in firing if f.alert and f.verdict == "appeared"}
    expected = {e.alert_id for e in found.appeared} | {
        p.new.alert_id for p in found.changed if p.old.alert_id != p.new.alert_id
    }
    assert appeared == expected != set()


async def test_a_failing_shadow_leaves_the_primary_unchanged(
    kafka: KafkaBroker, shadowed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def fails(*_: Any) -> Any:
        nonlocal calls
        calls += 1
        raise RuntimeError("a defect of the shadow")

    monkeypatch.setattr(Shadow, "_score", fails)
    tree: Settings = shadowed(kafka.brokers)
    raws = lines(1500)
    published = await live(tree, raws)
    assert 1 <= calls <= tree.kafka.partitions
    assert published["shadow"] == []
    assert_primary_unchanged(published, replayed(raws, tree, tmp_path))


async def test_a_missing_shadow_topic_delays_no_events(kafka: KafkaBroker, shadowed: Any, topics: Any) -> None:
    tree: Settings = shadowed(kafka.brokers)
    topics(*(topic.name for topic in TOPICS if topic.name != "shadow"))
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers)
    await producer.start()
    raws = lines(1200)
    async with judging(tree) as worker:
        for i, raw in enumerate(raws):
            await producer.send(tree.kafka.topic("events"), raw, partition=i % 4)
        await until(lambda: judged(worker) == len(raws), 30)
    await producer.stop()
    assert len(await values(tree, "scored")) > 1000
