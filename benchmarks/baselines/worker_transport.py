"""Streamgauge's worker (Faust app, chunks, byte budget) with decoding only.

The fourth argument selects the decoding: ``orjson``, as in the other frameworks, or ``validated``, as in the worker.
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import orjson
from aiokafka import ConsumerRecord
from throughput_probe import ThroughputProbe, arguments

from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.process_tuning import tune
from streams.worker.app import Worker


class Transport(Worker):
    """Worker that decodes and counts."""

    def __init__(self, settings: Settings, probe: ThroughputProbe, *, validated: bool) -> None:
        super().__init__(settings)
        self.probe = probe
        self.validated = validated

    async def _process_records(self, _partition: int, records: list[ConsumerRecord]) -> None:
        self.probe.start()
        for record in records:
            if self.validated:
                decode_event(record.value, record.headers)
            else:
                orjson.loads(record.value)
        self.probe.add(len(records))


async def main() -> None:
    broker, topic, probe = arguments()
    tune()
    kafka = {"brokers": broker, "topic_prefix": topic.removesuffix(".events")}
    settings = Settings(kafka=kafka, worker={"group": uuid.uuid4().hex})
    worker = Transport(settings, probe, validated=sys.argv[4] == "validated")
    await worker.start()
    while not probe.done:  # noqa: ASYNC110 - an asyncio.Event would slow down the worker
        await asyncio.sleep(0.05)
    await worker.stop()


asyncio.run(main())
