"""Streamgauge's worker with all agents: from the first record until all outputs and the state are written."""

from __future__ import annotations

import asyncio
import time
import uuid

from aiokafka import ConsumerRecord
from throughput_probe import ThroughputProbe, arguments

from schemas.settings import Settings
from streams.runtime.metrics import AGENT_SECONDS, WORKER_CHUNK_SECONDS
from streams.worker.app import Worker
from streams.worker.warmup import warm


class CountingWorker(Worker):
    """Worker that counts processed records."""

    def __init__(self, settings: Settings, probe: ThroughputProbe) -> None:
        super().__init__(settings)
        self.probe = probe
        self.processed = 0
        self.all_processed = asyncio.Event()

    async def _process_records(self, partition: int, records: list[ConsumerRecord]) -> None:
        self.probe.start()
        await super()._process_records(partition, records)
        self.processed += len(records)
        if self.processed >= self.probe.total:
            self.all_processed.set()


async def main() -> None:
    broker, topic, probe = arguments()
    kafka = {"brokers": broker, "topic_prefix": topic.removesuffix(".events")}
    settings = Settings(kafka=kafka, worker={"group": uuid.uuid4().hex})
    warm(settings)
    worker = CountingWorker(settings, probe)
    await worker.start()
    await worker.all_processed.wait()
    await worker.stop()
    probe.events = worker.processed
    probe.report(time.perf_counter() - probe.first, **_stages(worker.processed))


def _stages(events: int) -> dict[str, float]:
    """Return microseconds per event by stage."""
    seconds = {
        s.labels["agent"]: s.value for m in AGENT_SECONDS.collect() for s in m.samples if s.name.endswith("_total")
    }
    chunk = next(s.value for m in WORKER_CHUNK_SECONDS.collect() for s in m.samples if s.name.endswith("_sum"))
    return {name: value / events * 1e6 for name, value in {**seconds, "decode and score": chunk}.items()}


asyncio.run(main())
