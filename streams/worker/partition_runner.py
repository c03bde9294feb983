"""Partition runner: process the records of one partition, send the outputs, save the state."""

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
from streams.runtime.registry import build_pipeline, state_versions
from streams.runtime.signing import Signer
from streams.runtime.snapshot_codec import Snapshot
from streams.runtime.snapshot_store import open_consumer, read_range, to_records
from streams.shadow.host import ShadowHost
from streams.shadow.shadow import COMPONENT, Shadow
from streams.worker.chunks import split
from streams.worker.output_producer import OutputProducer
from streams.worker.pipeline_metrics import PipelineMetrics, timed
from streams.worker.recovery import RestoredPartition, recover

log = logging.getLogger(__name__)

Commit = Callable[[int, int], Awaitable[None]]
"""Function that commits (source partition, next offset)."""

_LOG_APPEND_TIME = 1
_SNAPSHOT_TIME_SHARE = 0.05
"""Maximum share of time spent on snapshots: large states are saved less often instead of stalling the stream."""


class PartitionRunner:
    """Runner of one partition; state and offset are saved together.

    A crash at any point loses nothing. The restored state names the offset that it includes, the runner processes the
    records after that offset again, and identical outputs let the sink drop the duplicates.
    """

    def __init__(
        self,
        partition: int,
        settings: Settings,
        producer: OutputProducer,
        commit: Commit,
        shadows: ShadowHost | None = None,
    ) -> None:
        self.partition = partition
        self._settings = settings
        self._producer = producer
        self._commit = commit
        self._shadows = shadows
        self._events = settings.kafka.topic("events")
        self._signer = Signer.of(settings)
        self.pipeline = build_pipeline(partition, settings, timed)
        self._shadow = shadows.create_for(self.pipeline) if shadows else None
        self._metrics = PipelineMetrics(self.pipeline)
        self._slot = 0
        self._saved_offset = -1
        self._restored_parts: frozenset[str] = frozenset()
        self._failed_parts: frozenset[str] = frozenset()
        self.cold: tuple[str, ...] = ()
        self.rejected: tuple[str, ...] = ()
        self._save_task: asyncio.Task[None] | None = None
        self._next_save = time.monotonic() + settings.worker.snapshot_interval_s
        self._next_flush = 0.0

    async def restore(self) -> None:
        """Continue from the latest valid snapshot, if one is later than the state in memory."""
        recovery = await recover(self._settings, self.partition, self.pipeline.offset, self._restore_snapshot)
        self.rejected = tuple(sorted({error.reason for error in recovery.errors})) or self.rejected
        restored = recovery.restored
        if restored is None:
            self.cold = ("all",) if recovery.errors and self.pipeline.offset < 0 else self.cold
            return
        self.pipeline, self._shadow = restored.pipeline, restored.shadow
        self.cold = tuple(restored.cold)
        self.rejected += ("parts",) * ("parts" not in self.rejected and bool(restored.rejected))
        self._restored_parts = frozenset(state_versions(self.pipeline)) - {*self.cold}
        self._metrics = PipelineMetrics(self.pipeline)
        self._saved_offset = self.pipeline.offset
        # The next snapshot uses the other slot: until it is complete, a crash must find this one.
        self._slot = 1 - recovery.slot

    def _restore_snapshot(self, snapshot: Snapshot) -> RestoredPartition:
        """Return a new pipeline that continues from a snapshot."""
        if snapshot.partition != self.partition:
            raise StateError(
                f"snapshot: written by partition {snapshot.partition}, found in partition {self.partition}; not used",
                "partition",
            )
        pipeline = build_pipeline(self.partition, self._settings, timed)
        expected = state_versions(pipeline)
        parts = {
            name: part
            for name, part in snapshot.parts.items()
            if snapshot.versions.get(name) == expected.get(name) and name not in self._failed_parts
        }
        cold = pipeline.restore(parts, snapshot.offset)
        rejected = [name for name in cold if name in parts or snapshot.versions.get(name) == expected[name]]
        rejected = [name for name in rejected if name not in self._failed_parts]
        if rejected and len(cold) == len(expected):
            raise StateError(f"snapshot of offset {snapshot.offset}: no part of it is valid; it is not used", "parts")
        shadow = self._shadows.create_for(pipeline) if self._shadows else None
        if shadow is not None:
            shadow.restore(snapshot.parts.get(COMPONENT), pipeline.alert_engine.state())
        return RestoredPartition(pipeline, shadow, cold, rejected)

    def _reset(self) -> None:
        self.pipeline = build_pipeline(self.partition, self._settings, timed)
        self._shadow = self._shadows.create_for(self.pipeline) if self._shadows else None
        self._metrics = PipelineMetrics(self.pipeline)
        self._restored_parts = frozenset()

    async def process(self, records: Sequence[ConsumerRecord]) -> None:
        """Process a batch of records and queue the outputs."""
        if records[0].offset > self.pipeline.offset + 1:
            # A gap: compaction removed records, or another worker processed them since this state was last used.
            await self.restore()
            await self._catch_up(records[0].offset)
        new_records = [r for r in records if r.offset > self.pipeline.offset]
        WORKER_REPLAYED_DROPPED.inc(len(records) - len(new_records))
        if new_records:
            await self._process_chunk(new_records)
        await self._run_due_tasks()

    async def _catch_up(self, end: int) -> None:
        """Process the records between the state and an offset; the last commit may be later than the snapshot."""
        start = self.pipeline.offset + 1
        if start == 0 or start >= end:
            return
        tp = TopicPartition(self._events, self.partition)
        async with open_consumer(self._settings.kafka, tp) as consumer:
            async for fetched in read_range(consumer, tp, start, end):
                for batch in split(fetched, self._settings.worker.chunk_records):
                    await self._process_chunk(batch.value)

    async def _restart_failed_part(self, error: Exception, records: Sequence[ConsumerRecord]) -> None:
        """Start a part cold that fails on its restored state, and process the records since the snapshot again.

        Without this, a forged or damaged value that passes validation would stop the worker after every start.
        """
        part = self.pipeline.active_component
        if part not in self._restored_parts:
            raise error
        log.error(
            "partition %d: %s fails on its restored state; %s starts cold: %s",
            self.partition,
            part,
            part,
            describe(error),
        )
        WORKER_STATE_REJECTED.labels("failed").inc()
        self._failed_parts |= {part}
        self._reset()
        await self.restore()
        self.rejected += ("failed",) * ("failed" not in self.rejected)
        if self.pipeline.offset < 0:
            await self._process_chunk(records)
        else:
            await self._catch_up(records[-1].offset + 1)

    async def _process_chunk(self, records: Sequence[ConsumerRecord]) -> None:
        with WORKER_CHUNK_SECONDS.time():
            decoded, undecodable = self._decode(records)
            try:
                out: Outputs = self.pipeline.process(decoded)
            except Exception as error:  # noqa: BLE001 - raised again unless restored state may be the cause
                await self._restart_failed_part(error, records)
                return
            self.pipeline.offset = records[-1].offset
        crash_point("worker.after_score")
        for record, problem in undecodable:
            await self._producer.reject(record, problem)
        await self._producer.send_outputs(self.partition, out)
        WORKER_EVENTS.inc(len(out.scored))
        self._metrics.publish(self.pipeline)
        self._metrics.publish_quality(out.quality, self.partition)
        crash_point("worker.after_write")
        if self._shadows is not None and self._shadow is not None:
            self._shadows.publish(self._shadow.process(out.steps, out.alerts))

    def _decode(
        self, records: Sequence[ConsumerRecord]
    ) -> tuple[list[Record], list[tuple[ConsumerRecord, RecordError]]]:
        decoded: list[Record] = []
        undecodable: list[tuple[ConsumerRecord, RecordError]] = []
        for record in records:
            try:
                if record.headers:
                    self._signer.check_record(record.value, record.headers, self._events, self.partition)
                item, raw = read_record(record.value, record.headers)
                appended = record.timestamp_type == _LOG_APPEND_TIME
                decoded.append(Record(record.offset, item, raw, record.timestamp, appended))
            except RecordError as error:
                undecodable.append((record, error))
        return decoded, undecodable

    async def tick(self) -> None:
        """Run due tasks while no records arrive."""
        await self._run_due_tasks()

    async def _run_due_tasks(self) -> None:
        now = time.monotonic()
        if now >= self._next_flush:
            self._next_flush = now + self._settings.aggregates.flush_interval_s
            await self._producer.send_windows(self.partition, self.pipeline.open_aggregates())
        if self._save_task is not None and self._save_task.done():
            self._save_task.result()
            self._save_task = None
        if now >= self._next_save and self._save_task is None:
            self._start_save()

    async def save(self) -> None:
        """Save the current state now; called on revoke and on stop."""
        if self._save_task is not None:
            await self._save_task
            self._save_task = None
        await self._producer.send_windows(self.partition, self.pipeline.open_aggregates())
        if self.pipeline.offset > self._saved_offset:
            self._start_save()
            await self._save_task  # type: ignore[misc] # set by the line above

    def _start_save(self) -> None:
        start = time.monotonic()
        if self.pipeline.offset > self._saved_offset:
            versions = state_versions(self.pipeline)
            snapshot = Snapshot(self.partition, self.pipeline.offset, versions, self.pipeline.state())
            shadow_state = self._shadow.state() if self._shadow is not None else {}
            self._save_task = asyncio.create_task(self._finish_save(snapshot, self._shadow, shadow_state))
        elapsed = time.monotonic() - start
        WORKER_SNAPSHOT_SECONDS.observe(elapsed)
        self._next_save = start + max(self._settings.worker.snapshot_interval_s, elapsed / _SNAPSHOT_TIME_SHARE)

    async def _finish_save(self, snapshot: Snapshot, shadow: Shadow | None, shadow_state: Mapping[str, State]) -> None:
        # Serialisation runs in a thread: the state is a copy, and 10,000 segments take half a second.
        if shadow is not None:
            shadow_part = await asyncio.to_thread(shadow.serialise, shadow_state, snapshot.offset)
            snapshot = replace(snapshot, parts={**snapshot.parts, **shadow_part})
        topic, piece_bytes = self._settings.kafka.topic("snapshots"), self._producer.piece_bytes
        max_bytes = self._settings.worker.snapshot_bytes_max
        try:
            records = await asyncio.to_thread(
                to_records, snapshot, self._slot, self._signer, topic, piece_bytes, max_bytes
            )
        except StateError as error:
            # A snapshot of this size would not be restored. The previous snapshot stays valid; a crash replays from it.
            log.error("partition %d: snapshot not written: %s", self.partition, error)
            WORKER_STATE_REJECTED.labels("size").inc()
            return
        self._slot ^= 1
        WORKER_SNAPSHOT_BYTES.observe(sum(len(v) for _, v in records))
        # This order is the guarantee: outputs, then the state that includes them, then the commit.
        await self._producer.flush(self.partition)
        crash_point("worker.before_snapshot")
        try:
            await self._producer.write_snapshot(self.partition, records)
        except SizeError as error:
            # The previous snapshot stays valid; the next one is split into smaller pieces.
            log.error("partition %d: snapshot not written: %s", self.partition, error)
            return
        crash_point("worker.after_snapshot")
        self._saved_offset = snapshot.offset
        await self._commit(self.partition, snapshot.offset + 1)
        crash_point("worker.after_commit")
