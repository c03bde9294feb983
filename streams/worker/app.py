"""The Faust application: membership and delivery are Faust's, offsets and state are ours (ADR 0002)."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
from typing import Any, cast

import faust
from aiokafka import ConsumerRecord
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import Consumer
from faust.types import TP, StreamT

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.decode import FEEDBACK_HEADER
from streams.metrics import WORKER_RECORDS
from streams.worker.chunks import ByteBudget, ChunkSchema, Held, scheduler
from streams.worker.engine import Engine
from streams.worker.writer import Writer

log = logging.getLogger(__name__)

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
        self.error: BaseException | None = None
        self.stopping = False
        self._lock = asyncio.Lock()
        self._writer = Writer(settings)
        self._budget = ByteBudget(settings.worker.buffer_bytes)
        self.app = self._build_app()

    async def start(self) -> None:
        """Join the group and begin."""
        await self._writer.start()
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
            self.error = BrokerError(f"kafka.brokers={self.settings.kafka.brokers}: Faust stopped: {reason!r}")
        if self.error is not None:
            raise self.error

    async def stop(self) -> None:
        """Drain: finish the run at hand, make the state durable, leave the group."""
        if self.stopping:
            return
        self.stopping = True
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

    def lag(self) -> dict[int, int] | None:
        """Return, by events partition assigned here, how many records are not judged yet; None before the start."""
        consumer = self.app.consumer
        found: dict[int, int] = {}
        try:
            for tp in consumer.assignment():
                if tp.topic == self.events:
                    end = consumer.highwater(TP(tp.topic, tp.partition)) or 0
                    engine = self.engines.get(tp.partition)
                    found[tp.partition] = max(0, end - 1 - engine.pipeline.offset) if engine else end
        except (ConsumerNotStarted, AssertionError):
            # The pages are served before the consumer runs; and it runs in a thread of its own, where a rebalance may
            # take a partition away between the two calls (aiokafka asserts that it is assigned).
            return None
        return found

    def _build_app(self) -> faust.App:
        kafka, worker = self.settings.kafka, self.settings.worker
        app = faust.App(
            worker.group,
            broker=[f"kafka://{b}" for b in kafka.brokers.split(",")],
            broker_credentials=_credentials(self.settings),
            ConsumerScheduler=scheduler(worker.chunk_records),
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.heartbeat_s,
            broker_max_poll_records=None,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=4 << 20,
            stream_buffer_maxsize=_BUFFERED_RUNS,
            stream_wait_empty=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=tempfile.gettempdir(),
        )
        schema = ChunkSchema(self._budget, worker.chunk_records)
        events = app.topic(self.events, schema=schema, acks=False)
        feedback = app.topic(self.feedback, schema=schema, acks=False)
        app.agent(events, name="judge")(self._judge)
        app.agent(feedback, name="forward")(self._forward)
        app.on_partitions_revoked.connect(self._on_revoked)  # type: ignore[arg-type] # takes what it is sent
        app.on_partitions_assigned.connect(self._on_assigned)  # type: ignore[arg-type] # the same
        return app

    async def _judge(self, runs: StreamT[Held]) -> None:
        async for held in runs:
            if held.records:
                async with self._lock:
                    await self._guarded(self._judge_run(held.partition, held.take()))
                await self._budget.release(held.size, held.era)

    async def _judge_run(self, partition: int, records: list[ConsumerRecord]) -> None:
        WORKER_RECORDS.labels("events").inc(len(records))
        engine = await self._engine(partition)
        await engine.process(records)

    async def _forward(self, runs: StreamT[Held]) -> None:
        """Write labels into the log of the events they speak of: one order for both (ADR 0005)."""
        async for held in runs:
            if held.records:
                await self._guarded(self._forward_run(held.partition, held.take()))
                await self._budget.release(held.size, held.era)

    async def _forward_run(self, partition: int, records: list[ConsumerRecord]) -> None:
        WORKER_RECORDS.labels("feedback").inc(len(records))
        await self._writer.forward(partition, records, [FEEDBACK_HEADER])
        await self._commit(self.feedback, partition, records[-1].offset + 1)

    async def _engine(self, partition: int) -> Engine:
        if partition not in self.engines:

            async def commit(source: int, offset: int) -> None:
                await self._commit(self.events, source, offset)

            engine = Engine(partition, self.settings, self._writer, commit)
            await engine.restore()
            self.engines[partition] = engine
        return self.engines[partition]

    async def _commit(self, topic: str, partition: int, offset: int) -> None:
        # Faust commits what was acked; chunks are not (that would stall or over-commit), so we say what.
        consumer = cast(Consumer, self.app.consumer)
        await consumer._commit({TP(topic, partition): offset})  # noqa: SLF001

    async def _guarded(self, work: Any) -> None:
        """Stop the worker on any failure: Faust would swallow it and go on past the events."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose events
            await self._fail(error)

    async def _fail(self, error: Exception) -> None:
        log.error("worker stops: %r", error, exc_info=error)
        self.error = self.error or error
        await self.app.crash(error)
        # Never return into Faust's loop: it would hand over the next run, past the one that failed.
        await asyncio.Event().wait()

    async def _idle_loop(self) -> None:
        while True:
            await asyncio.sleep(min(0.5, self.settings.worker.snapshot_interval_s))
            async with self._lock:
                for engine in self.engines.values():
                    await self._guarded(engine.idle())

    async def _on_revoked(self, _app: Any, revoked: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in revoked if tp.topic == self.events}
        async with self._lock:
            if self.error is None:
                await asyncio.gather(*(e.save() for p, e in self.engines.items() if p in partitions))

    async def _on_assigned(self, _app: Any, assigned: set[TP], *_: Any, **__: Any) -> None:
        partitions = {tp.partition for tp in assigned if tp.topic == self.events}
        await self._budget.reset()
        for gone in set(self.engines) - partitions:
            del self.engines[gone]


def _credentials(settings: Settings) -> Any:
    kafka = settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return None
    context = ssl.create_default_context(cafile=kafka.ca_file) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    password = kafka.password.get_secret_value() if kafka.password else None
    return faust.SASLCredentials(
        username=kafka.username, password=password, mechanism=kafka.sasl_mechanism, ssl_context=context
    )
