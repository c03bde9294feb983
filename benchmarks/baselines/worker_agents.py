"""Our worker as it runs, all agents on: from the first record it has until all outputs and its state are written."""

from __future__ import annotations

import asyncio
import time
import uuid

from aiokafka import ConsumerRecord
from throughput_probe import Meter, arguments

from schemas.settings import Settings
from streams.runtime.metrics import AGENT_SECONDS, WORKER_CHUNK_SECONDS
from streams.worker.app import Worker
from streams.worker.warmup import warm


class Judging(Worker):
    """A worker that counts."""

    def __init__(self, settings: Settings, meter: Meter) -> None:
        super().__init__(settings)
        self.meter = meter
        self.judged = 0
        self.all_judged = asyncio.Event()

    async def _judge_run(self, partition: int, records: list[ConsumerRecord]) -> None:
        self.meter.begin()
        await super()._judge_run(partition, records)
        self.judged += len(records)
        if self.judged >= self.meter.total:
            self.all_judged.set()


async def main() -> None:
    broker, topic, meter = arguments()
    kafka = {"brokers": broker, "topic_prefix": topic.removesuffix(".events")}
    settings = Settings(kafka=kafka, worker={"group": uuid.uuid4().hex})
    warm(settings)
    worker = Judging(settings, meter)
    await worker.start()
    await worker.all_judged.wait()
    await worker.stop()
    meter.events = worker.judged
    meter.report(time.perf_counter() - meter.first, **_stages(worker.judged))


def _stages(events: int) -> dict[str, float]:
    """Return microseconds per event by stage."""
    seconds = {
        s.labels["agent"]: s.value for m in AGENT_SECONDS.collect() for s in m.samples if s.name.endswith("_total")
    }
    chunk = next(s.value for m in WORKER_CHUNK_SECONDS.collect() for s in m.samples if s.name.endswith("_sum"))
    return {name: value / events * 1e6 for name, value in {**seconds, "decode and judge": chunk}.items()}


asyncio.run(main())
