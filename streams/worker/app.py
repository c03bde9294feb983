"""Faust application of the worker: Faust handles membership and delivery, the worker offsets and state (ADR 0002)."""

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
from streams.shadow.config import load_shadow_config
from streams.shadow.host import ShadowHost
from streams.worker.chunks import BufferedBatch, ByteBudget, ChunkSchema, scheduler_class
from streams.worker.credentials import credentials
from streams.worker.otlp_input import OtlpForwarder
from streams.worker.output_producer import OutputProducer
from streams.worker.partition_runner import PartitionRunner
from streams.worker.rebalance_transport import WorkerTransport

log = logging.getLogger(__name__)

Forwarder: TypeAlias = "Callable[[Sequence[ConsumerRecord]], Awaitable[None]]"
"""Function that sends the content of some records to the event log and returns once it is written."""

_BUFFERED_BATCHES = 1 << 16
"""Size of Faust's stream buffer. `ByteBudget` keeps it from filling: a full buffer stalls a partition for 1 s."""


class Worker:
    """Worker service: scores the partitions that the consumer group assigns.

    Parameters
    ----------
    settings
        All settings.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = settings.kafka.topic("events")
        self.feedback = settings.kafka.topic("feedback")
        self.runners: dict[int, PartitionRunner] = {}
        self._forwarded_offsets: dict[TP, int] = {}
        self.error: BaseException | None = None
        self.stopping = False
        self._lock = asyncio.Lock()
        self._tick_task: asyncio.Task[None] | None = None
        self._producer = OutputProducer(settings)
        self._budget = ByteBudget(settings.worker.buffer_bytes)
        shadow_config = load_shadow_config(settings)
        self._shadows = ShadowHost(settings, shadow_config) if shadow_config else None
        self.app = self._build_app()

    async def start(self) -> None:
        """Join the consumer group and start.

        Raises
        ------
        BrokerError
            If a topic is missing. Without the check, aiokafka would log a line every 3 ms for 40 s at the first record
            sent to it.
        """
        await check_topics(self.settings.kafka)
        await self._producer.start()
        if self._shadows is not None:
            self._shadows.start()
        self.app.finalize()
        await self.app.start()
        self._tick_task = asyncio.create_task(self._tick_loop())

    async def run(self) -> None:
        """Start, and return once stopped; raise the error that stopped the worker."""
        await self.start()
        await self.app.wait_until_stopped()
        if self.error is None and not self.stopping:
            # A thread of Faust failed: without an error the process would exit with code 0, which hides the failure.
            reason = self.app.crash_reason
            self.error = BrokerError(
                f"kafka.brokers={self.settings.kafka.brokers}: Faust stopped: {reason!r}; see the log, then restart",
                "kafka.brokers",
                "stopped",
            )
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        """Drain: finish the current batch, save the state, leave the group."""
        if self.stopping:
            return
        self.stopping = True
        if self._tick_task is not None:
            self._tick_task.cancel()
        async with self._lock:
            if self.error is None:
                try:
                    async with asyncio.timeout(self.settings.worker.drain_timeout_s):
                        await asyncio.gather(*(r.save() for r in self.runners.values()))
                except TimeoutError:
                    log.error(
                        "drain exceeded %.0f s; the next worker replays from the last snapshot",
                        self.settings.worker.drain_timeout_s,
                    )
        await self.app.stop()
        await self._producer.stop()
        if self._shadows is not None:
            await self._shadows.stop()

    def lag(self) -> dict[int | str, int] | None:
        """Return the lag of each assigned partition, in records; None before the consumer has started.

        Keys are partition numbers for the events topic and ``topic-partition`` for forwarded topics. A forwarded
        partition is listed once its first records were forwarded.
        """
        consumer = self.app.consumer
        lags: dict[int | str, int] = {}
        try:
            for tp in consumer.assignment():
                end = consumer.highwater(TP(tp.topic, tp.partition)) or 0
                if tp.topic == self.events:
                    runner = self.runners.get(tp.partition)
                    lags[tp.partition] = max(0, end - 1 - runner.pipeline.offset) if runner else end
                elif (forwarded := self._forwarded_offsets.get(TP(tp.topic, tp.partition))) is not None:
                    lags[f"{tp.topic}-{tp.partition}"] = max(0, end - forwarded)
        except (ConsumerNotStarted, AssertionError):
            # The health endpoints are served before the consumer runs. The consumer runs in its own thread, where a
            # rebalance may revoke a partition between the two calls (aiokafka asserts that the partition is assigned).
            return None
        return lags

    def recoveries(self) -> dict[str, dict[str, list[str]]]:
        """Return, by partition, the parts that started cold and the reasons for rejected state.

        A worker that started cold is ready, because it scores. An operator should know that its baselines are learned
        from scratch.
        """
        runners = sorted(self.runners.items())
        return {
            "cold": {str(p): list(r.cold) for p, r in runners if r.cold},
            "rejected": {str(p): list(r.rejected) for p, r in runners if r.rejected},
        }

    def _build_app(self) -> faust.App:
        kafka, worker = self.settings.kafka, self.settings.worker
        app = faust.App(
            worker.group,
            broker=[f"kafka://{b}" for b in kafka.brokers.split(",")],
            broker_credentials=credentials(self.settings.kafka),
            ConsumerScheduler=scheduler_class(worker.chunk_records),
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.heartbeat_s,
            broker_max_poll_records=None,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 << 20,
            # A Collector may create its topic after the worker has started; the default would find it after 5 min.
            consumer_metadata_max_age_ms=30_000,
            stream_buffer_maxsize=_BUFFERED_BATCHES,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=tempfile.gettempdir(),
        )
        app.transport = WorkerTransport(app.conf.broker_consumer, app)
        schema = ChunkSchema(self._budget, worker.chunk_records)
        events = app.topic(self.events, schema=schema, acks=False)
        app.agent(events, name="score")(self._score_events)
        for topic, forward in self._forwarders().items():
            app.agent(app.topic(topic, schema=schema, acks=False), name=topic)(self._forward_agent(forward))
        app.on_partitions_revoked.connect(self._on_revoked)  # type: ignore[arg-type] # the signal passes extra arguments
        app.on_partitions_assigned.connect(self._on_assigned)  # type: ignore[arg-type] # the same
        return app

    def _forwarders(self) -> dict[str, Forwarder]:
        """Return the forwarder of each input topic other than the events topic."""
        kafka = self.settings.kafka
        forwarders: dict[str, Forwarder] = {self.feedback: self._producer.forward_feedback}
        if kafka.otlp:
            forwarders[kafka.otlp_spans_topic] = OtlpForwarder("spans", self.settings, self._producer).forward
            forwarders[kafka.otlp_logs_topic] = OtlpForwarder("logs", self.settings, self._producer).forward
        return forwarders

    async def _score_events(self, batches: StreamT[BufferedBatch]) -> None:
        async for batch in batches:
            if batch.records:
                await self._fail_worker_on_error(self._process_buffered(batch))
                await self._budget.release(batch.size, batch.budget_generation)

    async def _process_buffered(self, batch: BufferedBatch) -> None:
        async with self._lock:
            if self.error is None:
                await self._process_records(batch.partition, batch.drain())

    async def _process_records(self, partition: int, records: list[ConsumerRecord]) -> None:
        WORKER_RECORDS.labels("events").inc(len(records))
        runner = await self._runner(partition)
        await runner.process(records)

    def _forward_agent(self, forward: Forwarder) -> Callable[[StreamT[BufferedBatch]], Awaitable[None]]:
        """Return a Faust agent that forwards records to the event log: one log orders all inputs (ADR 0005, 0007)."""

        async def agent(batches: StreamT[BufferedBatch]) -> None:
            async for batch in batches:
                if batch.records:
                    await self._fail_worker_on_error(
                        self._forward_records(forward, batch.topic, batch.partition, batch.drain())
                    )
                    await self._budget.release(batch.size, batch.budget_generation)

        return agent

    async def _forward_records(
        self, forward: Forwarder, topic: str, partition: int, records: list[ConsumerRecord]
    ) -> None:
        WORKER_RECORDS.labels(topic.removeprefix(f"{self.settings.kafka.topic_prefix}.")).inc(len(records))
        self._forwarded_offsets[TP(topic, partition)] = records[0].offset
        refused = [r for r in records if type(r.value) is RefusedBatch]
        await self._producer.wait_delivered([await self._producer.send_dead_letter(r, r.value.error) for r in refused])
        await forward([r for r in records if type(r.value) is not RefusedBatch])
        await self._commit(topic, partition, records[-1].offset + 1)
        self._forwarded_offsets[TP(topic, partition)] = records[-1].offset + 1

    async def _runner(self, partition: int) -> PartitionRunner:
        if partition not in self.runners:

            async def commit(source: int, offset: int) -> None:
                await self._commit(self.events, source, offset)

            runner = PartitionRunner(partition, self.settings, self._producer, commit, self._shadows)
            await runner.restore()
            self.runners[partition] = runner
        return self.runners[partition]

    async def _commit(self, topic: str, partition: int, offset: int) -> None:
        # Faust commits acknowledged messages. Batches are not acknowledged, which would stall or over-commit, so the
        # offset is committed explicitly.
        consumer = cast(Consumer, self.app.consumer)
        await consumer._commit({TP(topic, partition): offset})  # noqa: SLF001

    async def _fail_worker_on_error(self, operation: Awaitable[None]) -> None:
        """Await an operation and stop the worker if it fails; Faust would swallow the error and skip the events.

        The caller must not hold the lock: after a failure this method does not return, and `stop` takes the lock.
        """
        try:
            await operation
        except Exception as error:  # noqa: BLE001 - continuing after any failure would lose events
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        log.error("worker stops after a failure: %s", describe(error))
        self.error = self.error or error
        await self.app.crash(error)
        # Never return into Faust's loop, which would deliver the batch after the failed one.
        await asyncio.Event().wait()

    async def _tick_loop(self) -> None:
        while True:
            await asyncio.sleep(min(0.5, self.settings.worker.snapshot_interval_s))
            await self._fail_worker_on_error(self._tick_all())

    async def _tick_all(self) -> None:
        async with self._lock:
            if self.error is None:
                for runner in self.runners.values():
                    await runner.tick()

    async def _on_revoked(self, _app: Any, revoked: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in revoked if tp.topic == self.events}
        async with self._lock:
            if self.error is None:
                await asyncio.gather(*(r.save() for p, r in self.runners.items() if p in partitions))

    async def _on_assigned(self, _app: Any, assigned: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in assigned if tp.topic == self.events}
        await self._budget.reset()
        self._forwarded_offsets.clear()
        for partition in set(self.runners) - partitions:
            del self.runners[partition]
