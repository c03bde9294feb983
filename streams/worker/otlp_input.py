"""OTLP from a Collector's topics into the log of the events: there a segment's state has one home (ADR 0007)."""

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
from streams.runtime.produce import Sent
from streams.worker.output_producer import Writer

log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0


class OtlpForwarder:
    """Turns the records of one of a Collector's topics into events and labels, and writes those under their keys.

    Parameters
    ----------
    signal
        ``spans`` or ``logs``.
    settings
        All settings.
    writer
        Writes to Kafka.
    """

    def __init__(self, signal: str, settings: Settings, writer: Writer) -> None:
        self.signal = signal
        self._writer = writer
        self._normalise = _normaliser(signal, settings)
        self._complain_at = 0.0

    async def forward(self, records: Sequence[ConsumerRecord]) -> None:
        """Write what the records say, and wait until it is there."""
        waiting: list[Sent] = []
        for record in records:
            waiting += await self._record(record)
            crash_point("worker.amid_otlp")
        await self._writer.landed(waiting)
        crash_point("worker.after_otlp")

    async def _record(self, record: ConsumerRecord) -> list[Sent]:
        try:
            # In a thread: a Collector puts 8,192 spans into a record, and judging would wait while they are read.
            found = await asyncio.to_thread(self._normalise, record.value)
        except RecordError as error:
            return [await self._writer.set_aside(record, error)]
        otlp_metrics.count(self.signal, found)
        if found.rejected:
            self._complain(record, found)
        origin = Origin.of(record)
        sent = await self._writer.keyed("events", found.events, origin)
        return sent + await self._writer.keyed("feedback", found.feedback, origin)

    def _complain(self, record: ConsumerRecord, found: Normalised) -> None:
        """Say why parts of a record were not used, once a minute: the others are in the metric."""
        now = time.monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY_S
            first = found.problems[0]
            origin = f"{record.topic}-{record.partition}-{record.offset}"
            log.warning("%s: %d not used; %s: %s", origin, found.rejected, first.where, first.reason)


def _normaliser(signal: str, settings: Settings) -> Callable[[bytes | None], Normalised]:
    encoding = settings.kafka.otlp_encoding
    if signal == "logs":
        return partial(normalise_logs, encoding=encoding)
    return partial(normalise_spans, encoding=encoding, wait_for_logs=settings.kafka.otlp_wait_for_logs)
