"""Faust's Kafka transport, with fetches that wait briefly.

aiokafka has one fetch under way per broker. When what it fetched is not taken within 100 ms, the next fetch goes out
without the partitions it belongs to, for the others alone; and Faust lets a fetch wait for 1.5 s. The others are often
topics that have nothing to say (llm.feedback), so one pause of 100 ms held up every event for 1.5 s. What had come
meanwhile took over 100 ms again, so the delay stayed: at 1,000 events/s a worker with a median of 20 ms had one of 1 s
from its first pause on.
"""

from __future__ import annotations

from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer
from faust.transport.drivers import aiokafka as driver

FETCH_MAX_WAIT_MS = 20
"""Longest that a fetch of silent partitions keeps the others waiting. Idle, it is 50 small requests a second."""


class _Thread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it; the consumer reads it when it starts.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # noqa: SLF001
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class BriefFetches(driver.Transport):
    """What `faust.App.transport` is set to."""

    Consumer: ClassVar[Any] = _Consumer
