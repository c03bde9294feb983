"""Our sink as it runs, over a topic of scored events that is already full; ClickHouse is another process."""

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
    broker, topic, meter = arguments()
    settings = Settings(
        kafka={"brokers": broker, "topic_prefix": topic.removesuffix(".scored")},
        sink={"group": uuid.uuid4().hex},
        clickhouse={"port": int(sys.argv[4]), "database": sys.argv[5]},
    )
    tune()
    sink = Sink(settings, lambda: connect(settings.clickhouse))
    running = asyncio.create_task(sink.run())
    await sink.ready.wait()
    meter.begin()
    stored = SINK_ROWS.labels("events")
    while not meter.done:
        await asyncio.sleep(0.02)
        meter.add(int(stored._value.get()) - meter.events)  # noqa: SLF001 - the client offers no other way to read it
    await sink.stop()
    await running


asyncio.run(main())
