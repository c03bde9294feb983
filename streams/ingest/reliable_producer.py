"""The Kafka producer of the ingest service: a request is acknowledged only after Kafka has acknowledged its rows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from schemas.errors import RequestError
from schemas.settings import Settings
from streams.ingest.in_flight_budget import Reservation
from streams.runtime.dead_letters import TOO_LARGE
from streams.runtime.produce import Delivery, Row, send_keyed
from streams.runtime.producer import Producer
from streams.runtime.topics import MAX_MESSAGE_BYTES, client_options

log = logging.getLogger(__name__)

TopicRows: TypeAlias = "tuple[str, Sequence[Row]]"
"""A topic without prefix, and rows for the topic."""

_TOPICS = ("events", "feedback", "dead_letters")
_MISSING = "no topic"
_RETRY_S = 2.0
_CHECK_INTERVAL_S = 1.0
_METADATA_TIMEOUT_S = 5.0
_RECORD_ERRORS = (*TOO_LARGE, TopicAuthorizationFailedError)
"""Errors of a record or of our permissions; the producer itself still works."""


class ReliableProducer:
    """An idempotent producer that is recreated after permanent failures and monitors the broker.

    Parameters
    ----------
    settings
        All settings.

    Raises
    ------
    SettingsError
        If the files with Kafka credentials cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._kafka = settings.kafka
        client_options(settings.kafka)  # fails here, not at each attempt to connect
        self._timeout_s = settings.ingest.write_timeout_s
        self._producer: Producer | None = None
        self._pending: set[asyncio.Task[None]] = set()
        self._failed = asyncio.Event()
        self.problem = "not connected"

    @property
    def reachable(self) -> bool:
        """True if Kafka answers and all topics exist."""
        return not self.problem

    def max_record_bytes(self, topic: str) -> int:
        """Return the maximum bytes of key and value of a record for a topic (without prefix)."""
        return (
            MAX_MESSAGE_BYTES if self._producer is None else self._producer.max_record_bytes(self._kafka.topic(topic))
        )

    def start(self) -> None:
        """Start to connect in the background; connection attempts continue until `stop`."""
        self._maintenance = asyncio.create_task(self._maintain())

    async def stop(self) -> None:
        """Wait for pending writes, at most ``ingest.write_timeout_s``, and disconnect."""
        if self._pending:
            await asyncio.wait(self._pending, timeout=self._timeout_s)
        self._maintenance.cancel()
        await asyncio.gather(self._maintenance, return_exceptions=True)

    async def write(self, rows: Sequence[TopicRows], reservation: Reservation) -> None:
        """Write all rows of a request; return when Kafka has acknowledged all of them.

        Raises
        ------
        RequestError
            503 if the rows are not acknowledged in time. Some rows may still be written, now or later. If the sender
            sends them again, deduplication by id drops the duplicates (`processing.deduplicate`).
        """
        reservation.hold()
        task = asyncio.create_task(self._deliver(rows))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        task.add_done_callback(lambda done: _release(done, reservation))
        await asyncio.wait({task}, timeout=self._timeout_s)
        if not task.done():
            raise _unavailable(self.problem or f"no acknowledgement within {self._timeout_s:g} s")
        if task.cancelled():
            raise _unavailable("the connection was reset")
        try:
            task.result()
        except TOO_LARGE as error:
            # Validation used the topic's previous limit. A retry is validated against the current limit.
            raise _unavailable("the size limit of a topic was lowered") from error
        except KafkaError as error:
            raise _unavailable(repr(error)) from error

    async def _deliver(self, topic_rows: Sequence[TopicRows]) -> None:
        producer = self._producer
        if producer is None or self.problem.startswith(_MISSING):
            raise _unavailable(self.problem or "not connected")
        sent: list[Delivery] = []
        try:
            for topic, rows in topic_rows:
                sent += await send_keyed(producer, self._kafka.topic(topic), rows) if rows else []
        except BaseException:
            for batch in sent:
                batch.future.add_done_callback(_ignore_result)
            raise
        # Wait for all deliveries, even after a failure: they hold the reservation until they end.
        outcomes = await asyncio.gather(*(batch.future for batch in sent), return_exceptions=True)
        for batch, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                if isinstance(outcome, TOO_LARGE):
                    await producer.lower_limit(batch)
                self._recreate_if_fatal(outcome)
                raise outcome

    def _recreate_if_fatal(self, error: BaseException) -> None:
        if isinstance(error, KafkaError) and not error.retriable and not isinstance(error, _RECORD_ERRORS):
            log.error("producer failed permanently (%r); recreating it", error)
            self._failed.set()

    async def _maintain(self) -> None:
        """Keep a working producer: recreate it after permanent failures."""
        while True:
            self._failed.clear()
            producer = Producer(self._kafka, _TOPICS)
            try:
                await producer.start()
                self._producer = producer
                await self._monitor(producer)
            except (KafkaError, OSError) as error:
                log.warning("kafka.brokers=%s: %r; retrying", self._kafka.brokers, error)
                await asyncio.sleep(_CHECK_INTERVAL_S)
            finally:
                self.problem = "not connected"
                self._producer = None
                for task in self._pending:
                    task.cancel()  # its futures would never be done
                await _close_producer(producer)

    async def _monitor(self, producer: AIOKafkaProducer) -> None:
        """Check each second that the broker answers; return when the producer has failed permanently."""
        topics = [self._kafka.topic(name) for name in _TOPICS]
        while not self._failed.is_set():
            problem = await _find_problem(producer, topics)
            if problem != self.problem:
                log.log(
                    logging.WARNING if problem else logging.INFO,
                    "kafka.brokers=%s: %s",
                    self._kafka.brokers,
                    problem or "answers",
                )
            self.problem = problem
            try:
                await asyncio.wait_for(self._failed.wait(), _CHECK_INTERVAL_S)
            except TimeoutError:
                continue


async def _find_problem(producer: AIOKafkaProducer, topics: Sequence[str]) -> str:
    """Return the problem that prevents writes; empty if there is none."""
    for topic in topics:
        producer.client.add_topic(topic)
    try:
        async with asyncio.timeout(_METADATA_TIMEOUT_S):
            answered = await producer.client.force_metadata_update()
    except TimeoutError:
        answered = False
    if not answered:
        return "no answer"
    missing = [topic for topic in topics if producer.client.cluster.partitions_for_topic(topic) is None]
    return f"{_MISSING} {', '.join(missing)}; run: streamgauge topics create" if missing else ""


async def _close_producer(producer: AIOKafkaProducer) -> None:
    """Disconnect; records that could not be sent are dropped, and were never acknowledged."""
    try:
        async with asyncio.timeout(_CHECK_INTERVAL_S):
            await producer.stop()
    except (TimeoutError, KafkaError) as error:
        log.warning("producer did not shut down cleanly: %r", error)
        await producer.client.close()


def _release(done: asyncio.Task[None], reservation: Reservation) -> None:
    reservation.release()
    if not done.cancelled() and (error := done.exception()) is not None:
        log.debug("delivery: %r", error)


def _ignore_result(done: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a delivery, so that asyncio does not log it as never retrieved."""
    if not done.cancelled():
        done.exception()


def _unavailable(problem: str) -> RequestError:
    return RequestError(
        f"Kafka: {problem}; nothing was acknowledged; send the request again", 503, "kafka away", _RETRY_S
    )
