"""The sink: a plain consumer in a group of its own that puts every output topic into ClickHouse, each row once."""

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
from streams.sink.kafka_clients import DeadLetters, Marks, consumer
from streams.sink.partition_state import Partition, Work, either, plan
from streams.sink.range_planner import Mark, Seen, Step
from streams.sink.table_rows import TABLES

log = logging.getLogger(__name__)
POLL_MS = 200
_FAR_INSERTS = 4
"""Of far-dated rows, of one partition in one round: each makes up to 12 parts, which takes about 0.1 s."""


class Sink(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Consume, announce, insert, commit.

    A round takes all partitions that are due through the same three writes: one commit announces their ranges, each
    is inserted under its own token, one commit settles those that landed. Killed anywhere, the next owner finds the
    announcement and redoes exactly that range, which ClickHouse recognises by its token.

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
        await sink.run()      # until sink.stop() is called from elsewhere
    """

    def __init__(self, settings: Settings, client_factory: Callable[[], Client]) -> None:
        self._settings = settings
        self._inserter = Inserter(client_factory, settings.clickhouse.database)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sink")  # one client, one thread: no lock
        self._tables = {settings.kafka.topic(table.topic): table for table in TABLES}
        self._parts: dict[TopicPartition, Partition] = {}
        self._round_lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self.ready = asyncio.Event()
        self._consumer: Any = None
        self._marks = Marks(settings)
        self._letters = DeadLetters(settings)

    async def run(self) -> None:
        """Run until `stop`; then insert what is held, once, and leave the group."""
        try:
            self._consumer = consumer(self._settings)
            self._consumer.subscribe(topics=list(self._tables), listener=self)
            await self._letters.start()
            await self._consumer.start()
            while not self._stopping.is_set():
                await self._poll()
                await self._round()
            await self._round(final=True)
        finally:
            await self._close()

    async def stop(self) -> None:
        """Drain and end `run`; returns when it has ended."""
        self._stopping.set()
        await self._stopped.wait()

    def lag(self) -> dict[str, int]:
        """Return, by topic and partition, how many records are not in ClickHouse yet."""
        return {
            f"{tp.topic}-{tp.partition}": self._behind(tp, part.mark.offset)
            for tp, part in self._parts.items()
            if part.mark is not None
        }

    def _behind(self, tp: TopicPartition, offset: int) -> int:
        end = self._consumer.highwater(tp)
        return 0 if end is None else max(0, int(end) - max(offset, 0))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the running round end, then drop what is not committed: the next owner reads it again."""
        async with self._round_lock:
            self._parts.clear()
        log.info("partitions revoked: %d", len(list(revoked)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin anew; also what an interrupted poll of the old assignment still handed over is dropped."""
        self._parts = {tp: Partition() for tp in assigned}
        SINK_PAUSED.set(0)
        self.ready.set()
        log.info("partitions assigned: %d", len(self._parts))

    async def _poll(self) -> None:
        """Take records; between the fetch's return and ``add`` nothing awaits, so they belong to this assignment."""
        try:
            batches = await self._consumer.getmany(timeout_ms=POLL_MS)
        except KafkaError as error:
            SINK_ERRORS.labels("retry").inc()
            log.warning("poll: %s", error)
            await either(self._stopping, 1.0)
            return
        now = time.monotonic()
        for tp, records in batches.items():
            self._parts.setdefault(tp, Partition()).add(records, now)

    async def _round(self, *, final: bool = False) -> None:
        async with self._round_lock:
            try:
                await self._adopt()
                works = await self._plan(final=final)
                if works:
                    await self._carry_out(works)
            except KafkaError as error:
                # Nothing is settled: the marks and records are kept, or a rebalance drops both.
                SINK_ERRORS.labels("retry").inc()
                log.warning("round given up: %s: %s", type(error).__name__, error)
                await either(self._stopping, 0.5)

    async def _adopt(self) -> None:
        """Read the marks of partitions that have none yet."""
        new = [tp for tp, part in self._parts.items() if part.mark is None]
        if new:
            for tp, mark in (await self._marks.read(new)).items():
                self._parts[tp].mark = mark

    async def _plan(self, *, final: bool) -> list[Work]:
        works = []
        now, sink = time.monotonic(), self._settings.sink
        for tp, part in self._parts.items():
            if part.mark is None or (now < part.retry_at and not final):
                continue
            if part.work is not None:
                works.append(part.work)
                continue
            due = final or part.due(now, sink.batch_rows, sink.linger_s)
            position = await self._consumer.position(tp) if part.mark.end is not None else 0
            if work := plan(tp, part, position, due=due, most=sink.batch_rows):
                works.append(work)
        return works

    async def _carry_out(self, works: list[Work]) -> None:
        crash_point("sink.before_intent")
        await self._commit({w.tp: w.mark for w in works if w.step is Step.INSERT and self._parts[w.tp].work is None})
        for work in works:
            self._parts[work.tp].mark, self._parts[work.tp].work = work.mark, work
        crash_point("sink.after_intent")
        # The ordinary rows of every partition first: far-dated ones of one partition hold up nobody.
        begun = [work for work in works if await self._insert(work, 1)]
        await self._conclude(begun)
        far = [work for work in begun if not work.finished and await self._insert(work, _FAR_INSERTS)]
        if far:
            await self._conclude(far)

    async def _conclude(self, works: list[Work]) -> None:
        """Write the dead letters of the ranges that are in ClickHouse whole, and commit them."""
        settled: dict[TopicPartition, Mark] = {}
        for work in works:
            if work.finished:
                settled[work.tp] = work.mark.settled(await self._seen(work))
        crash_point("sink.after_insert")
        await self._commit(settled)
        for work in works:
            if work.tp in settled:
                self._settle(work, settled[work.tp])
            else:
                self._consumer.pause(work.tp)  # what comes meanwhile stays in Kafka
        crash_point("sink.after_commit")

    async def _seen(self, work: Work) -> Seen:
        if work.insertion is None:
            return work.mark.seen
        await self._letters.send(work.tp, work.insertion.outcome.bad)
        return work.insertion.outcome.seen

    async def _insert(self, work: Work, most: int) -> bool:
        """Make the next inserts of one range, at most so many; return False where ClickHouse is away."""
        if work.records:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._advance, work, most)
            except StoreError as error:
                self._hold_back(work, error)
                return False
        return True

    def _advance(self, work: Work, most: int) -> None:
        if work.insertion is None:
            table = self._tables[work.tp.topic]
            work.insertion = self._inserter.prepare(table, work.origin, work.records, work.mark.seen)
        for _ in range(min(most, len(work.insertion.left))):
            self._inserter.advance(work.insertion)
            crash_point("sink.amid_inserts")

    def _hold_back(self, work: Work, error: StoreError) -> None:
        """Fetch no more of this partition until the next try; the consumer goes on polling and stays in its group."""
        part = self._parts[work.tp]
        pause = part.back_off(time.monotonic(), self._settings.sink.retry_max_s)
        self._consumer.pause(work.tp)
        SINK_ERRORS.labels("retry").inc()
        SINK_PAUSED.set(len(self._consumer.paused()))
        log.warning("%s held back for %.1f s: %s", work.origin, pause, error)

    def _settle(self, work: Work, mark: Mark) -> None:
        part = self._parts[work.tp]
        if work.tp in self._consumer.paused():
            self._consumer.resume(work.tp)
            SINK_PAUSED.set(len(self._consumer.paused()))
        part.settle(work, mark, time.monotonic())
        SINK_LAG.labels(work.tp.topic, str(work.tp.partition)).set(self._behind(work.tp, mark.offset))

    async def _commit(self, marks: dict[TopicPartition, Mark]) -> None:
        if marks:
            await self._consumer.commit({tp: OffsetAndMetadata(m.offset, m.metadata()) for tp, m in marks.items()})

    async def _close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        await self._letters.stop()
        await self._marks.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._inserter.close)
        self._thread.shutdown(wait=False)
        self._stopped.set()
