"""Faust's Kafka transport with short fetch waits and no record loss during a rebalance.

Fetch waits: aiokafka has one fetch in flight per broker. If fetched records are not consumed within 100 ms, the next
fetch leaves out their partitions and asks for the other partitions only, and Faust lets a fetch wait for 1.5 s. The
other partitions often belong to silent topics (llm.feedback), so one pause of 100 ms held up every event for 1.5 s. The
backlog then took over 100 ms again, so the delay persisted: at 1,000 events/s, the median latency of a worker rose from
20 ms to 1 s after its first pause.

Record loss: Faust waits up to a second for records, even across a rebalance. The wait may end with the first records of
the new assignment, and Faust drops them because its flow is not resumed yet. Faust then seeks to the committed offsets,
but a partition without a committed offset keeps its advanced position, so its first records were never scored.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver

FETCH_MAX_WAIT_MS = 20
"""Longest time that a fetch of silent partitions delays the other partitions. Idle cost: 50 small requests a second."""


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for this; the consumer reads the attribute when it starts.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001
        return consumer

    async def _fetch_records(self, consumer: AIOKafkaConsumer, *args: Any, **options: Any) -> RecordMap:
        """Fetch records; seek back over records fetched during a rebalance.

        Faust would drop those records although the position has advanced.
        """
        before = _assignment(consumer)
        records = await super()._fetch_records(consumer, *args, **options)
        if _assignment(consumer) is before and not self.app.rebalancing:
            return records
        for tp, fetched in records.items():
            consumer._fetcher.seek_to(tp, fetched[0].offset)  # noqa: SLF001
        return {}


def _assignment(consumer: AIOKafkaConsumer) -> object:
    """Return aiokafka's assignment object, which is new after each rebalance even if the partitions are the same."""
    subscription = consumer._subscription.subscription  # noqa: SLF001
    return subscription and subscription.assignment


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class WorkerTransport(driver.Transport):
    """Transport for `faust.App.transport` with both remedies of this module."""

    Consumer: ClassVar[Any] = _Consumer
