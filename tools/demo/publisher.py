"""Publishes the simulated records at a steady rate, never faster than they are judged and stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, Message, Producer

from schemas.errors import BrokerError
from schemas.setting_sections import KafkaSettings
from tools.demo.mock_broker import LINGER_MS
from tools.simulator import Record

_TICK_S = 0.05
_MAX_BACKLOG = 700
"""Records; at 3.5 kB a scored record it is half of the 5 MB that the mock cluster keeps of a partition."""


class Publisher:
    """Sends records in order.

    Parameters
    ----------
    kafka
        The broker and the names of its topics.
    rate
        Records a second.
    backlog
        How many records wait to be judged or stored in the fullest partition.

    Attributes
    ----------
    sent
        Records handed over so far.
    """

    def __init__(self, kafka: KafkaSettings, rate: float, backlog: Callable[[], int]) -> None:
        self.sent = 0
        self._topic = kafka.topic
        self._rate = rate
        self._backlog = backlog
        self._failed: KafkaError | None = None
        # murmur2: the partitioner of Kafka's own clients, so that a key goes where theirs would put it.
        options = {"bootstrap.servers": kafka.brokers, "linger.ms": LINGER_MS, "partitioner": "murmur2", "log_level": 0}
        self._producer = Producer(options)

    async def publish(self, records: Sequence[Record]) -> None:
        """Send all; return when the broker has them.

        Raises
        ------
        BrokerError
            If it refuses one.
        """
        begin = time.monotonic()
        held = 0.0
        while self.sent < len(records):
            due = min(len(records), int((time.monotonic() - begin - held) * self._rate) + 1)
            for record in records[self.sent : due]:
                self._producer.produce(
                    self._topic(record.topic), record.value, key=record.key, on_delivery=self._delivered
                )
            self.sent = due
            self._producer.poll(0)
            held += await self._pause()
        await asyncio.to_thread(self._producer.flush, 10)
        self._check(len(self._producer))

    async def _pause(self) -> float:
        """Wait a tick, and longer while the readers are behind; return how much longer."""
        self._check(0)
        await asyncio.sleep(_TICK_S)
        begin = time.monotonic()
        while self._backlog() > _MAX_BACKLOG:
            self._producer.poll(0)
            await asyncio.sleep(_TICK_S)
        return time.monotonic() - begin

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failed = self._failed or error

    def _check(self, left: int) -> None:
        if self._failed is not None or left:
            raise BrokerError(f"demo: the embedded broker did not take {left or 'a'} record: {self._failed}")
