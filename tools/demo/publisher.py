"""Publisher of the simulated records: constant rate, paused while the worker or the sink lags."""

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
"""Maximum lag in records. At 3.5 kB per scored record, it is half of the mock cluster's 5 MB per partition."""


class Publisher:
    """Producer that sends records in order.

    Parameters
    ----------
    kafka
        Settings of the broker and the topic names.
    rate
        Records per second.
    backlog
        Returns the lag of worker or sink in records, for the partition with the largest lag.

    Attributes
    ----------
    sent
        Number of records produced so far.
    """

    def __init__(self, kafka: KafkaSettings, rate: float, backlog: Callable[[], int]) -> None:
        self.sent = 0
        self._topic = kafka.topic
        self._rate = rate
        self._backlog = backlog
        self._error: KafkaError | None = None
        # murmur2 is the partitioner of the Java clients, so a key gets the same partition as from them.
        options = {"bootstrap.servers": kafka.brokers, "linger.ms": LINGER_MS, "partitioner": "murmur2", "log_level": 0}
        self._producer = Producer(options)

    async def publish(self, records: Sequence[Record]) -> None:
        """Send all records; return when the broker has acknowledged them.

        Raises
        ------
        BrokerError
            If the broker rejects a record.
        """
        start = time.monotonic()
        paused = 0.0
        while self.sent < len(records):
            due = min(len(records), int((time.monotonic() - start - paused) * self._rate) + 1)
            for record in records[self.sent : due]:
                self._producer.produce(
                    self._topic(record.topic), record.value, key=record.key, on_delivery=self._delivered
                )
            self.sent = due
            self._producer.poll(0)
            paused += await self._pause()
        await asyncio.to_thread(self._producer.flush, 10)
        self._check(len(self._producer))

    async def _pause(self) -> float:
        """Wait one tick, and longer while worker or sink lags; return the extra seconds."""
        self._check(0)
        await asyncio.sleep(_TICK_S)
        start = time.monotonic()
        while self._backlog() > _MAX_BACKLOG:
            self._producer.poll(0)
            await asyncio.sleep(_TICK_S)
        return time.monotonic() - start

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._error = self._error or error

    def _check(self, unsent: int) -> None:
        if self._error is not None or unsent:
            raise BrokerError(
                f"demo: embedded broker did not acknowledge {unsent or 'some'} records ({self._error or 'timeout'}); "
                "run the demo again on an idle machine"
            )
