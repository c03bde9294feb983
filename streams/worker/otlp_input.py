"""OTLP input: forward a Collector's topics into the event log, so each segment's state has one partition (ADR 0007)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from aiokafka import ConsumerRecord

from schemas.errors import RecordError
from schemas.settings import Settings
from streams.connectors import otlp_metrics
from streams.connectors.otlp import Normalised, normalise_logs, normalise_spans
from streams.runtime.dead_letters import Origin
from streams.runtime.failpoints import crash_point
from streams.runtime.produce import Delivery
from streams.worker.output_producer import OutputProducer

log = logging.getLogger(__name__)

_WARNING_INTERVAL_S = 60.0


class OtlpForwarder:
    """Forwarder of one Collector topic: normalises OTLP to events and labels and sends them under their own keys.

    Parameters
    ----------
    signal
        ``spans`` or ``logs``.
    settings
        All settings.
    producer
        Sends the events, labels and dead letters.
    """

    def __init__(self, signal: str, settings: Settings, producer: OutputProducer) -> None:
        self.signal = signal
        self._producer = producer
        self._normalise = _normaliser(signal, settings)
        self._next_warning = 0.0

    async def forward(self, records: Sequence[ConsumerRecord]) -> None:
        """Send the events and labels of some records and wait until they are written."""
        deliveries: list[Delivery] = []
        for record in records:
            deliveries += await self._forward_record(record)
            crash_point("worker.amid_otlp")
        await self._producer.wait_delivered(deliveries)
        crash_point("worker.after_otlp")

    async def _forward_record(self, record: ConsumerRecord) -> list[Delivery]:
        try:
            # Normalisation runs in a thread: a Collector packs 8,192 spans into one record, which would delay scoring.
            normalised = await asyncio.to_thread(self._normalise, record.value)
        except RecordError as error:
            return [await self._producer.send_dead_letter(record, error)]
        otlp_metrics.count(self.signal, normalised)
        if normalised.rejected:
            self._warn_rejected(record, normalised)
        origin = Origin.of(record)
        deliveries = await self._producer.send_keyed("events", normalised.events, origin)
        return deliveries + await self._producer.send_keyed("feedback", normalised.feedback, origin)

    def _warn_rejected(self, record: ConsumerRecord, normalised: Normalised) -> None:
        """Log the reason for the first rejected part of a record, at most once a minute; the metric counts all."""
        now = time.monotonic()
        if now >= self._next_warning:
            self._next_warning = now + _WARNING_INTERVAL_S
            first = normalised.problems[0]
            origin = f"{record.topic}-{record.partition}-{record.offset}"
            log.warning("%s: %d parts rejected; first: %s: %s", origin, normalised.rejected, first.where, first.reason)


def _normaliser(signal: str, settings: Settings) -> Callable[[bytes | None], Normalised]:
    encoding = settings.kafka.otlp_encoding
    if signal == "logs":
        return partial(normalise_logs, encoding=encoding)
    return partial(normalise_spans, encoding=encoding, wait_for_logs=settings.kafka.otlp_wait_for_logs)
