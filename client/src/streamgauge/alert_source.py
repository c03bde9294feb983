"""Where alerts come from: one consumer of the alerts topic."""

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
from streamgauge.logs import seldom
from streamgauge.settings import Settings, read_settings

ANSWER_S = 10.0
_NOT_NOW = {KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT}  # noqa: SLF001 - public codes


class AlertSource:
    """Reads alerts, skips and counts what is none.

    Attributes
    ----------
    skipped
        Records that were no alert.
    closed
        Whether it is at its end.
    """

    def __init__(self, consumer: Consumer, grouped: bool) -> None:
        self._consumer = consumer
        self._handed: Message | None = None
        self._grouped = grouped
        self.skipped = 0
        self.closed = False

    def poll(self, timeout_s: float) -> Alert | None:
        """Return the next alert; ``None`` if none came within the time, or what came was none.

        Raises
        ------
        SubscriptionError
            If Kafka refuses.
        """
        self._note_handled()
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        if (error := message.error()) is not None:
            self._complain(error)
            return None
        alert = self._read(message.value())
        self._handed = message
        return alert

    def _note_handled(self) -> None:
        # Only when the next is asked for: a subscriber that dies over an alert gets it again.
        if self._handed is not None and self._grouped:
            with contextlib.suppress(
                KafkaException
            ):  # the partition was taken away meanwhile; its new owner repeats it
                self._consumer.store_offsets(self._handed)
        self._handed = None

    def _read(self, raw: bytes | None) -> Alert | None:
        if raw is None:  # compaction's tombstone
            return None
        try:
            return read_alert(raw)
        except ValueError as error:
            self.skipped += 1
            seldom("alerts.skipped", logging.WARNING, "a record of the alerts topic was skipped: %s", error)
            return None

    def _complain(self, error: KafkaError) -> None:
        if error.code() in _NOT_NOW or error.retriable():
            seldom("alerts.broker", logging.WARNING, "alerts: %s; going on when it is back", error.str())
            return
        raise SubscriptionError(f"alerts: {error.str()}; {_REMEDIES.get(error.name(), 'see the broker')}")

    def close(self) -> None:
        """Leave the group, let go of the connection."""
        if not self.closed:
            self.closed = True
            self._consumer.close()


_REMEDIES = {
    "UNKNOWN_TOPIC_OR_PART": "is topic_prefix right, and did `streamgauge topics create` run?",
    "TOPIC_AUTHORIZATION_FAILED": "grant READ on the topic",
    "GROUP_AUTHORIZATION_FAILED": "grant READ on the group",
}


def open_source(
    url: str | None, prefix: str | None, options: Mapping[str, Any] | None, group: str | None, start: str
) -> AlertSource:
    """Connect, and stand where ``start`` says: what is published from now on is not missed."""
    settings = _settings(url, prefix, options)
    topic = f"{settings.topic_prefix}.alerts"
    consumer = Consumer(_options(settings, group, start))
    try:
        if group is None:
            consumer.assign(_positions(consumer, topic, start))
        else:
            consumer.subscribe([topic])
    except KafkaException as error:
        consumer.close()
        raise SubscriptionError(f"{settings.url}: {error}; is the broker up, and is this its address?") from error
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
        raise ConfigurationError(f"url={settings.url!r}: alerts are read from Kafka; give kafka://host:9092")
    return settings


def _options(settings: Settings, group: str | None, start: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.brokers,
        "client.id": "streamgauge",
        "group.id": group or f"streamgauge-{uuid.uuid4().hex}",
        "auto.offset.reset": start,
        "enable.auto.commit": group is not None,
        "enable.auto.offset.store": False,
        "log_level": 0,
        "error_cb": _on_error,
        **settings.kafka_options,
    }


def _on_error(error: KafkaError) -> None:
    seldom("alerts.broker", logging.WARNING, "alerts: %s; going on when it is back", error.str())


def _positions(consumer: Consumer, topic: str, start: str) -> list[TopicPartition]:
    found = consumer.list_topics(topic, timeout=ANSWER_S).topics[topic]
    if found.error is not None or not found.partitions:
        raise SubscriptionError(f"no topic {topic}; {_REMEDIES['UNKNOWN_TOPIC_OR_PART']}")
    places = [TopicPartition(topic, number) for number in found.partitions]
    for place in places:
        first, end = consumer.get_watermark_offsets(place, timeout=ANSWER_S)
        place.offset = first if start == "earliest" else end
    return places
