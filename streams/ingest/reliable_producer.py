"""Kafka behind the gateway: what is acknowledged is written, and what is not in time is not acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from schemas.errors import RequestError
from schemas.settings import Settings
from streams.ingest.in_flight_budget import Lease
from streams.runtime.dead_letters import TOO_LARGE
from streams.runtime.produce import Delivery, Row, send_keyed
from streams.runtime.producer import Producer
from streams.runtime.topics import MAX_MESSAGE_BYTES, client_options

log = logging.getLogger(__name__)

Parcel: TypeAlias = "tuple[str, Sequence[Row]]"
"""A topic, without the prefix, and rows for it."""

_TOPICS = ("events", "feedback", "dead_letters")
_MISSING = "no topic"
_RETRY_S = 2.0
_LOOK_S = 1.0
_ANSWER_S = 5.0
_REFUSED = (*TOO_LARGE, TopicAuthorizationFailedError)
"""Says something of the record or of us, nothing of the producer."""


class Outbox:
    """An idempotent producer that is made anew when it is beyond repair, and looked after when the broker is away.

    Parameters
    ----------
    settings
        All settings.

    Raises
    ------
    SettingsError
        If the files that prove who we are cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        client_options(settings.kafka)  # raises here, not at every try to connect
        self._timeout_s = settings.ingest.write_timeout_s
        self._producer: Producer | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._broken = asyncio.Event()
        self.trouble = "not connected"

    @property
    def reachable(self) -> bool:
        """Whether Kafka answers and has the topics."""
        return not self.trouble

    def room(self, topic: str) -> int:
        """Return how many bytes key and value of one record for a topic, without the prefix, may have."""
        return (
            MAX_MESSAGE_BYTES if self._producer is None else self._producer.max_record_bytes(self._kafka.topic(topic))
        )

    def start(self) -> None:
        """Begin to connect; returns at once, and tries until it is stopped."""
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Wait for what is under way, no longer than a request would, and disconnect."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._timeout_s)
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)

    async def write(self, parcels: Sequence[Parcel], lease: Lease) -> None:
        """Write all rows of a request; return when all are acknowledged.

        Raises
        ------
        RequestError
            503 if they are not acknowledged in time. Some may be written nevertheless, now or later: what is sent
            again is recognised by its id and judged once (`processing.deduplicate`).
        """
        lease.hold()
        task = asyncio.create_task(self._deliver(parcels))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(lambda done: _let_go(done, lease))
        await asyncio.wait({task}, timeout=self._timeout_s)
        if not task.done():
            raise _away(self.trouble or f"no acknowledgement within {self._timeout_s:g} s")
        if task.cancelled():
            raise _away("the connection was made anew")
        try:
            task.result()
        except TOO_LARGE as error:
            # Items were measured by what their topic took: sent again, they are measured by what it takes now.
            raise _away("a topic takes less than before") from error
        except KafkaError as error:
            raise _away(repr(error)) from error

    async def _deliver(self, parcels: Sequence[Parcel]) -> None:
        producer = self._producer
        if producer is None or self.trouble.startswith(_MISSING):
            raise _away(self.trouble or "not connected")
        sent: list[Delivery] = []
        try:
            for topic, rows in parcels:
                sent += await send_keyed(producer, self._kafka.topic(topic), rows) if rows else []
        except BaseException:
            for one in sent:
                one.future.add_done_callback(_nobody_asks)
            raise
        # All of them are waited for, also where one failed: the room is theirs until they are done with.
        outcomes = await asyncio.gather(*(one.future for one in sent), return_exceptions=True)
        for one, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                if isinstance(outcome, TOO_LARGE):
                    await producer.lower_limit(one)
                self._judge(outcome)
                raise outcome

    def _judge(self, error: BaseException) -> None:
        if isinstance(error, KafkaError) and not error.retriable and not isinstance(error, _REFUSED):
            log.error("producer: %r; it is made anew", error)
            self._broken.set()

    async def _keep(self) -> None:
        """Have a producer that works, for ever."""
        while True:
            self._broken.clear()
            producer = Producer(self._kafka, _TOPICS)
            try:
                await producer.start()
                self._producer = producer
                await self._watch(producer)
            except (KafkaError, OSError) as error:
                log.warning("kafka.brokers=%s: %r; trying again", self._kafka.brokers, error)
                await asyncio.sleep(_LOOK_S)
            finally:
                self.trouble = "not connected"
                self._producer = None
                for task in self._under_way:
                    task.cancel()  # its futures would never be done
                await _close(producer)

    async def _watch(self, producer: AIOKafkaProducer) -> None:
        """Look every second whether the broker answers; return when the producer is beyond repair."""
        topics = [self._kafka.topic(name) for name in _TOPICS]
        while not self._broken.is_set():
            trouble = await _trouble(producer, topics)
            if trouble != self.trouble:
                log.log(
                    logging.WARNING if trouble else logging.INFO,
                    "kafka.brokers=%s: %s",
                    self._kafka.brokers,
                    trouble or "answers",
                )
            self.trouble = trouble
            try:
                await asyncio.wait_for(self._broken.wait(), _LOOK_S)
            except TimeoutError:
                continue


async def _trouble(producer: AIOKafkaProducer, topics: Sequence[str]) -> str:
    """Return why nothing can be written now; an empty string if something can."""
    for topic in topics:
        producer.client.add_topic(topic)
    try:
        async with asyncio.timeout(_ANSWER_S):
            answered = await producer.client.force_metadata_update()
    except TimeoutError:
        answered = False
    if not answered:
        return "it does not answer"
    missing = [topic for topic in topics if producer.client.cluster.partitions_for_topic(topic) is None]
    return f"{_MISSING} {', '.join(missing)}; run: streamgauge topics create" if missing else ""


async def _close(producer: AIOKafkaProducer) -> None:
    """Disconnect; what could not be sent by now is given up on, and nobody was told that it was."""
    try:
        async with asyncio.timeout(_LOOK_S):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("producer: not closed in order: %r", error)
        await producer.client.close()


def _let_go(done: asyncio.Task[None], lease: Lease) -> None:
    lease.release()
    if not done.cancelled() and (error := done.exception()) is not None:
        log.debug("delivery: %r", error)


def _nobody_asks(done: asyncio.Future[Any]) -> None:
    """Take note of how a delivery ended, so that asyncio does not complain that nobody did."""
    if not done.cancelled():
        done.exception()


def _away(what: str) -> RequestError:
    return RequestError(f"Kafka: {what}; nothing is acknowledged; send it again", 503, "kafka away", _RETRY_S)
