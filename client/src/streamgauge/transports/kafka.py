"""Delivery to Kafka through librdkafka."""

from __future__ import annotations

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamgauge.logs import seldom
from streamgauge.settings import Settings
from streamgauge.transports.base import Batch, Record, Settle


class KafkaTransport:
    """One idempotent producer."""

    def __init__(self, settings: Settings, settle: Settle) -> None:
        self._settle = settle
        self._prefix = settings.topic_prefix
        self._callbacks: dict[int, Any] = {}
        self._producer = Producer(producer_options(settings) | {"error_cb": self._on_error})

    def send(self, record: Record) -> None:
        """Hand it to librdkafka."""
        try:
            self._producer.produce(
                f"{self._prefix}.{record.topic}",
                record.value,
                record.key,
                on_delivery=self._callback(record.batch),
            )
        except BufferError:
            self._settle(record.batch, len(record.value), "local_queue")
        except KafkaException as error:
            self._settle(record.batch, len(record.value), error.args[0].name())

    def _callback(self, batch: Batch) -> Any:
        settle = self._settle

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            settle(batch, len(message), None if error is None else error.name())

        return on_delivery

    def _on_error(self, error: KafkaError) -> None:
        seldom(f"kafka.{error.name()}", logging.WARNING, "Kafka: %s; events wait in the queue", error.str())

    def poll(self) -> None:
        """Serve what librdkafka has to say."""
        self._producer.poll(0)

    def close(self, timeout_s: float) -> None:
        """Give the rest a last chance, then drop it."""
        self._producer.flush(timeout_s)
        self._producer.purge()
        self._producer.poll(0)


def producer_options(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's configuration; ``kafka_options`` have the last word."""
    return {
        "bootstrap.servers": settings.url.removeprefix("kafka://"),
        "client.id": "streamgauge",
        "enable.idempotence": True,
        # librdkafka's own default (CRC32) puts a key elsewhere than Java's and aiokafka's: feedback must meet its event.
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "message.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "queue.buffering.max.messages": settings.queue_size + 1,
        "queue.buffering.max.kbytes": settings.queue_bytes // 1024 + 1024,
        "log_level": 0,
        **settings.kafka_options,
    }
