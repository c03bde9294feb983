"""Service that publishes directly: aiokafka's idempotent send, one event at a time."""

from __future__ import annotations

import asyncio
import itertools

from aiokafka import AIOKafkaProducer
from throughput_probe import ThroughputProbe, arguments

from benchmarks.harness.events import lines

_POOL, _WINDOW = 5_000, 2_000


async def main(broker: str, topic: str, probe: ThroughputProbe) -> None:
    pool = list(lines(_POOL))
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, enable_idempotence=True, linger_ms=5, max_batch_size=512 << 10
    )
    await producer.start()
    await producer.partitions_for(topic)
    probe.start()
    events = itertools.islice(itertools.cycle(pool), probe.total)
    while window := list(itertools.islice(events, _WINDOW)):
        sent = [await producer.send(topic, raw, key=b"acme/app%d" % (i % 40)) for i, raw in enumerate(window)]
        await asyncio.gather(*sent)
        probe.add(len(window))
    await producer.stop()


asyncio.run(main(*arguments()))
