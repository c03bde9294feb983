"""What the worker writes: in order per partition, idempotent, and known to be written before a snapshot covers it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRecord

from agents.pipeline import Outputs
from schemas.errors import RecordError
from schemas.settings import Settings
from streams.batches import send_batches, send_keyed
from streams.deadletters import Origin, letter
from streams.decode import FEEDBACK_HEADER
from streams.kafka import MAX_MESSAGE_BYTES, client_options
from streams.keying import quality_key, window_key
from streams.metrics import ALERTS, WORKER_DEAD_LETTERS
from streams.signing import Signer

_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


class Writer:
    """An idempotent producer that remembers, per source partition, what is not acknowledged yet."""

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka
        self._topic = kafka.topic
        self._signer = Signer.of(settings)
        # 512 kB a batch: a chunk's scored rows are one or two; 5 ms of linger lets partitions share a request.
        self._producer = AIOKafkaProducer(
            **client_options(kafka),
            enable_idempotence=True,
            acks="all",
            linger_ms=5,
            max_batch_size=512 << 10,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        self._waiting: dict[int, list[asyncio.Future[Any]]] = defaultdict(list)

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is left and disconnect."""
        await self._producer.stop()

    async def write(self, partition: int, out: Outputs) -> None:
        """Queue all outputs of a chunk; returns when they are queued, not when they are written."""
        waiting = self._waiting[partition]
        waiting[:] = _unsettled(waiting)
        scored = [(None, row) for row in out.scored]
        waiting += await send_batches(self._producer, self._topic("scored"), partition, scored)
        for alert in out.alerts:
            ALERTS.labels(alert["rule"], alert["state"]).inc()
            waiting.append(await self._send("alerts", alert["fingerprint"], alert))
        for row in out.quality:
            waiting.append(await self._send("quality", quality_key(row), row))
        for row in out.label_requests:
            waiting.append(await self._send("label_requests", f"{row['signal']}|{row['call_id']}", row))
        await self.windows(partition, (window.row() for window in out.aggregates))

    async def windows(self, partition: int, rows: Iterable[dict[str, Any]]) -> None:
        """Queue windows; an upsert each, so they need no order with anything else."""
        waiting = self._waiting[partition]
        for row in rows:
            waiting.append(await self._send("aggregates", window_key(row), row))

    async def dead_letter(self, record: ConsumerRecord, error: RecordError) -> None:
        """Queue a record that cannot be judged, whole; no snapshot passes it before it is written."""
        waiting = self._waiting[record.partition]
        waiting.append(await self.set_aside(record, error))

    async def set_aside(self, record: ConsumerRecord, error: RecordError) -> asyncio.Future[Any]:
        """Queue a record that cannot be read, whole; return what says that it is written."""
        WORKER_DEAD_LETTERS.labels(error.reason).inc()
        name = f"{record.topic}-{record.partition}-{record.offset}"
        origin = Origin(name, record.topic, record.partition, record.offset)
        key = None if record.key is None else record.key.decode("utf-8", "replace")
        return await self._send("deadletter", name, letter(origin, error, key, record.value))

    async def feedback(self, records: Sequence[ConsumerRecord]) -> None:
        """Write labels into the log of the events they speak of, and wait until they are there."""
        topic, kind = self._topic("events"), FEEDBACK_HEADER[1].decode()
        sent = []
        for r in records:
            value = r.value and self._signer.sign_json(r.value, kind, topic, r.partition)
            # Of its own headers none may say what the record is: a label is never a command.
            headers = [*(h for h in r.headers if h[0] != FEEDBACK_HEADER[0]), FEEDBACK_HEADER]
            sent.append(await self._producer.send(topic, value, key=r.key, partition=r.partition, headers=headers))
        await asyncio.gather(*sent)

    async def keyed(self, topic: str, rows: Sequence[tuple[bytes, bytes]]) -> list[asyncio.Future[Any]]:
        """Queue rows for the partitions of their keys; return what says that they are written."""
        return await send_keyed(self._producer, self._topic(topic), rows)

    async def snapshot(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write the pieces of a snapshot in order and wait until they are there."""
        topic = self._topic("snapshots")
        sent = [await self._producer.send(topic, value, key=key, partition=partition) for key, value in records]
        await asyncio.gather(*sent)

    async def settled(self, partition: int) -> None:
        """Wait until everything queued so far for a source partition is written; raise what the broker refused."""
        # The list stays the same one: what is queued meanwhile is added to it, and the next snapshot waits for that.
        waiting = self._waiting[partition]
        await asyncio.gather(*waiting)
        waiting[:] = _unsettled(waiting)

    async def _send(self, topic: str, key: str, value: dict[str, Any]) -> asyncio.Future[Any]:
        payload = orjson.dumps(value, option=_NUMERIC_KEYS)
        sent: asyncio.Future[Any] = await self._producer.send(self._topic(topic), payload, key=key.encode())
        return sent


def _unsettled(sent: Iterable[asyncio.Future[Any]]) -> list[asyncio.Future[Any]]:
    """Return what is not written yet, and what was refused."""
    return [f for f in sent if not f.done() or f.exception()]
