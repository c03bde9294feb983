"""One partition in the worker: its pipeline, what it writes, and when its state is made durable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from aiokafka import ConsumerRecord, TopicPartition

from agents.base import State
from processing.pipeline import Outputs, Record
from schemas.errors import RecordError, SizeError, StateError
from schemas.settings import Settings
from streams.runtime.decode import read_record
from streams.runtime.failpoints import crash_point
from streams.runtime.logs import describe
from streams.runtime.metrics import (
    WORKER_CHUNK_SECONDS,
    WORKER_EVENTS,
    WORKER_REPLAYED_DROPPED,
    WORKER_SNAPSHOT_BYTES,
    WORKER_SNAPSHOT_SECONDS,
    WORKER_STATE_REJECTED,
)
from streams.runtime.registry import build_pipeline, versions
from streams.runtime.signing import Signer
from streams.runtime.snapshot_codec import Snapshot
from streams.runtime.snapshot_store import pieces, read, reader
from streams.shadow.host import ShadowHost
from streams.shadow.shadow import PART, Shadow
from streams.worker.chunks import cut
from streams.worker.output_producer import Writer
from streams.worker.pipeline_metrics import Meters, timed
from streams.worker.recovery import Fitted, recover

log = logging.getLogger(__name__)

Commit = Callable[[int, int], Awaitable[None]]
"""Commits (source partition, next offset)."""

_LOG_APPEND_TIME = 1
_SNAPSHOT_SHARE = 0.05
"""Most of the time that snapshots may take: large states are written less often instead of stalling the stream."""


class Engine:
    """Judges the records of one partition and keeps state and offset together.

    A crash at any point loses nothing: the state that comes back says which offset it includes, what follows is read
    and judged again, and gives the same outputs, which the sink recognises.
    """

    def __init__(
        self, partition: int, settings: Settings, writer: Writer, commit: Commit, shadows: ShadowHost | None = None
    ) -> None:
        self.partition = partition
        self._settings = settings
        self._writer = writer
        self._commit = commit
        self._shadows = shadows
        self._events = settings.kafka.topic("events")
        self._signer = Signer.of(settings)
        self.pipeline = build_pipeline(partition, settings, timed)
        self._shadow = shadows.beside(self.pipeline) if shadows else None
        self._meters = Meters(self.pipeline)
        self._slot = 0
        self._saved = -1
        self._restored: frozenset[str] = frozenset()
        self._distrusted: frozenset[str] = frozenset()
        self.cold: tuple[str, ...] = ()
        self.rejected: tuple[str, ...] = ()
        self._saving: asyncio.Task[None] | None = None
        self._next_save = time.monotonic() + settings.worker.snapshot_interval_s
        self._next_flush = 0.0

    async def restore(self) -> None:
        """Continue from the newest snapshot that fits, if there is one later than the state in memory."""
        found = await recover(self._settings, self.partition, self.pipeline.offset, self._fit)
        self.rejected = tuple(sorted({error.reason for error in found.refused})) or self.rejected
        if found.fitted is None:
            self.cold = ("all",) if found.refused and self.pipeline.offset < 0 else self.cold
            return
        self.pipeline, self._shadow = found.fitted.pipeline, found.fitted.shadow
        self.cold = tuple(found.fitted.cold)
        self.rejected += ("parts",) * ("parts" not in self.rejected and bool(found.fitted.rejected))
        self._restored = frozenset(versions(self.pipeline)) - {*self.cold}
        self._meters = Meters(self.pipeline)
        self._saved = self.pipeline.offset
        # The other one: until the next snapshot is whole, this is what a crash comes back to.
        self._slot = 1 - found.slot

    def _fit(self, snapshot: Snapshot) -> Fitted:
        """Return a fresh pipeline that continues from a snapshot."""
        if snapshot.partition != self.partition:
            raise StateError(f"snapshot: of partition {snapshot.partition}", "partition")
        pipeline = build_pipeline(self.partition, self._settings, timed)
        wanted = versions(pipeline)
        parts = {
            name: part
            for name, part in snapshot.parts.items()
            if snapshot.versions.get(name) == wanted.get(name) and name not in self._distrusted
        }
        cold = pipeline.restore(parts, snapshot.offset)
        rejected = [name for name in cold if name in parts or snapshot.versions.get(name) == wanted[name]]
        rejected = [name for name in rejected if name not in self._distrusted]
        if rejected and len(cold) == len(wanted):
            raise StateError(f"snapshot of offset {snapshot.offset}: no part of it fits", "parts")
        shadow = self._shadows.beside(pipeline) if self._shadows else None
        if shadow is not None:
            shadow.restore(snapshot.parts.get(PART), pipeline.alert_engine.state())
        return Fitted(pipeline, shadow, cold, rejected)

    def _renew(self) -> None:
        self.pipeline = build_pipeline(self.partition, self._settings, timed)
        self._shadow = self._shadows.beside(self.pipeline) if self._shadows else None
        self._meters = Meters(self.pipeline)
        self._restored = frozenset()

    async def process(self, records: Sequence[ConsumerRecord]) -> None:
        """Judge a run of records and queue what comes of it."""
        if records[0].offset > self.pipeline.offset + 1:
            # A gap: compaction's, or another worker's work since this state was last used.
            await self.restore()
            await self._catch_up(records[0].offset)
        fresh = [r for r in records if r.offset > self.pipeline.offset]
        WORKER_REPLAYED_DROPPED.inc(len(records) - len(fresh))
        if fresh:
            await self._judge(fresh)
        await self._housekeeping()

    async def _catch_up(self, end: int) -> None:
        """Judge what lies between the state and an offset: the latest snapshot may be older than the last commit."""
        start = self.pipeline.offset + 1
        if start == 0 or start >= end:
            return
        tp = TopicPartition(self._events, self.partition)
        async with reader(self._settings.kafka, tp) as consumer:
            async for batch in read(consumer, tp, start, end):
                for run in cut(batch, self._settings.worker.chunk_records):
                    await self._judge(run.value)

    async def _distrust(self, error: Exception, fresh: Sequence[ConsumerRecord]) -> None:
        """Start a part cold whose restored state it cannot work with, and judge again what came since the snapshot.

        Without this a forged or damaged value that passes all checks would stop the worker after every start.
        """
        part = self.pipeline.active_component
        if part not in self._restored:
            raise error
        log.error("partition %d: the restored state of %s fails: %s", self.partition, part, describe(error))
        WORKER_STATE_REJECTED.labels("failed").inc()
        self._distrusted |= {part}
        self._renew()
        await self.restore()
        self.rejected += ("failed",) * ("failed" not in self.rejected)
        if self.pipeline.offset < 0:
            await self._judge(fresh)
        else:
            await self._catch_up(fresh[-1].offset + 1)

    async def _judge(self, fresh: Sequence[ConsumerRecord]) -> None:
        with WORKER_CHUNK_SECONDS.time():
            decoded, bad = self._decode(fresh)
            try:
                out: Outputs = self.pipeline.process(decoded)
            except Exception as error:  # noqa: BLE001 - raised again unless restored state may be the cause
                await self._distrust(error, fresh)
                return
            self.pipeline.offset = fresh[-1].offset
        crash_point("worker.after_judge")
        for record, problem in bad:
            await self._writer.dead_letter(record, problem)
        await self._writer.write(self.partition, out)
        WORKER_EVENTS.inc(len(out.scored))
        self._meters.publish(self.pipeline)
        self._meters.quality(out.quality, self.partition)
        crash_point("worker.after_write")
        if self._shadows is not None and self._shadow is not None:
            self._shadows.publish(self._shadow.follow(out.steps, out.alerts))

    def _decode(
        self, records: Sequence[ConsumerRecord]
    ) -> tuple[list[Record], list[tuple[ConsumerRecord, RecordError]]]:
        good: list[Record] = []
        bad: list[tuple[ConsumerRecord, RecordError]] = []
        for record in records:
            try:
                if record.headers:
                    self._signer.check_record(record.value, record.headers, self._events, self.partition)
                item, raw = read_record(record.value, record.headers)
                appended = record.timestamp_type == _LOG_APPEND_TIME
                good.append(Record(record.offset, item, raw, record.timestamp, appended))
            except RecordError as error:
                bad.append((record, error))
        return good, bad

    async def _housekeeping(self) -> None:
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + self._settings.aggregates.flush_interval_s
            await self._writer.windows(self.partition, self.pipeline.open_aggregates())
        if self._saving is not None and self._saving.done():
            self._saving.result()
            self._saving = None
        if now >= self._next_save and self._saving is None:
            self._begin_save()

    async def idle(self) -> None:
        """Do what is due while no records come."""
        await self._housekeeping()

    async def save(self) -> None:
        """Make the present state durable now: on revoke and on stop."""
        if self._saving is not None:
            await self._saving
            self._saving = None
        await self._writer.windows(self.partition, self.pipeline.open_aggregates())
        if self.pipeline.offset > self._saved:
            self._begin_save()
            await self._saving  # type: ignore[misc] # set by the line above

    def _begin_save(self) -> None:
        begin = time.monotonic()
        if self.pipeline.offset > self._saved:
            snapshot = Snapshot(self.partition, self.pipeline.offset, versions(self.pipeline), self.pipeline.state())
            of_shadow = self._shadow.state() if self._shadow is not None else {}
            self._saving = asyncio.create_task(self._finish_save(snapshot, self._shadow, of_shadow))
        took = time.monotonic() - begin
        WORKER_SNAPSHOT_SECONDS.observe(took)
        self._next_save = begin + max(self._settings.worker.snapshot_interval_s, took / _SNAPSHOT_SHARE)

    async def _finish_save(self, snapshot: Snapshot, shadow: Shadow | None, of_shadow: Mapping[str, State]) -> None:
        # In a thread: the state is a copy, and 10,000 segments take half a second to pack.
        if shadow is not None:
            more = await asyncio.to_thread(shadow.packed, of_shadow, snapshot.offset)
            snapshot = replace(snapshot, parts={**snapshot.parts, **more})
        topic, piece_bytes = self._settings.kafka.topic("snapshots"), self._writer.piece_bytes
        most = self._settings.worker.snapshot_bytes_max
        try:
            records = await asyncio.to_thread(pieces, snapshot, self._slot, self._signer, topic, piece_bytes, most)
        except StateError as error:
            # It would not be restored. The state before counts on, and what came since is read again after a crash.
            log.error("partition %d: %s", self.partition, error)
            WORKER_STATE_REJECTED.labels("size").inc()
            return
        self._slot ^= 1
        WORKER_SNAPSHOT_BYTES.observe(sum(len(v) for _, v in records))
        # The order is the guarantee: outputs, then the state that includes them, then the commit.
        await self._writer.settled(self.partition)
        crash_point("worker.before_snapshot")
        try:
            await self._writer.snapshot(self.partition, records)
        except SizeError as error:
            # The state before counts on; the next is cut smaller.
            log.error("partition %d: snapshot: %s", self.partition, error)
            return
        crash_point("worker.after_snapshot")
        self._saved = snapshot.offset
        await self._commit(self.partition, snapshot.offset + 1)
        crash_point("worker.after_commit")
