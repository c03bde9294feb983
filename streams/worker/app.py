"""The Faust application: membership and delivery are Faust's, offsets and state are ours (ADR 0002)."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, cast

import faust
from aiokafka import ConsumerRecord
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import Consumer
from faust.types import TP, StreamT

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.runtime.logs import describe
from streams.runtime.metrics import WORKER_RECORDS
from streams.runtime.record_batches import RefusedBatch
from streams.runtime.topics import check_topics
from streams.shadow.config import plan_of
from streams.shadow.host import ShadowHost
from streams.worker.chunks import ByteBudget, ChunkSchema, Held, scheduler
from streams.worker.credentials import credentials
from streams.worker.otlp_input import OtlpForwarder
from streams.worker.output_producer import Writer
from streams.worker.partition_runner import Engine
from streams.worker.rebalance_transport import WorkerTransport

log = logging.getLogger(__name__)

Forward: TypeAlias = "Callable[[Sequence[ConsumerRecord]], Awaitable[None]]"
"""Writes what a run says into the log of the events, and returns when it is there."""

_BUFFERED_RUNS = 1 << 16
"""Never the bound: a full stream buffer stalls its partition for a second. `ByteBudget` is."""


class Worker:
    """Judges the partitions that the group gives it.

    Parameters
    ----------
    settings
        All settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = settings.kafka.topic("events")
        self.feedback = settings.kafka.topic("feedback")
        self.engines: dict[int, Engine] = {}
        self._forwarded: dict[TP, int] = {}
        self.error: BaseException | None = None
        self.stopping = False
        self._lock = asyncio.Lock()
        self._idle: asyncio.Task[None] | None = None
        self._writer = Writer(settings)
        self._budget = ByteBudget(settings.worker.buffer_bytes)
        plan = plan_of(settings)
        self._shadows = ShadowHost(settings, plan) if plan else None
        self.app = self._build_app()

    async def start(self) -> None:
        """Join the group and begin.

        Raises
        ------
        BrokerError
            If a topic is missing: aiokafka would log a line every 3 ms for 40 s at the first record it is needed for.
        """
        await check_topics(self.settings.kafka)
        await self._writer.start()
        if self._shadows is not None:
            self._shadows.start()
        self.app.finalize()
        await self.app.start()
        self._idle = asyncio.create_task(self._idle_loop())

    async def run(self) -> None:
        """Start, and return when stopped; raise what made it stop."""
        await self.start()
        await self.app.wait_until_stopped()
        if self.error is None and not self.stopping:
            # Its own threads failed: without this the process would end with exit code 0, and nobody would look.
            reason = self.app.crash_reason
            self.error = BrokerError(
                f"kafka.brokers={self.settings.kafka.brokers}: Faust stopped: {reason!r}", "kafka.brokers", "stopped"
            )
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        """Drain: finish the run at hand, make the state durable, leave the group."""
        if self.stopping:
            return
        self.stopping = True
        if self._idle is not None:
            self._idle.cancel()
        async with self._lock:
            if self.error is None:
                try:
                    async with asyncio.timeout(self.settings.worker.drain_timeout_s):
                        await asyncio.gather(*(e.save() for e in self.engines.values()))
                except TimeoutError:
                    log.error("drain took over %.0f s; the next worker replays", self.settings.worker.drain_timeout_s)
        await self.app.stop()
        await self._writer.stop()
        if self._shadows is not None:
            await self._shadows.stop()

    def lag(self) -> dict[int | str, int] | None:
        """Return how many records are not judged yet, by events partition assigned here; None before the start.

        By ``topic-partition``, how many are not forwarded yet, of those topics of which some were.
        """
        consumer = self.app.consumer
        found: dict[int | str, int] = {}
        try:
            for tp in consumer.assignment():
                end = consumer.highwater(TP(tp.topic, tp.partition)) or 0
                if tp.topic == self.events:
                    engine = self.engines.get(tp.partition)
                    found[tp.partition] = max(0, end - 1 - engine.pipeline.offset) if engine else end
                elif (done := self._forwarded.get(TP(tp.topic, tp.partition))) is not None:
                    found[f"{tp.topic}-{tp.partition}"] = max(0, end - done)
        except (ConsumerNotStarted, AssertionError):
            # The pages are served before the consumer runs; and it runs in a thread of its own, where a rebalance may
            # take a partition away between the two calls (aiokafka asserts that it is assigned).
            return None
        return found

    def recoveries(self) -> dict[str, dict[str, list[str]]]:
        """Return what of the state did not come back, by partition: parts that started cold, why state was rejected.

        A worker that started cold is ready: it scores. Its baselines are learned anew, of which somebody should know.
        """
        engines = sorted(self.engines.items())
        return {
            "cold": {str(p): list(e.cold) for p, e in engines if e.cold},
            "rejected": {str(p): list(e.rejected) for p, e in engines if e.rejected},
        }

    def _build_app(self) -> faust.App:
        kafka, worker = self.settings.kafka, self.settings.worker
        app = faust.App(
            worker.group,
            broker=[f"kafka://{b}" for b in kafka.brokers.split(",")],
            broker_credentials=credentials(self.settings.kafka),
            ConsumerScheduler=scheduler(worker.chunk_records),
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.heartbeat_s,
            broker_max_poll_records=None,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 << 20,
            # A Collector's topic may be made after us: it is found within this time, not within Kafka's five minutes.
            consumer_metadata_max_age_ms=30_000,
            stream_buffer_maxsize=_BUFFERED_RUNS,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=tempfile.gettempdir(),
        )
        app.transport = WorkerTransport(app.conf.broker_consumer, app)
        schema = ChunkSchema(self._budget, worker.chunk_records)
        events = app.topic(self.events, schema=schema, acks=False)
        app.agent(events, name="judge")(self._judge)
        for topic, forward in self._forwards().items():
            app.agent(app.topic(topic, schema=schema, acks=False), name=topic)(self._forwarding(forward))
        app.on_partitions_revoked.connect(self._on_revoked)  # type: ignore[arg-type] # takes what it is sent
        app.on_partitions_assigned.connect(self._on_assigned)  # type: ignore[arg-type] # the same
        return app

    def _forwards(self) -> dict[str, Forward]:
        """Return how the records of each topic but that of the events get there."""
        kafka = self.settings.kafka
        forwards: dict[str, Forward] = {self.feedback: self._writer.feedback}
        if kafka.otlp:
            forwards[kafka.otlp_spans_topic] = OtlpForwarder("spans", self.settings, self._writer).forward
            forwards[kafka.otlp_logs_topic] = OtlpForwarder("logs", self.settings, self._writer).forward
        return forwards

    async def _judge(self, runs: StreamT[Held]) -> None:
        async for held in runs:
            if held.records:
                await self._guarded(self._judge_held(held))
                await self._budget.release(held.size, held.era)

    async def _judge_held(self, held: Held) -> None:
        async with self._lock:
            if self.error is None:
                await self._judge_run(held.partition, held.take())

    async def _judge_run(self, partition: int, records: list[ConsumerRecord]) -> None:
        WORKER_RECORDS.labels("events").inc(len(records))
        engine = await self._engine(partition)
        await engine.process(records)

    def _forwarding(self, forward: Forward) -> Callable[[StreamT[Held]], Awaitable[None]]:
        """Return a Faust agent that writes into the log of the events: one order for all (ADR 0005, 0007)."""

        async def agent(runs: StreamT[Held]) -> None:
            async for held in runs:
                if held.records:
                    await self._guarded(self._forward_run(forward, held.topic, held.partition, held.take()))
                    await self._budget.release(held.size, held.era)

        return agent

    async def _forward_run(self, forward: Forward, topic: str, partition: int, records: list[ConsumerRecord]) -> None:
        WORKER_RECORDS.labels(topic.removeprefix(f"{self.settings.kafka.topic_prefix}.")).inc(len(records))
        self._forwarded[TP(topic, partition)] = records[0].offset
        refused = [r for r in records if type(r.value) is RefusedBatch]
        await self._writer.landed([await self._writer.set_aside(r, r.value.error) for r in refused])
        await forward([r for r in records if type(r.value) is not RefusedBatch])
        await self._commit(topic, partition, records[-1].offset + 1)
        self._forwarded[TP(topic, partition)] = records[-1].offset + 1

    async def _engine(self, partition: int) -> Engine:
        if partition not in self.engines:

            async def commit(source: int, offset: int) -> None:
                await self._commit(self.events, source, offset)

            engine = Engine(partition, self.settings, self._writer, commit, self._shadows)
            await engine.restore()
            self.engines[partition] = engine
        return self.engines[partition]

    async def _commit(self, topic: str, partition: int, offset: int) -> None:
        # Faust commits what was acked; chunks are not (that would stall or over-commit), so we say what.
        consumer = cast(Consumer, self.app.consumer)
        await consumer._commit({TP(topic, partition): offset})  # noqa: SLF001

    async def _guarded(self, work: Awaitable[None]) -> None:
        """Stop the worker on any failure: Faust would swallow it and go on past the events.

        Never called with the lock held: it does not return, and `stop` takes the lock.
        """
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose events
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        log.error("worker stops: %s", describe(error))
        self.error = self.error or error
        await self.app.crash(error)
        # Never return into Faust's loop: it would hand over the next run, past the one that failed.
        await asyncio.Event().wait()

    async def _idle_loop(self) -> None:
        while True:
            await asyncio.sleep(min(0.5, self.settings.worker.snapshot_interval_s))
            await self._guarded(self._idle_all())

    async def _idle_all(self) -> None:
        async with self._lock:
            if self.error is None:
                for engine in self.engines.values():
                    await engine.idle()

    async def _on_revoked(self, _app: Any, revoked: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in revoked if tp.topic == self.events}
        async with self._lock:
            if self.error is None:
                await asyncio.gather(*(e.save() for p, e in self.engines.items() if p in partitions))

    async def _on_assigned(self, _app: Any, assigned: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in assigned if tp.topic == self.events}
        await self._budget.reset()
        self._forwarded.clear()
        for gone in set(self.engines) - partitions:
            del self.engines[gone]
