"""Our worker as it runs (its Faust app, chunks, byte budget), with decoding in place of its engine.

The fourth argument says which: ``orjson`` (what the peers do) or ``validated`` (what the worker does).
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import orjson
from aiokafka import ConsumerRecord
from throughput_probe import Meter, arguments

from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.process_tuning import tune
from streams.worker.app import Worker


class Transport(Worker):
    """A worker that decodes and counts."""

    def __init__(self, settings: Settings, meter: Meter, *, validated: bool) -> None:
        super().__init__(settings)
        self.meter = meter
        self.validated = validated

    async def _judge_run(self, _partition: int, records: list[ConsumerRecord]) -> None:
        self.meter.begin()
        for record in records:
            if self.validated:
                decode_event(record.value, record.headers)
            else:
                orjson.loads(record.value)
        self.meter.add(len(records))


async def main() -> None:
    broker, topic, meter = arguments()
    tune()
    kafka = {"brokers": broker, "topic_prefix": topic.removesuffix(".events")}
    settings = Settings(kafka=kafka, worker={"group": uuid.uuid4().hex})
    worker = Transport(settings, meter, validated=sys.argv[4] == "validated")
    await worker.start()
    while not meter.done:  # noqa: ASYNC110 - an event would cost the worker time
        await asyncio.sleep(0.05)
    await worker.stop()


asyncio.run(main())
