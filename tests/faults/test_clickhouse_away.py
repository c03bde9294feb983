"""ClickHouse killed for a minute under load: alerts keep coming, and afterwards nothing is missing or twice."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from schemas.settings import Settings
from streams.connectors.clickhouse import connect, migrate
from streams.runtime.topics import create_topics
from tests.conftest import MakeSettings
from tests.faults.clickhouse import ClickHouseProcess
from tests.faults.processes import Service, free_port
from tests.faults.test_kill import drained, publish
from tests.kafka.broker import KafkaBroker
from tests.traffic import lines

AWAY_S = 60
RATE = 250
EVENTS = RATE * (AWAY_S + 20)
# Two in a hundred calls are that slow, and ten seconds of event time pass in a sixth of a second: alerts all the time.
RULES = "rules: [{name: slow-call, type: event, metric: latency_ms, threshold: 1500, window_s: 10, cooldown_s: 0}]"


async def note_alerts(settings: Settings, arrivals: list[float]) -> None:
    topic, brokers = settings.kafka.topic("alerts"), settings.kafka.brokers
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        while True:
            await consumer.getone()
            arrivals.append(time.monotonic())
    finally:
        await consumer.stop()


def events_in(settings: Settings) -> tuple[int, int]:
    client = connect(settings.clickhouse)
    found = client.query("SELECT count(), uniqExact(event_id) FROM streamgauge.events").result_rows[0]
    client.close()
    return int(found[0]), int(found[1])


async def test_clickhouse_away_for_a_minute(kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path) -> None:
    port = free_port()
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    tree = settings(
        kafka.brokers,
        clickhouse={"host": "127.0.0.1", "port": port},
        sink={"linger_s": 0.5, "retry_max_s": 5.0},
        alerts={"rules_file": rules},
    )
    raws = [raw for raw in lines(int(EVENTS * 1.5), step_ms=250) if b'"kind"' not in raw][:EVENTS]
    await create_topics(tree.kafka)
    arrivals: list[float] = []
    with (
        ClickHouseProcess(tmp_path / "store", port) as clickhouse,
        Service("worker", tree, tmp_path / "worker.log") as worker,
        Service("sink", tree, tmp_path / "sink.log") as sink,
    ):
        clickhouse.start()
        migrate(connect(tree.clickhouse), tree)
        worker.start()
        sink.start()
        watching = asyncio.create_task(note_alerts(tree, arrivals))
        feeding = asyncio.create_task(publish(tree, raws, rate=RATE))
        begin = time.monotonic()
        while (await asyncio.to_thread(events_in, tree))[0] < RATE:
            assert time.monotonic() - begin < 60, "nothing came into ClickHouse"
            await asyncio.sleep(0.2)

        clickhouse.kill()
        gone = time.monotonic()
        await asyncio.sleep(AWAY_S)
        assert not clickhouse.answers()
        back = time.monotonic()
        await asyncio.to_thread(clickhouse.start)

        await feeding
        await drained(tree, [worker, sink], 120)
        assert sink.running
        assert worker.running
        # Open windows are published every two seconds, and in any case when the worker stops.
        worker.stop()
        await drained(tree, [sink], 60)
        watching.cancel()
        log = (tmp_path / "sink.log").read_text().splitlines()
        warned = [line for line in log if " WARNING streams.sink" in line and tree.kafka.topic("") in line]
        assert warned, "the sink never noticed"
        meanwhile = [gone, *(at for at in arrivals if gone < at < back), back]
        assert max(b - a for a, b in pairwise(meanwhile)) < AWAY_S / 4, "alerts paused"
        assert events_in(tree) == (EVENTS, EVENTS)
        client = connect(tree.clickhouse)
        counted = client.query("SELECT sum(events) FROM streamgauge.aggregates_1m FINAL").result_rows[0][0]
        stored = client.query("SELECT count(), uniqExact(alert_id, state) FROM streamgauge.alerts").result_rows[0]
        assert counted == EVENTS
        assert stored == (len(arrivals), len(arrivals))
