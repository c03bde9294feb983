"""Rows dated over centuries: few parts an insert, each row once, and nobody else waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from schemas.setting_sections import ClickHouseSettings
from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.topics import create_topics
from streams.sink import Sink
from streams.sink.inserter import insert_settings
from streams.sink.monthly_inserts import MONTHS_PER_INSERT, month
from tests.conftest import MakeSettings
from tests.faults.processes import Service
from tests.kafka.broker import KafkaBroker
from tests.waiting import until

MONTHS = 2_700
FAR = 3_000


def scored(partition: int, offset: int, moment: datetime) -> bytes:
    identity = {"event_id": f"e{partition}-{offset}", "call_id": "c", "tenant": "t", "app": "a"}
    event = identity | {"time": moment.isoformat()}
    place = {"source_partition": partition, "source_offset": offset, "source_seq": 0}
    return orjson.dumps({"event": event, "signals": {}} | place)


def far(partition: int, rows: int = FAR, months: int = MONTHS) -> list[bytes]:
    """Return rows over 225 years, with ordinary ones among them."""
    dates = [datetime(1971 + n % months // 12, 1 + n % months % 12, 1, tzinfo=UTC) for n in range(rows)]
    now = datetime.now(UTC)
    return [scored(partition, n, now if n % 100 == 99 else date) for n, date in enumerate(dates)]


async def publish(tree: Settings, rows: list[bytes], partition: int, topic: str = "scored") -> None:
    producer = AIOKafkaProducer(bootstrap_servers=tree.kafka.brokers, linger_ms=20)
    await producer.start()
    for row in rows:
        await producer.send(tree.kafka.topic(topic), row, partition=partition)
    await producer.stop()


async def prepared(settings: MakeSettings, kafka: KafkaBroker, tmp_path: Path) -> Settings:
    tree = settings(
        kafka.brokers,
        kafka={"session_timeout_s": 6.0, "heartbeat_s": 1.0, "partitions": 2},
        sink={"linger_s": 0.2},
        clickhouse={"path": tmp_path / "store"},
    )
    await create_topics(tree.kafka)
    store = connect(tree.clickhouse)
    migrate(store, tree)
    store.close()
    return tree


def stored(client: Client) -> tuple[int, int]:
    (counts,) = client.query("SELECT count(), uniqExact(event_id) FROM events").result_rows
    return int(counts[0]), int(counts[1])


class Watched:
    """A client of the engine that notes which months each insert of events has."""

    def __init__(self, client: Client, inserts: list[set[int]]) -> None:
        self._client = client
        self._inserts = inserts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def insert(self, table: str, data: Any, **options: Any) -> Any:
        done = self._client.insert(table, data, **options)
        if table == "events":
            self._inserts.append(set(map(month, data[options["column_names"].index("time")])))
        return done


def watching(settings: ClickHouseSettings, inserts: list[set[int]]) -> Callable[[], Client]:
    return lambda: Watched(connect(settings, settings.database), inserts)  # type: ignore[return-value]


async def test_far_dated_rows_are_stored_once_in_small_inserts_while_others_go_on(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    tree = await prepared(settings, kafka, tmp_path)
    await publish(tree, far(0), 0)
    inserts: list[set[int]] = []
    sink = Sink(tree, watching(tree.clickhouse, inserts))
    running = asyncio.create_task(sink.run())
    await until(lambda: len(inserts) > 5, 60)
    before = len(inserts)
    now = month(int(datetime.now(UTC).timestamp() * 1000))
    assert now in inserts[0]
    await publish(tree, [scored(1, 0, datetime.now(UTC))], 1)
    await until(lambda: any(months == {now} for months in inserts[before:]), 60)
    assert len(inserts) < MONTHS // MONTHS_PER_INSERT  # the far-dated rows are not all there yet
    store = connect(tree.clickhouse, tree.clickhouse.database)
    await until(lambda: stored(store) == (FAR + 1, FAR + 1), 180)
    await sink.stop()
    await running
    store.close()
    assert max(map(len, inserts)) <= MONTHS_PER_INSERT


async def test_a_sink_killed_amid_far_dated_rows_repeats_none_and_loses_none(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    tree = await prepared(settings, kafka, tmp_path)
    await asyncio.gather(*(publish(tree, far(partition, 600, 400), partition) for partition in (0, 1)))
    with Service("sink", tree, tmp_path / "sink.log") as sink:
        for visit in (2, 9, 30):
            sink.start(crash_at=f"sink.amid_inserts:{visit}")
            await until(lambda: not sink.running, 120)
        assert sink.exits == [-9, -9, -9]
    store = connect(tree.clickhouse, tree.clickhouse.database)
    ours = Sink(tree, lambda: connect(tree.clickhouse, tree.clickhouse.database))
    running = asyncio.create_task(ours.run())
    await until(lambda: stored(store)[1] == 1200, 240)
    await until(lambda: sum(ours.lag().values()) == 0, 60)
    await ours.stop()
    await running
    assert stored(store) == (1200, 1200)
    store.close()


def test_the_engine_refuses_an_insert_of_more_months(tmp_path: Path) -> None:
    """So no insert of the sink has them: a server's own limit is 100."""
    tree = Settings(clickhouse=ClickHouseSettings(path=tmp_path / "store"))
    store = connect(tree.clickhouse)
    migrate(store, tree)
    dates = [datetime(1990 + n // 12, 1 + n % 12, 1, tzinfo=UTC) for n in range(MONTHS_PER_INSERT + 1)]
    names = ["event_id", "time", "received_at"]
    rows = [[str(n), date, datetime.now(UTC)] for n, date in enumerate(dates)]
    database = tree.clickhouse.database
    store.insert("events", rows[:-1], names, database=database, settings=insert_settings("a"))
    with pytest.raises(ClickHouseError):
        store.insert("events", rows, names, database=database, settings=insert_settings("b"))
    assert store.command(f"SELECT count() FROM {database}.events") == MONTHS_PER_INSERT
    store.close()
