"""One partition in the worker: its pipeline, what it writes, and when its state is made durable."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from aiokafka import ConsumerRecord

from agents.base import State
from agents.pipeline import Outputs, Pipeline, Record
from schemas.errors import RecordError, StateError
from schemas.settings import Settings
from streams.assembly import build_pipeline, versions
from streams.crash import crash_point
from streams.decode import read_record
from streams.metrics import (
    WORKER_CHUNK_SECONDS,
    WORKER_COLD_STARTS,
    WORKER_EVENTS,
    WORKER_REPLAYED_DROPPED,
    WORKER_SNAPSHOT_BYTES,
    WORKER_SNAPSHOT_SECONDS,
)
from streams.shadow.host import ShadowHost
from streams.shadow.shadow import PART, Shadow
from streams.snapshot import Snapshot
from streams.worker.meters import Meters, timed
from streams.worker.snapshots import load, pieces
from streams.worker.writer import Writer

log = logging.getLogger(__name__)

Commit = Callable[[int, int], Awaitable[None]]
"""Commits (source partition, next offset)."""

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
        self._renew()
        self._slot = 0
        self._saved = -1
        self._saving: asyncio.Task[None] | None = None
        self._next_save = time.monotonic() + settings.worker.snapshot_interval_s
        self._next_flush = 0.0

    async def restore(self) -> None:
        """Continue from the newest snapshot, if there is one later than the state in memory."""
        try:
            snapshot = await load(self._settings.kafka, self.partition)
        except StateError as error:
            log.error("partition %d: %s", self.partition, error)
            WORKER_COLD_STARTS.labels("all").inc()
            return
        if snapshot is None or snapshot.offset <= self.pipeline.offset:
            return
        self._renew()
        wanted = versions(self.pipeline)
        parts = {name: part for name, part in snapshot.parts.items() if snapshot.versions.get(name) == wanted.get(name)}
        for name in self.pipeline.restore(parts, snapshot.offset):
            log.error("partition %d: the state of %s does not fit this version; it starts cold", self.partition, name)
            WORKER_COLD_STARTS.labels(name).inc()
        if self._shadow is not None:
            self._shadow.restore(snapshot.parts.get(PART), self.pipeline.alert_engine.state())
        self._meters = Meters(self.pipeline)
        self._saved = snapshot.offset

    def _renew(self) -> None:
        self.pipeline: Pipeline = build_pipeline(self.partition, self._settings, timed)
        self._shadow = self._shadows.beside(self.pipeline) if self._shadows else None
        self._meters = Meters(self.pipeline)

    async def process(self, records: Sequence[ConsumerRecord]) -> None:
        """Judge a run of records and queue what comes of it."""
        if records[0].offset > self.pipeline.offset + 1:
            # A gap: compaction's, or another worker's work since this state was last used.
            await self.restore()
        fresh = [r for r in records if r.offset > self.pipeline.offset]
        WORKER_REPLAYED_DROPPED.inc(len(records) - len(fresh))
        if fresh:
            await self._judge(fresh)
        await self._housekeeping()

    async def _judge(self, fresh: Sequence[ConsumerRecord]) -> None:
        with WORKER_CHUNK_SECONDS.time():
            decoded, bad = self._decode(fresh)
            out: Outputs = self.pipeline.process(decoded)
            self.pipeline.offset = fresh[-1].offset
        crash_point("worker.after_judge")
        for record, error in bad:
            await self._writer.dead_letter(record, error)
        await self._writer.write(self.partition, out)
        WORKER_EVENTS.inc(len(out.scored))
        self._meters.publish(self.pipeline)
        self._meters.quality(out.quality, self.partition)
        crash_point("worker.after_write")
        if self._shadows is not None and self._shadow is not None:
            self._shadows.publish(self._shadow.follow(out.steps, out.alerts))

    @staticmethod
    def _decode(records: Sequence[ConsumerRecord]) -> tuple[list[Record], list[tuple[ConsumerRecord, RecordError]]]:
        good: list[Record] = []
        bad: list[tuple[ConsumerRecord, RecordError]] = []
        for record in records:
            try:
                item, raw = read_record(record.value, record.headers)
                good.append(Record(record.offset, item, raw, record.timestamp))
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
        records = await asyncio.to_thread(pieces, snapshot, self._slot)
        self._slot ^= 1
        WORKER_SNAPSHOT_BYTES.observe(sum(len(v) for _, v in records))
        # The order is the guarantee: outputs, then the state that includes them, then the commit.
        await self._writer.settled(self.partition)
        crash_point("worker.before_snapshot")
        await self._writer.snapshot(self.partition, records)
        crash_point("worker.after_snapshot")
        self._saved = snapshot.offset
        await self._commit(self.partition, snapshot.offset + 1)
        crash_point("worker.after_commit")
