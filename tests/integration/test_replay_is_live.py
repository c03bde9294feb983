"""`streamgauge replay` of a file and a live run of the same lines say the same, byte for byte."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from schemas.settings import Settings
from streams.runtime.decode import FEEDBACK_HEADER, decode_event
from streams.runtime.partitioning import event_key, window_key
from streams.runtime.topics import create_topics
from streams.worker.app import Worker
from tests.conftest import MakeSettings
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.topics import read_all
from tests.traffic import lines
from tests.waiting import until
from tools.replay import replay

EVENTS = 6_000


def with_labels(raws: list[bytes]) -> list[bytes]:
    """Put a label some way behind every twentieth whole call."""
    out: list[bytes] = []
    for i, raw in enumerate(raws):
        out.append(raw)
        if i >= 40 and i % 20 == 0:
            event = orjson.loads(raws[i - 40])
            label = {name: event[name] for name in ("call_id", "time", "tenant", "app")}
            signal = ("injection", "hallucination")[i // 20 % 2]
            out.append(
                orjson.dumps(
                    label | {"kind": "feedback", "feedback_id": f"f{i}", "signal": signal, "label": i % 3 == 0}
                )
            )
    return out


async def publish(settings: Settings, raws: list[bytes]) -> None:
    """Publish by key, as clients do; labels as the worker forwards them: their place in the log is the file's."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.brokers, linger_ms=5)
    await producer.start()
    for raw in raws:
        headers = [FEEDBACK_HEADER] if b'"feedback"' in raw else []
        key = event_key(decode_event(raw, headers))
        await producer.send(settings.kafka.topic("events"), raw, key=key, headers=headers)
    await producer.stop()


def grouped(rows: list[dict[str, Any]], name: str) -> dict[Any, list[dict[str, Any]]]:
    """Group rows, in their order, by what a partition of their topic holds together."""
    out: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        out.setdefault(row[name], []).append(row)
    return out


def last_of_each_window(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {window_key(row): row for row in sorted(rows, key=lambda r: int(r["version"]))}


async def test_what_a_partition_held_is_judged_anew_as_it_was(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    """An audit: halves keyed as their service did, not as their own fields say; labels without a kind; a bad record."""
    tree = settings(kafka.brokers, worker={"chunk_records": 97})
    raws = [raw.replace(b'"kind":"feedback",', b"") for raw in with_labels(lines(1_500))]
    raws[98] = b"{"  # of the partition that is replayed
    await create_topics(tree.kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.brokers, linger_ms=5)
    await producer.start()
    for n, raw in enumerate(raws):
        headers = [FEEDBACK_HEADER] if b'"feedback_id"' in raw else []
        await producer.send(tree.kafka.topic("events"), raw, partition=n // 2 % 3 + 1, headers=headers)
    await producer.stop()
    async with judging(tree) as worker:
        await until(lambda: judged(worker) == len(raws), 90)
    held = [record.value for record in await read_all(tree, "events") if record.partition == 2]
    (tmp_path / "held.jsonl").write_bytes(b"\n".join(held))
    report = replay([tmp_path / "held.jsonl"], tmp_path / "out", tree, partition=2)
    live = [orjson.loads(record.value) for record in await read_all(tree, "scored")]
    again = [orjson.loads(line) for line in (tmp_path / "out" / "scored.jsonl").read_bytes().splitlines()]
    assert report.labels
    assert report.dead_letters == 1
    assert again == [row for row in live if row["source_partition"] == 2]
    alerts = [orjson.loads(record.value) for record in await read_all(tree, "alerts")]
    alerted = [orjson.loads(line) for line in (tmp_path / "out" / "alerts.jsonl").read_bytes().splitlines()]
    assert alerted
    assert grouped(alerted, "fingerprint") == grouped([a for a in alerts if a["source_partition"] == 2], "fingerprint")


async def test_replay_is_live(kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path) -> None:
    tree = settings(kafka.brokers, worker={"chunk_records": 97})
    raws = with_labels(lines(EVENTS))
    source = tmp_path / "events.jsonl.gz"
    with gzip.open(source, "wb", compresslevel=1) as file:
        file.writelines(raw + b"\n" for raw in raws)
    await create_topics(tree.kafka)
    await publish(tree, raws)

    worker = Worker(tree)
    await worker.start()
    await until(lambda: judged(worker) == len(raws), 90)
    await worker.stop()
    report = replay([source], tmp_path / "out", tree)

    live = {t: [orjson.loads(r.value) for r in await read_all(tree, t)] for t in ("scored", "alerts", "aggregates")}
    replayed = {
        name: [orjson.loads(line) for line in (tmp_path / "out" / f"{name}.jsonl").read_bytes().splitlines()]
        for name in live
    }
    assert report.scored == len(replayed["scored"]) > EVENTS * 0.8
    assert replayed["alerts"]
    assert grouped(live["scored"], "source_partition") == grouped(replayed["scored"], "source_partition")
    assert grouped(live["alerts"], "fingerprint") == grouped(replayed["alerts"], "fingerprint")
    assert last_of_each_window(live["aggregates"]) == last_of_each_window(replayed["aggregates"])
