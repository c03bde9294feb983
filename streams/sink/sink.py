"""Sink: a consumer group that inserts every output topic into ClickHouse, each row once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from clickhouse_connect.driver.client import Client

from schemas.errors import StoreError
from schemas.settings import Settings
from streams.runtime.failpoints import crash_point
from streams.runtime.metrics import SINK_ERRORS, SINK_LAG, SINK_PAUSED
from streams.sink.inserter import Inserter
from streams.sink.kafka_clients import DeadLetters, MarkerStore, consumer
from streams.sink.partition_state import InsertTask, PartitionState, plan_task, wait_or_timeout
from streams.sink.range_planner import CommitMarker, SourcePosition, Step
from streams.sink.table_rows import TABLES

log = logging.getLogger(__name__)
POLL_MS = 200
_MAX_FAR_INSERTS = 4
"""Maximum inserts of far-dated rows per partition and flush cycle; each creates up to 12 parts in about 0.1 s."""


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Exactly-once sink: consume, announce, insert, commit.

    A flush cycle makes three writes for all due partitions: one commit announces their ranges, each range is inserted
    under its own token, and one commit settles the inserted ranges. After a kill at any point, the next owner reads
    the announcement and repeats exactly that range, and ClickHouse drops the duplicate by its token.

    Parameters
    ----------
    settings : Settings
        ``kafka``, ``sink`` and ``clickhouse.database`` are used.
    client_factory : callable
        Opens a ClickHouse client; called in a thread.

    Examples
    --------
    ::

        sink = Sink(settings, lambda: connect(settings.clickhouse))
        await sink.run()      # until another task calls sink.stop()
    """

    def __init__(self, settings: Settings, client_factory: Callable[[], Client]) -> None:
        self._settings = settings
        self._inserter = Inserter(client_factory, settings.clickhouse.database)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sink")  # one client, one thread: no lock
        self._tables = {settings.kafka.topic(table.topic): table for table in TABLES}
        self._parts: dict[TopicPartition, PartitionState] = {}
        self._cycle_lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self.ready = asyncio.Event()
        self._consumer: Any = None
        self._markers = MarkerStore(settings)
        self._dead_letters = DeadLetters(settings)

    async def run(self) -> None:
        """Run until `stop` is called; then flush the buffered records once and leave the group."""
        try:
            self._consumer = consumer(self._settings)
            self._consumer.subscribe(topics=list(self._tables), listener=self)
            await self._dead_letters.start()
            await self._consumer.start()
            while not self._stopping.is_set():
                await self._poll()
                await self._flush_cycle()
            await self._flush_cycle(final=True)
        finally:
            await self._close()

    async def stop(self) -> None:
        """Drain the sink and wait until `run` has returned."""
        self._stopping.set()
        await self._stopped.wait()

    def lag(self) -> dict[str, int]:
        """Return the number of records not yet in ClickHouse, by topic and partition."""
        return {
            f"{tp.topic}-{tp.partition}": self._lag_behind(tp, part.marker.offset)
            for tp, part in self._parts.items()
            if part.marker is not None
        }

    def _lag_behind(self, tp: TopicPartition, offset: int) -> int:
        end = self._consumer.highwater(tp)
        return 0 if end is None else max(0, int(end) - max(offset, 0))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish the running flush cycle, then drop uncommitted records; the next owner reads them again."""
        async with self._cycle_lock:
            self._parts.clear()
        log.info("partitions revoked: %d", len(list(revoked)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start with empty state, which also drops records from an interrupted poll of the old assignment."""
        self._parts = {tp: PartitionState() for tp in assigned}
        SINK_PAUSED.set(0)
        self.ready.set()
        log.info("partitions assigned: %d", len(self._parts))

    async def _poll(self) -> None:
        """Poll records; no await separates the fetch from ``add``, so all records belong to the current assignment."""
        try:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS)
        except KafkaError as error:
            SINK_ERRORS.labels("retry").inc()
            log.warning("poll failed: %s; retrying in 1 s", error)
            await wait_or_timeout(self._stopping, 1.0)
            return
        now = time.monotonic()
        for tp, records in batches.items():
            self._parts.setdefault(tp, PartitionState()).add(records, now)

    async def _flush_cycle(self, *, final: bool = False) -> None:
        async with self._cycle_lock:
            try:
                await self._load_markers()
                tasks = await self._plan(final=final)
                if tasks:
                    await self._execute(tasks)
            except KafkaError as error:
                # No range is settled: markers and records stay until the retry, or a rebalance drops both.
                SINK_ERRORS.labels("retry").inc()
                log.warning("flush cycle failed: %s: %s; retrying in 0.5 s", type(error).__name__, error)
                await wait_or_timeout(self._stopping, 0.5)

    async def _load_markers(self) -> None:
        """Read the markers of newly assigned partitions."""
        new = [tp for tp, part in self._parts.items() if part.marker is None]
        if new:
            for tp, marker in (await self._markers.read(new)).items():
                self._parts[tp].marker = marker

    async def _plan(self, *, final: bool) -> list[InsertTask]:
        tasks = []
        now, config = time.monotonic(), self._settings.sink
        for tp, part in self._parts.items():
            if part.marker is None or (now < part.retry_at and not final):
                continue
            if part.task is not None:
                tasks.append(part.task)
                continue
            due = final or part.due(now, config.batch_rows, config.linger_s)
            position = await self._consumer.position(tp) if part.marker.end is not None else 0
            if task := plan_task(tp, part, position, due=due, max_records=config.batch_rows):
                tasks.append(task)
        return tasks

    async def _execute(self, tasks: list[InsertTask]) -> None:
        crash_point("sink.before_intent")
        await self._commit({t.tp: t.marker for t in tasks if t.step is Step.INSERT and self._parts[t.tp].task is None})
        for task in tasks:
            self._parts[task.tp].marker, self._parts[task.tp].task = task.marker, task
        crash_point("sink.after_intent")
        # Near-dated rows of all partitions first, so that far-dated rows of one partition delay no other partition.
        inserted = [task for task in tasks if await self._insert(task, 1)]
        await self._commit_finished(inserted)
        far = [task for task in inserted if not task.finished and await self._insert(task, _MAX_FAR_INSERTS)]
        if far:
            await self._commit_finished(far)

    async def _commit_finished(self, tasks: list[InsertTask]) -> None:
        """Send the dead letters of completely inserted ranges and commit the ranges."""
        settled: dict[TopicPartition, CommitMarker] = {}
        for task in tasks:
            if task.finished:
                settled[task.tp] = task.marker.settled(await self._send_dead_letters(task))
        crash_point("sink.after_insert")
        await self._commit(settled)
        for task in tasks:
            if task.tp in settled:
                self._settle(task, settled[task.tp])
            else:
                self._consumer.pause(task.tp)  # new records stay in Kafka until the range is inserted
        crash_point("sink.after_commit")

    async def _send_dead_letters(self, task: InsertTask) -> SourcePosition:
        """Send the dead letters of a range; return its deduplication position."""
        if task.insertion is None:
            return task.marker.dedup_position
        await self._dead_letters.send(task.tp, task.insertion.result.rejected)
        return task.insertion.result.dedup_position

    async def _insert(self, task: InsertTask, max_inserts: int) -> bool:
        """Run up to ``max_inserts`` inserts of one range; return False if ClickHouse is unavailable."""
        if task.records:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._advance, task, max_inserts)
            except StoreError as error:
                self._back_off(task, error)
                return False
        return True

    def _advance(self, task: InsertTask, max_inserts: int) -> None:
        if task.insertion is None:
            table = self._tables[task.tp.topic]
            task.insertion = self._inserter.prepare(table, task.origin, task.records, task.marker.dedup_position)
        for _ in range(min(max_inserts, len(task.insertion.pending))):
            self._inserter.advance(task.insertion)
            crash_point("sink.amid_inserts")

    def _back_off(self, task: InsertTask, error: StoreError) -> None:
        """Pause fetching of the partition until the next retry; the consumer keeps polling and stays in its group."""
        part = self._parts[task.tp]
        pause = part.back_off(time.monotonic(), self._settings.sink.retry_max_s)
        self._consumer.pause(task.tp)
        SINK_ERRORS.labels("retry").inc()
        SINK_PAUSED.set(len(self._consumer.paused()))
        log.warning("insert of %s failed: %s; retrying in %.1f s", task.origin, error, pause)

    def _settle(self, task: InsertTask, marker: CommitMarker) -> None:
        part = self._parts[task.tp]
        if task.tp in self._consumer.paused():
            self._consumer.resume(task.tp)
            SINK_PAUSED.set(len(self._consumer.paused()))
        part.settle(task, marker, time.monotonic())
        SINK_LAG.labels(task.tp.topic, str(task.tp.partition)).set(self._lag_behind(task.tp, marker.offset))

    async def _commit(self, markers: dict[TopicPartition, CommitMarker]) -> None:
        if markers:
            await self._consumer.commit({tp: OffsetAndMetadata(m.offset, m.metadata()) for tp, m in markers.items()})

    async def _close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        await self._dead_letters.stop()
        await self._markers.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._inserter.close)
        self._thread.shutdown(wait=False)
        self._stopped.set()
