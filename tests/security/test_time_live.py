"""Events dated far ahead on Apache Kafka: a real worker, its snapshots, and a store that keeps what was marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.decode import FEEDBACK_HEADER
from streams.runtime.partitioning import window_key
from streams.runtime.snapshot_codec import decode
from streams.runtime.snapshot_store import to_records
from streams.runtime.topics import create_topics
from streams.sink.inserter import Inserter
from streams.sink.table_rows import TABLES
from tests.conftest import MakeSettings
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.security.dated import ATTACKS, EXACT, FAR, RULES, STATES, calls, story
from tests.topics import read_all, values
from tests.waiting import until
from tools.replay import replay as replay_files

PARTITION = 1
FAR_MS = 7_258_118_399_000
POISONED = decode(Path("tests/fixtures/poisoned_snapshot.bin").read_bytes())
"""Of the version before: 80 events of eight tenants, dated 2199, had moved its clocks; its offset is 79."""


async def publish(tree: Settings, events: Iterable[dict[str, Any]]) -> None:
    """Publish to one partition; the producer dates the records of far events far ahead too."""
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=5)
    await producer.start()
    for event in events:
        headers = [FEEDBACK_HEADER] if event.get("kind") == "feedback" else []
        ms = FAR_MS if event["time"] == FAR else None
        await producer.send(
            tree.kafka.topic("events"), orjson.dumps(event), partition=PARTITION, headers=headers, timestamp_ms=ms
        )
    await producer.stop()


@pytest.fixture
def tree(kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path) -> Settings:
    (tmp_path / "rules.yaml").write_text(RULES)
    return settings(kafka.brokers, alerts={"rules_file": tmp_path / "rules.yaml"}, kafka={"brokers": kafka.brokers})


def by_offset(row: dict[str, Any]) -> int:
    """A topic's partitions are read one after the other."""
    return int(row["source_offset"])


def newest_windows(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {window_key(row): row for row in sorted(rows, key=lambda row: int(row["version"]))}


def minutes(rows: Iterable[dict[str, Any]], tenant: str) -> dict[str, int]:
    mine = [row for row in newest_windows(rows).values() if row["tenant"] == tenant]
    return {row["window_start"][11:16]: row["events"] for row in mine if row["window_start"][:10] == "2026-01-01"}


def states(rows: Iterable[dict[str, Any]], tenant: str) -> list[tuple[str, str, str]]:
    mine = sorted((row for row in rows if row["segment"]["tenant"] == tenant), key=by_offset)
    return [(row["rule"], row["state"], row["changed_at"][11:16]) for row in mine]


async def lived_through(tree: Settings, *runs: Sequence[dict[str, Any]]) -> None:
    """Publish each run and judge it with a worker of its own, which continues from the snapshot of the one before."""
    done = 0
    for run in runs:
        await publish(tree, run)
        done += len(run)
        async with judging(tree) as worker:
            await until(lambda: judged(worker) == done, 90)  # noqa: B023 - it is awaited here


async def test_a_worker_and_its_successor_are_not_blinded(tree: Settings, tmp_path: Path) -> None:
    await create_topics(tree.kafka)
    hostile = [event for name in ("40", "8 tenants", "halves", "labels", "otlp") for event in ATTACKS[name]()]
    named = [event | {"event_id": f"{event.get('event_id')}-{k}"} for k, event in enumerate(hostile)]
    own = [event | {"tenant": "good", "event_id": f"own{k}", "call_id": f"own{k}"} for k, event in enumerate(calls(40))]
    ordinary = [event for event, _ in story("good")]
    half = len(ordinary) // 2
    await lived_through(tree, [*named, *own], ordinary[:half], [*named[:50], *ordinary[half:]])
    rows = {name: await values(tree, name) for name in ("scored", "alerts", "aggregates", "dead_letters")}
    assert rows["dead_letters"] == []
    assert minutes(rows["aggregates"], "good") == EXACT
    assert states(rows["alerts"], "good")[:3] == STATES
    far = [row for row in rows["scored"] if row["event"]["time"].startswith("2199")]
    assert len(far) == 40 + 400 + 40 + 40 + 40 + 40
    assert all(row["input_issues"] == ["time_skew"] for row in far)
    assert not any("input_issues" in row for row in rows["scored"] if row not in far)
    stored = stored_events(tmp_path, [orjson.dumps(row) for row in rows["scored"]])
    assert stored == (len(rows["scored"]), len(far), len(far))
    await assert_replayed(tree, tmp_path, rows)


def stored_events(tmp_path: Path, scored: Sequence[bytes]) -> tuple[int, ...]:
    """Return what the store has: events, those that are marked, those that are dated 2199."""
    tree = Settings(clickhouse=ClickHouseSettings(path=tmp_path / "store"))
    client = connect(tree.clickhouse)
    migrate(client, tree)
    inserter = Inserter(lambda: connect(tree.clickhouse), "streamgauge")
    (table,) = [table for table in TABLES if table.topic == "scored"]
    records = [Kept(k, value) for k, value in enumerate(scored)]
    assert not inserter.insert(table, "t-0-0-0", records, (-1, -1)).rejected
    query = (
        "SELECT count(), countIf(has(input_issues, 'time_skew')), countIf(toYear(time) = 2199) FROM streamgauge.events"
    )
    found = tuple(client.query(query).result_rows[0])
    inserter.close()
    client.close()
    return found


@dataclass
class Kept:
    """A record as the sink reads it."""

    offset: int
    value: bytes | None
    timestamp: int = 1_800_000_000_000
    key: bytes | None = None


async def assert_replayed(tree: Settings, tmp_path: Path, live: dict[str, list[dict[str, Any]]]) -> None:
    """What the partition held, with the broker's time in front of each record, is judged anew as it was."""
    held = [r for r in await read_all(tree, "events") if r.partition == PARTITION]
    assert {r.timestamp_type for r in held} == {1}
    assert max(r.timestamp for r in held) < FAR_MS
    lines = [b"LogAppendTime:%d\t%b" % (r.timestamp, r.value) for r in held]
    (tmp_path / "held.jsonl").write_bytes(b"\n".join(lines))
    replay_files([tmp_path / "held.jsonl"], tmp_path / "out", tree, partition=PARTITION)
    again = {
        name: [orjson.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_bytes().splitlines()]
        for name in ("scored", "alerts", "aggregates")
    }
    assert again["scored"] == live["scored"]
    assert sorted(again["alerts"], key=by_offset) == sorted(live["alerts"], key=by_offset)
    assert newest_windows(again["aggregates"]) == newest_windows(live["aggregates"])


async def test_a_snapshot_that_was_poisoned_before_the_upgrade_is_outlived(tree: Settings) -> None:
    await create_topics(tree.kafka)
    await publish(tree, calls(POISONED.offset + 1, tenants=8))
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers)
    await producer.start()
    for key, value in to_records(replace(POISONED, partition=PARTITION), 0):
        await producer.send_and_wait(tree.kafka.topic("snapshots"), value, key=key, partition=PARTITION)
    await producer.stop()
    ordinary = [event for event, _ in story("good")]
    await publish(tree, ordinary)
    async with judging(tree) as worker:
        await until(lambda: judged(worker) == POISONED.offset + 1 + len(ordinary), 90)
    rows = {name: await values(tree, name) for name in ("scored", "alerts", "aggregates")}
    # It was taken up: what it includes was not judged again.
    assert not any(row["event"]["time"] == FAR for row in rows["scored"])
    assert minutes(rows["aggregates"], "good") == EXACT
    assert states(rows["alerts"], "good")[:3] == STATES
