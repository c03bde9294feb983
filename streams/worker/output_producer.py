"""Output producer of the worker: idempotent, in order per partition, flushed before each snapshot.

No row exceeds its topic's record size. A scored row that is too large is reduced (`streams.worker.row_reduction`); any
other row that is too large becomes a dead letter. A row that the broker refuses for its size, because the topic's limit
was lowered meanwhile, becomes a dead letter too. Only the loss of the broker stops the worker.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from processing.pipeline import Outputs
from schemas.errors import RecordError, SizeError
from schemas.settings import Settings
from streams.runtime.dead_letters import TOO_LARGE, Origin, build_dead_letter, reduced_to, send_reducing
from streams.runtime.decode import FEEDBACK_HEADER
from streams.runtime.metrics import ALERTS, INPUT_ISSUES, OUTPUTS_TOO_LARGE, WORKER_DEAD_LETTERS
from streams.runtime.partitioning import quality_key, window_key
from streams.runtime.produce import Delivery, send_batches, send_keyed
from streams.runtime.producer import Producer, topic_names
from streams.runtime.signing import Signer
from streams.runtime.snapshot_store import PIECE_BYTES
from streams.worker.row_reduction import ISSUE, reduce_row

_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS
_MIN_PIECE_BYTES = 1 << 10
_PIECE_KEY_BYTES = 64


class OutputProducer:
    """Idempotent producer that tracks unacknowledged outputs per source partition."""

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka
        self._topic = kafka.topic
        self._signer = Signer.of(settings)
        # One or two batches of 512 kB hold the scored rows of a chunk; 5 ms of linger let partitions share a request.
        self._producer = Producer(kafka, topic_names())
        self._pending: dict[int, list[Delivery]] = defaultdict(list)

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Send queued outputs and disconnect."""
        await self._producer.stop()

    async def send_outputs(self, partition: int, out: Outputs) -> None:
        """Queue all outputs of a chunk; `flush` waits until they are written."""
        pending = self._pending[partition]
        pending[:] = _undelivered(pending)
        topic = self._topic("scored")
        rows = out.scored
        if rows and max(map(len, rows)) > self._producer.max_record_bytes(topic):
            rows = await self._fit_rows(partition, topic, rows)
        pending += await send_batches(self._producer, topic, partition, [(None, row) for row in rows])
        for alert in out.alerts:
            ALERTS.labels(alert["rule"], alert["state"]).inc()
            pending.append(await self._send(partition, "alerts", alert["fingerprint"], alert))
        for row in out.quality:
            pending.append(await self._send(partition, "quality", quality_key(row), row))
        for row in out.label_requests:
            pending.append(await self._send(partition, "label_requests", f"{row['signal']}|{row['call_id']}", row))
        await self.send_windows(partition, (window.row() for window in out.aggregates))

    async def send_windows(self, partition: int, rows: Iterable[dict[str, Any]]) -> None:
        """Queue aggregate windows; each row is an upsert and needs no order relative to other outputs."""
        pending = self._pending[partition]
        for row in rows:
            pending.append(await self._send(partition, "aggregates", window_key(row), row))

    async def reject(self, record: ConsumerRecord, error: RecordError) -> None:
        """Queue the dead letter of a record that cannot be scored; `flush` waits for it before a snapshot."""
        pending = self._pending[record.partition]
        pending.append(await self.send_dead_letter(record, error))

    async def send_dead_letter(self, record: ConsumerRecord, error: RecordError) -> Delivery:
        """Queue the dead letter of a record that cannot be read; return its delivery."""
        return await self._send_letter(Origin.of(record), error, record.key, record.value)

    async def forward_feedback(self, records: Sequence[ConsumerRecord]) -> None:
        """Send labels into the log of the events that they belong to and wait until they are written."""
        topic, kind = self._topic("events"), FEEDBACK_HEADER[1].decode()
        max_bytes = self._producer.max_record_bytes(topic)
        deliveries: list[Delivery] = []
        for r in records:
            value = r.value and self._signer.sign_json(r.value, kind, topic, r.partition)
            # A kind header sent by the client is dropped: a label must not pass as a command.
            headers = [*(h for h in r.headers if h[0] != FEEDBACK_HEADER[0]), FEEDBACK_HEADER]
            size = len(r.key or b"") + len(value or b"") + sum(len(k) * 4 + len(v or b"") + 16 for k, v in headers)
            if size > max_bytes:
                deliveries.append(await self.send_dead_letter(r, _too_large(size, topic)))
                continue
            future = await self._producer.send(topic, value, key=r.key, partition=r.partition, headers=headers)
            deliveries.append(Delivery(future, topic, ((r.key, value or b""),)))
        await self.wait_delivered(deliveries)

    async def send_keyed(self, topic: str, rows: Sequence[tuple[bytes, bytes]], origin: Origin) -> list[Delivery]:
        """Queue rows made from one record for the partitions of their keys; return their deliveries."""
        name = self._topic(topic)
        max_bytes = self._producer.max_record_bytes(name)
        fitting = [row for row in rows if len(row[0]) + len(row[1]) <= max_bytes]
        deliveries = await send_keyed(self._producer, name, fitting)
        if len(fitting) < len(rows):
            for n, (key, value) in enumerate(rows):
                if len(key) + len(value) > max_bytes:
                    part = Origin(f"{origin.name}/{n}", origin.topic, origin.partition, origin.offset)
                    deliveries.append(await self._send_letter(part, _too_large(len(value), name), key, value))
        return deliveries

    @property
    def piece_bytes(self) -> int:
        """Maximum size of a snapshot piece that the snapshots topic accepts."""
        max_bytes = self._producer.max_record_bytes(self._topic("snapshots")) - _PIECE_KEY_BYTES
        return max(_MIN_PIECE_BYTES, min(PIECE_BYTES, max_bytes))

    async def write_snapshot(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the records of a snapshot in order and wait until they are written.

        Raises
        ------
        SizeError
            If the broker refuses a record for its size; the next snapshot is split into smaller pieces.
        """
        topic = self._topic("snapshots")
        deliveries = [
            Delivery(await self._producer.send(topic, value, key=key, partition=partition), topic, ((key, value),))
            for key, value in records
        ]
        outcomes = await asyncio.gather(*(d.future for d in deliveries), return_exceptions=True)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                OUTPUTS_TOO_LARGE.labels(topic).inc()
                await self._producer.lower_limit(delivery)
                raise _too_large(delivery.size, topic) from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    async def flush(self, partition: int) -> None:
        """Wait until all outputs queued so far for a source partition are written; raise the broker's refusals."""
        # The list object stays: outputs queued meanwhile are appended to it, and the next snapshot waits for them.
        pending = self._pending[partition]
        flushed = list(pending)
        await self.wait_delivered(flushed)
        done = set(map(id, flushed))
        pending[:] = [delivery for delivery in pending if id(delivery) not in done]

    async def wait_delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Wait until rows are written; dead-letter rows refused for their size and raise any other refusal."""
        outcomes = await asyncio.gather(*(d.future for d in deliveries), return_exceptions=True)
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                await self._dead_letter_refused(delivery)
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _dead_letter_refused(self, delivery: Delivery) -> None:
        await self._producer.lower_limit(delivery)
        for key, value in delivery.rows:
            if delivery.topic == self._topic("dead_letters"):
                await send_reducing(self._producer, delivery.topic, key or b"", orjson.loads(value))
                continue
            OUTPUTS_TOO_LARGE.labels(delivery.topic).inc()
            origin = _origin(delivery.topic, 0, value)
            letter = build_dead_letter(origin, _too_large(len(value), delivery.topic), key, value)
            await send_reducing(self._producer, self._topic("dead_letters"), origin.name.encode(), letter)

    async def _fit_rows(self, partition: int, topic: str, rows: Sequence[bytes]) -> list[bytes]:
        """Return the scored rows that fit the topic, reduced if needed; dead-letter rows that cannot be reduced."""
        max_bytes = self._producer.max_record_bytes(topic)
        fitting: list[bytes] = []
        for row in rows:
            if len(row) <= max_bytes:
                fitting.append(row)
                continue
            OUTPUTS_TOO_LARGE.labels(topic).inc()
            if (reduced := await asyncio.to_thread(reduce_row, row, max_bytes)) is not None:
                INPUT_ISSUES.labels(ISSUE).inc()
                fitting.append(reduced)
            else:
                self._pending[partition].append(await self._send_oversized(partition, topic, b"", row))
        return fitting

    async def _send(self, partition: int, name: str, key: str, value: dict[str, Any]) -> Delivery:
        payload, topic, raw = orjson.dumps(value, option=_NUMERIC_KEYS), self._topic(name), key.encode()
        if len(payload) + len(raw) > self._producer.max_record_bytes(topic):
            OUTPUTS_TOO_LARGE.labels(topic).inc()
            return await self._send_oversized(partition, topic, raw, payload)
        return Delivery(await self._producer.send(topic, payload, key=raw), topic, ((raw, payload),))

    async def _send_oversized(self, partition: int, topic: str, key: bytes, payload: bytes) -> Delivery:
        error = _too_large(len(payload), topic)
        return await self._send_letter(_origin(topic, partition, payload), error, key, payload)

    async def _send_letter(self, origin: Origin, error: RecordError, key: bytes | None, raw: bytes | None) -> Delivery:
        WORKER_DEAD_LETTERS.labels(error.reason).inc()
        topic = self._topic("dead_letters")
        letter = build_dead_letter(origin, error, key, raw)
        payload, name = orjson.dumps(letter), origin.name.encode()
        max_bytes = self._producer.max_record_bytes(topic)
        if len(payload) + len(name) > max_bytes:
            payload = orjson.dumps(reduced_to(letter, max_bytes - len(name)))
        return Delivery(await self._producer.send(topic, payload, key=name), topic, ((name, payload),))


def _origin(topic: str, partition: int, payload: bytes) -> Origin:
    """Return an origin with the hash of the output as its name, so that a replay produces the same dead letter."""
    return Origin(f"{topic}-{hashlib.sha256(payload).hexdigest()}", topic, partition, 0)


def _too_large(size: int, topic: str) -> SizeError:
    return SizeError(f"value: {size} bytes exceed the record size of {topic}; raise max.message.bytes of the topic")


def _undelivered(deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
    """Yield the deliveries that are unacknowledged or refused."""
    return (d for d in deliveries if not d.future.done() or d.future.exception())
