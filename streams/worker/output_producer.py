"""What the worker writes: in order per partition, idempotent, and known to be written before a snapshot covers it.

No row is too large for its topic: a scored row is reduced (`streams.worker.row_reduction`), any other is dead-lettered,
and so is what the broker refuses for its size all the same (its limit was lowered meanwhile). Only losing the broker
stops the worker.
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
from streams.runtime.dead_letters import TOO_LARGE, Origin, letter, post, smaller
from streams.runtime.decode import FEEDBACK_HEADER
from streams.runtime.metrics import ALERTS, INPUT_ISSUES, OUTPUTS_TOO_LARGE, WORKER_DEAD_LETTERS
from streams.runtime.partitioning import quality_key, window_key
from streams.runtime.produce import Sent, send_batches, send_keyed
from streams.runtime.producer import Producer, written_topics
from streams.runtime.signing import Signer
from streams.runtime.snapshot_store import PIECE_BYTES
from streams.worker.row_reduction import ISSUE, reduced

_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS
_LEAST_PIECE_BYTES = 1 << 10
_PIECE_KEY_BYTES = 64


class Writer:
    """An idempotent producer that remembers, per source partition, what is not acknowledged yet."""

    def __init__(self, settings: Settings) -> None:
        kafka = settings.kafka
        self._topic = kafka.topic
        self._signer = Signer.of(settings)
        # 512 kB a batch: a chunk's scored rows are one or two; 5 ms of linger lets partitions share a request.
        self._producer = Producer(kafka, written_topics())
        self._waiting: dict[int, list[Sent]] = defaultdict(list)

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
        topic = self._topic("scored")
        rows = out.scored
        if rows and max(map(len, rows)) > self._producer.room(topic):
            rows = await self._fitting(partition, topic, rows)
        waiting += await send_batches(self._producer, topic, partition, [(None, row) for row in rows])
        for alert in out.alerts:
            ALERTS.labels(alert["rule"], alert["state"]).inc()
            waiting.append(await self._send(partition, "alerts", alert["fingerprint"], alert))
        for row in out.quality:
            waiting.append(await self._send(partition, "quality", quality_key(row), row))
        for row in out.label_requests:
            waiting.append(await self._send(partition, "label_requests", f"{row['signal']}|{row['call_id']}", row))
        await self.windows(partition, (window.row() for window in out.aggregates))

    async def windows(self, partition: int, rows: Iterable[dict[str, Any]]) -> None:
        """Queue windows; an upsert each, so they need no order with anything else."""
        waiting = self._waiting[partition]
        for row in rows:
            waiting.append(await self._send(partition, "aggregates", window_key(row), row))

    async def dead_letter(self, record: ConsumerRecord, error: RecordError) -> None:
        """Queue the dead letter of a record that cannot be scored; no snapshot passes it before it is written."""
        waiting = self._waiting[record.partition]
        waiting.append(await self.set_aside(record, error))

    async def set_aside(self, record: ConsumerRecord, error: RecordError) -> Sent:
        """Queue the dead letter of a record that cannot be read; return what says that it is written."""
        return await self._letter(Origin.of(record), error, record.key, record.value)

    async def feedback(self, records: Sequence[ConsumerRecord]) -> None:
        """Write labels into the log of the events they speak of, and wait until they are there."""
        topic, kind = self._topic("events"), FEEDBACK_HEADER[1].decode()
        room = self._producer.room(topic)
        sent: list[Sent] = []
        for r in records:
            value = r.value and self._signer.sign_json(r.value, kind, topic, r.partition)
            # Of its own headers none may say what the record is: a label is never a command.
            headers = [*(h for h in r.headers if h[0] != FEEDBACK_HEADER[0]), FEEDBACK_HEADER]
            size = len(r.key or b"") + len(value or b"") + sum(len(k) * 4 + len(v or b"") + 16 for k, v in headers)
            if size > room:
                sent.append(await self.set_aside(r, _too_large(size, topic)))
                continue
            future = await self._producer.send(topic, value, key=r.key, partition=r.partition, headers=headers)
            sent.append(Sent(future, topic, ((r.key, value or b""),)))
        await self.landed(sent)

    async def keyed(self, topic: str, rows: Sequence[tuple[bytes, bytes]], origin: Origin) -> list[Sent]:
        """Queue rows that a record gave for the partitions of their keys; return what says that they are written."""
        name = self._topic(topic)
        room = self._producer.room(name)
        fit = [row for row in rows if len(row[0]) + len(row[1]) <= room]
        sent = await send_keyed(self._producer, name, fit)
        if len(fit) < len(rows):
            for n, (key, value) in enumerate(rows):
                if len(key) + len(value) > room:
                    part = Origin(f"{origin.name}/{n}", origin.topic, origin.partition, origin.offset)
                    sent.append(await self._letter(part, _too_large(len(value), name), key, value))
        return sent

    @property
    def piece_bytes(self) -> int:
        """Largest piece of a snapshot that its topic takes."""
        room = self._producer.room(self._topic("snapshots")) - _PIECE_KEY_BYTES
        return max(_LEAST_PIECE_BYTES, min(PIECE_BYTES, room))

    async def snapshot(self, partition: int, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Write the pieces of a snapshot in order and wait until they are there.

        Raises
        ------
        SizeError
            If the broker refuses their size; the next snapshot is cut into smaller pieces.
        """
        topic = self._topic("snapshots")
        sent = [
            Sent(await self._producer.send(topic, value, key=key, partition=partition), topic, ((key, value),))
            for key, value in records
        ]
        outcomes = await asyncio.gather(*(one.future for one in sent), return_exceptions=True)
        for one, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                OUTPUTS_TOO_LARGE.labels(topic).inc()
                await self._producer.refused(one)
                raise _too_large(one.size, topic) from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    async def settled(self, partition: int) -> None:
        """Wait until everything queued so far for a source partition is written; raise what the broker refused."""
        # The list stays the same one: what is queued meanwhile is added to it, and the next snapshot waits for that.
        waiting = self._waiting[partition]
        taken = list(waiting)
        await self.landed(taken)
        done = set(map(id, taken))
        waiting[:] = [sent for sent in waiting if id(sent) not in done]

    async def landed(self, sent: Sequence[Sent]) -> None:
        """Wait until rows are written; what is refused for its size is dead-lettered, any other refusal is raised."""
        outcomes = await asyncio.gather(*(one.future for one in sent), return_exceptions=True)
        for one, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                await self._refused(one)
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _refused(self, sent: Sent) -> None:
        await self._producer.refused(sent)
        for key, value in sent.rows:
            if sent.topic == self._topic("dead_letters"):
                await post(self._producer, sent.topic, key or b"", orjson.loads(value))
                continue
            OUTPUTS_TOO_LARGE.labels(sent.topic).inc()
            origin = _origin(sent.topic, 0, value)
            made = letter(origin, _too_large(len(value), sent.topic), key, value)
            await post(self._producer, self._topic("dead_letters"), origin.name.encode(), made)

    async def _fitting(self, partition: int, topic: str, rows: Sequence[bytes]) -> list[bytes]:
        """Return scored rows that their topic takes: reduced ones, too; what cannot be reduced is dead-lettered."""
        room = self._producer.room(topic)
        fit: list[bytes] = []
        for row in rows:
            if len(row) <= room:
                fit.append(row)
                continue
            OUTPUTS_TOO_LARGE.labels(topic).inc()
            if (less := await asyncio.to_thread(reduced, row, room)) is not None:
                INPUT_ISSUES.labels(ISSUE).inc()
                fit.append(less)
            else:
                self._waiting[partition].append(await self._oversized(partition, topic, b"", row))
        return fit

    async def _send(self, partition: int, name: str, key: str, value: dict[str, Any]) -> Sent:
        payload, topic, raw = orjson.dumps(value, option=_NUMERIC_KEYS), self._topic(name), key.encode()
        if len(payload) + len(raw) > self._producer.room(topic):
            OUTPUTS_TOO_LARGE.labels(topic).inc()
            return await self._oversized(partition, topic, raw, payload)
        return Sent(await self._producer.send(topic, payload, key=raw), topic, ((raw, payload),))

    async def _oversized(self, partition: int, topic: str, key: bytes, payload: bytes) -> Sent:
        return await self._letter(_origin(topic, partition, payload), _too_large(len(payload), topic), key, payload)

    async def _letter(self, origin: Origin, error: RecordError, key: bytes | None, raw: bytes | None) -> Sent:
        WORKER_DEAD_LETTERS.labels(error.reason).inc()
        topic = self._topic("dead_letters")
        made = letter(origin, error, key, raw)
        payload, name = orjson.dumps(made), origin.name.encode()
        if len(payload) + len(name) > self._producer.room(topic):
            payload = orjson.dumps(smaller(made, self._producer.room(topic) - len(name)))
        return Sent(await self._producer.send(topic, payload, key=name), topic, ((name, payload),))


def _origin(topic: str, partition: int, payload: bytes) -> Origin:
    """Return where an output stood: by what it says, so that a replay gives the same dead letter."""
    return Origin(f"{topic}-{hashlib.sha256(payload).hexdigest()}", topic, partition, 0)


def _too_large(size: int, topic: str) -> SizeError:
    return SizeError(f"value: {size} bytes are more than {topic} takes; raise max.message.bytes of the topic")


def _unsettled(sent: Iterable[Sent]) -> Iterator[Sent]:
    """Yield what is not written yet, and what was refused."""
    return (one for one in sent if not one.future.done() or one.future.exception())
