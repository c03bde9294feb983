"""Faust's Kafka transport, with fetches that wait briefly and that lose nothing in a rebalance.

aiokafka has one fetch under way per broker. When what it fetched is not taken within 100 ms, the next fetch goes out
without the partitions it belongs to, for the others alone; and Faust lets a fetch wait for 1.5 s. The others are often
topics that have nothing to say (llm.feedback), so one pause of 100 ms held up every event for 1.5 s. What had come
meanwhile took over 100 ms again, so the delay stayed: at 1,000 events/s a worker with a median of 20 ms had one of 1 s
from its first pause on.

Faust waits for up to a second for records, a rebalance or not. What the wait ends with may then be the first records of
the new assignment, and Faust drops them: its flow is not resumed yet. It seeks back to the committed offsets, but a
partition that nobody has committed on has none: those records were never judged.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer
from faust.transport.consumer import RecordMap
from faust.transport.drivers import aiokafka as driver

FETCH_MAX_WAIT_MS = 20
"""Longest that a fetch of silent partitions keeps the others waiting. Idle, it is 50 small requests a second."""


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it; the consumer reads it when it starts.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001
        return consumer

    async def _fetch_records(self, consumer: AIOKafkaConsumer, *args: Any, **options: Any) -> RecordMap:
        """Give back what is taken while partitions change hands: Faust would drop it, and positions have moved."""
        before = _assignment(consumer)
        records = await super()._fetch_records(consumer, *args, **options)
        if _assignment(consumer) is before and not self.app.rebalancing:
            return records
        for tp, taken in records.items():
            consumer._fetcher.seek_to(tp, taken[0].offset)  # noqa: SLF001
        return {}


def _assignment(consumer: AIOKafkaConsumer) -> object:
    """Return what aiokafka makes anew at each rebalance; `consumer.assignment()` may be the same partitions again."""
    subscription = consumer._subscription.subscription  # noqa: SLF001
    return subscription and subscription.assignment


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class WorkerTransport(driver.Transport):
    """What `faust.App.transport` is set to: the module's two remedies."""

    Consumer: ClassVar[Any] = _Consumer
