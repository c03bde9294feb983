"""Streamgauge's sink on a filled topic of scored events, with ClickHouse in another process."""

from __future__ import annotations

import asyncio
import sys
import uuid

from throughput_probe import arguments

from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.runtime.metrics import SINK_ROWS
from streams.runtime.process_tuning import tune
from streams.sink.sink import Sink


async def main() -> None:
    broker, topic, probe = arguments()
    settings = Settings(
        kafka={"brokers": broker, "topic_prefix": topic.removesuffix(".scored")},
        sink={"group": uuid.uuid4().hex},
        clickhouse={"port": int(sys.argv[4]), "database": sys.argv[5]},
    )
    tune()
    sink = Sink(settings, lambda: connect(settings.clickhouse))
    running = asyncio.create_task(sink.run())
    await sink.ready.wait()
    probe.start()
    stored = SINK_ROWS.labels("events")
    while not probe.done:
        await asyncio.sleep(0.02)
        probe.add(int(stored._value.get()) - probe.events)  # noqa: SLF001 - prometheus_client has no public way to read a counter
    await sink.stop()
    await running


asyncio.run(main())
