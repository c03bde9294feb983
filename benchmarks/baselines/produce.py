"""A service that publishes by itself: aiokafka's send, idempotent, one event after the other."""

from __future__ import annotations

import asyncio
import itertools

from aiokafka import AIOKafkaProducer
from throughput_probe import Meter, arguments

from benchmarks.harness.events import lines

_POOL, _WINDOW = 5_000, 2_000


async def main(broker: str, topic: str, meter: Meter) -> None:
    pool = list(lines(_POOL))
    producer = AIOKafkaProducer(
        bootstrap_servers=broker, enable_idempotence=True, linger_ms=5, max_batch_size=512 << 10
    )
    await producer.start()
    await producer.partitions_for(topic)
    meter.begin()
    events = itertools.islice(itertools.cycle(pool), meter.total)
    while some := list(itertools.islice(events, _WINDOW)):
        sent = [await producer.send(topic, raw, key=b"acme/app%d" % (i % 40)) for i, raw in enumerate(some)]
        await asyncio.gather(*sent)
        meter.add(len(some))
    await producer.stop()


asyncio.run(main(*arguments()))
