"""Publisher of shadow findings: a separate topic and producer that never delay the worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.settings import Settings
from streams.runtime.metrics import SHADOW_DROPPED
from streams.runtime.topics import client_options

log = logging.getLogger(__name__)

_MAX_QUEUED = 10_000
_DRAIN_S = 5.0
_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


class FindingPublisher:
    """Queue of findings and the task that sends them.

    The worker's own producer delays snapshots until its outputs are written, and a missing topic stops the worker.
    Findings justify neither, so a finding is counted and dropped when the queue is full or the broker is unavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.kafka.topic("shadow")
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MAX_QUEUED)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the sending task; requires a running event loop."""
        self._task = asyncio.create_task(self._run())

    def publish(self, findings: Iterable[dict[str, Any]]) -> None:
        """Queue findings without blocking; drop and count findings that exceed the queue."""
        for finding in findings:
            try:
                self._queue.put_nowait(finding)
            except asyncio.QueueFull:
                SHADOW_DROPPED.inc()

    async def stop(self) -> None:
        """Send queued findings for up to 5 s, then stop the task."""
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._queue.join(), _DRAIN_S)
        except TimeoutError:
            SHADOW_DROPPED.inc(self._queue.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        producer = AIOKafkaProducer(**client_options(self._settings.kafka), linger_ms=20)
        try:
            await self._send_queued(producer)
        finally:
            await producer.stop()

    async def _send_queued(self, producer: AIOKafkaProducer) -> None:
        started = False
        while True:
            finding = await self._queue.get()
            try:
                if not started:
                    await producer.start()
                    started = True
                delivery = await producer.send(self._topic, _value(finding), key=_key(finding))
                delivery.add_done_callback(_count_if_failed)
            except (KafkaError, OSError) as error:
                log.warning("shadow: finding dropped: %r", error)
                SHADOW_DROPPED.inc()
            finally:
                self._queue.task_done()


def _count_if_failed(delivery: asyncio.Future[Any]) -> None:
    if not delivery.cancelled() and delivery.exception() is not None:
        SHADOW_DROPPED.inc()


def _key(finding: dict[str, Any]) -> bytes:
    alert = finding.get("alert")
    return str(alert["fingerprint"] if alert else finding["call_id"]).encode()


def _value(finding: dict[str, Any]) -> bytes:
    return orjson.dumps(finding, option=_NUMERIC_KEYS)
