"""Delivery to Kafka through librdkafka."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.logs import log_throttled
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
_NO_TOPIC_CODES = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001 - public codes
"""librdkafka fails these after half a minute, long before the delivery timeout."""


class KafkaTransport:
    """Transport with one idempotent producer."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        self._prefix = settings.topic_prefix
        self._options = producer_options(settings) | {"error_cb": self._on_error}
        self._fatal = False
        self._latest: tuple[Batch | None, OnDelivery] = (None, self._on_delivery(Batch()))
        self._producer = Producer(self._options)

    def send(self, record: Record) -> None:
        """Give the record to librdkafka."""
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
            if error is not None and error.code() in _NO_TOPIC_CODES:
                remedy = "run `streamgauge topics create`, or set topic_prefix"
                log_throttled(
                    "kafka.topic", logging.WARNING, "Kafka: topic %s does not exist; %s", message.topic(), remedy
                )
            settle(batch, len(message), None if error is None else _reason(error))

        return on_delivery

    def _on_error(self, error: KafkaError) -> None:
        self._fatal = self._fatal or error.fatal()
        log_throttled(f"kafka.{error.name()}", logging.WARNING, "Kafka: %s; events stay in the queue", error.str())

    def poll(self) -> None:
        """Serve librdkafka's callbacks."""
        self._producer.poll(0)
        if self._fatal:  # an idempotent producer accepts no record after a fatal error
            self.close()
            self._producer, self._fatal = Producer(self._options), False

    def close(self) -> None:
        """Fail the undelivered records."""
        self._producer.purge()
        self._producer.poll(0)


def producer_options(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's configuration; ``kafka_options`` override the defaults."""
    return {
        "bootstrap.servers": settings.brokers,
        "client.id": "streamgauge",
        "enable.idempotence": True,
        # librdkafka's default (CRC32) differs from Java and aiokafka; a label must go to the partition of its event.
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "message.max.bytes": settings.max_event_bytes + 100_000,
        # The publisher enforces the bounds; librdkafka's must not be reached first.
        "queue.buffering.max.messages": 100_000,
        "queue.buffering.max.kbytes": 1 << 20,
        "log_level": 0,
        **settings.kafka_options,
    }


def _reason(error: KafkaError | str) -> str:
    name = error.name() if isinstance(error, KafkaError) else "_QUEUE_FULL"
    return _REASONS.get(name, name.strip("_").lower())


def make(settings: Settings, settle: Settle) -> KafkaTransport:
    """Create the transport."""
    return KafkaTransport(settings, settle)
