"""Kafka consumer of the alerts topic."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamgauge import defaults
from streamgauge.alerts import Alert, read_alert
from streamgauge.errors import ConfigurationError, SubscriptionError
from streamgauge.logs import log_throttled
from streamgauge.settings import Settings, read_settings

METADATA_TIMEOUT_S = 10.0
_TRANSIENT_CODES = {KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}  # noqa: SLF001 - public codes


class AlertSource:
    """Consumer that parses alerts; it skips and counts records that are not alerts.

    Attributes
    ----------
    skipped
        Number of records that were not alerts.
    closed
        Whether `close` was called.
    """

    def __init__(self, consumer: Consumer, grouped: bool) -> None:
        self._consumer = consumer
        self._last_returned: Message | None = None
        self._grouped = grouped
        self.skipped = 0
        self.closed = False

    def poll(self, timeout_s: float) -> Alert | None:
        """Return the next alert, or ``None`` on timeout, on a skipped record and on a transient error.

        Raises
        ------
        SubscriptionError
            If Kafka reports an error that retrying does not cure.
        """
        self._store_offset()
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        if (error := message.error()) is not None:
            self._raise_unless_transient(error)
            return None
        alert = self._parse(message.value())
        self._last_returned = message
        return alert

    def _store_offset(self) -> None:
        # Stored only when the next alert is requested: a subscriber that crashes while handling an alert gets it again.
        if self._last_returned is not None and self._grouped:
            with contextlib.suppress(KafkaException):  # the partition was revoked; its new owner repeats the alert
                self._consumer.store_offsets(self._last_returned)
        self._last_returned = None

    def _parse(self, raw: bytes | None) -> Alert | None:
        if raw is None:  # a tombstone of the compacted topic
            return None
        try:
            return read_alert(raw)
        except ValueError as error:
            self.skipped += 1
            log_throttled("alerts.skipped", logging.WARNING, "skipped a record of the alerts topic: %s", error)
            return None

    def _raise_unless_transient(self, error: KafkaError) -> None:
        if error.code() in _TRANSIENT_CODES or error.retriable():
            _log_connection_error(error)
            return
        raise SubscriptionError(f"alerts: {error.str()}; {_REMEDIES.get(error.name(), 'see the broker log')}")

    def close(self) -> None:
        """Leave the consumer group and close the connection."""
        if not self.closed:
            self.closed = True
            self._consumer.close()


_REMEDIES = {
    "UNKNOWN_TOPIC_OR_PART": "check topic_prefix, or run `streamgauge topics create`",
    "TOPIC_AUTHORIZATION_FAILED": "grant READ on the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant READ on the group",
}


def open_source(
    url: str | None, prefix: str | None, options: Mapping[str, Any] | None, group: str | None, start: str
) -> AlertSource:
    """Connect and seek to ``start``; every alert published after the return is received.

    Raises
    ------
    ConfigurationError
        If the URL is missing or is not a Kafka URL.
    SubscriptionError
        If the broker does not answer or the topic does not exist.
    """
    settings = _settings(url, prefix, options)
    topic = f"{settings.topic_prefix}.alerts"
    consumer = Consumer(_consumer_options(settings, group, start))
    try:
        if group is None:
            consumer.assign(_start_positions(consumer, topic, start))
        else:
            consumer.subscribe([topic])
    except KafkaException as error:
        consumer.close()
        raise SubscriptionError(f"{settings.url}: {error}; check the address and that the broker is up") from error
    except SubscriptionError:
        consumer.close()
        raise
    return AlertSource(consumer, group is not None)


def _settings(url: str | None, prefix: str | None, options: Mapping[str, Any] | None) -> Settings:
    default = None if url else defaults.default_publisher()
    if default is not None:
        url, prefix, options = (
            default.settings.url,
            prefix or default.settings.topic_prefix,
            default.settings.kafka_options if options is None else options,
        )
    settings = read_settings({"url": url, "topic_prefix": prefix, "kafka_options": options})
    if settings.scheme != "kafka":
        raise ConfigurationError(
            f"url={settings.url!r}: alerts are read from Kafka; use kafka://host:9092", setting="url"
        )
    return settings


def _consumer_options(settings: Settings, group: str | None, start: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.brokers,
        "client.id": "streamgauge",
        "group.id": group or f"streamgauge-{uuid.uuid4().hex}",
        "auto.offset.reset": start,
        "enable.auto.commit": group is not None,
        "enable.auto.offset.store": False,
        "log_level": 0,
        "error_cb": _log_connection_error,
        **settings.kafka_options,
    }


def _log_connection_error(error: KafkaError) -> None:
    log_throttled("alerts.broker", logging.WARNING, "alerts: %s; retrying until the broker is back", error.str())


def _start_positions(consumer: Consumer, topic: str, start: str) -> list[TopicPartition]:
    metadata = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics[topic]
    if metadata.error is not None or not metadata.partitions:
        raise SubscriptionError(f"topic {topic} does not exist; {_REMEDIES['UNKNOWN_TOPIC_OR_PART']}")
    positions = [TopicPartition(topic, number) for number in metadata.partitions]
    for position in positions:
        low, high = consumer.get_watermark_offsets(position, timeout=METADATA_TIMEOUT_S)
        position.offset = low if start == "earliest" else high
    return positions
