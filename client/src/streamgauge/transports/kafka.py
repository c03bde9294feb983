"""Delivery to Kafka through librdkafka."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.logs import seldom
from streamgauge.settings import Settings
from streamgauge.transports.base import Batch, Record, Settle

OnDelivery = Callable[[KafkaError | None, Message], None]

_REASONS = {
    "_MSG_TIMED_OUT": "timed_out",
    "_PURGE_QUEUE": "closed",
    "_PURGE_INFLIGHT": "closed",
    "MSG_SIZE_TOO_LARGE": "too_large",
    "RECORD_LIST_TOO_LARGE": "too_large",
    "_QUEUE_FULL": "local_queue",
}
_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001 - public codes
"""librdkafka gives these up after half a minute, long before the time that an event may take."""


class KafkaTransport:
    """One idempotent producer."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        self._prefix = settings.topic_prefix
        self._options = producer_options(settings) | {"error_cb": self._on_error}
        self._broken = False
        self._latest: tuple[Batch | None, OnDelivery] = (None, self._on_delivery(Batch()))
        self._producer = Producer(self._options)

    def send(self, record: Record) -> None:
        """Hand it to librdkafka."""
        if record.batch is not self._latest[0]:
            self._latest = (record.batch, self._on_delivery(record.batch))
        topic = f"{self._prefix}.{record.topic}"
        try:
            self._producer.produce(topic, record.value, record.key, on_delivery=self._latest[1])
        except (BufferError, KafkaException) as error:
            self._settle(record.batch, len(record.value), _reason(error.args[0]))

    def _on_delivery(self, batch: Batch) -> OnDelivery:
        settle = self._settle

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if error is not None and error.code() in _NO_TOPIC:
                remedy = "run `streamgauge topics create`, or give its topic_prefix"
                seldom("kafka.topic", logging.WARNING, "Kafka: no topic %s; %s", message.topic(), remedy)
            settle(batch, len(message), None if error is None else _reason(error))

        return on_delivery

    def _on_error(self, error: KafkaError) -> None:
        self._broken = self._broken or error.fatal()
        seldom(f"kafka.{error.name()}", logging.WARNING, "Kafka: %s; events wait in the queue", error.str())

    def poll(self) -> None:
        """Serve what librdkafka has to say."""
        self._producer.poll(0)
        if self._broken:  # an idempotent producer that hit a fatal error takes nothing any more
            self.close()
            self._producer, self._broken = Producer(self._options), False

    def close(self) -> None:
        """Drop what is not delivered."""
        self._producer.purge()
        self._producer.poll(0)


def producer_options(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's configuration; ``kafka_options`` have the last word."""
    return {
        "bootstrap.servers": settings.brokers,
        "client.id": "streamgauge",
        "enable.idempotence": True,
        # librdkafka's own default (CRC32) puts a key elsewhere than Java and aiokafka do: a label must meet its event.
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "message.max.bytes": settings.max_event_bytes + 100_000,
        # The bounds are ours; librdkafka's must not be met before them.
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 1 << 20,
        "log_level": 0,
        **settings.kafka_options,
    }


def _reason(error: KafkaError | str) -> str:
    name = error.name() if isinstance(error, KafkaError) else "_QUEUE_FULL"
    return _REASONS.get(name, name.strip("_").lower())


def make(settings: Settings, settle: Settle) -> KafkaTransport:
    """Return the transport."""
    return KafkaTransport(settings, settle)
