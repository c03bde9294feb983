"""Where findings go: a topic of their own, by a producer of their own, and never in the way."""

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

_WAITING_MAX = 10_000
_DRAIN_S = 5.0
_NUMERIC_KEYS = orjson.OPT_NON_STR_KEYS


class Outlet:
    """Queues findings and writes them in a task of its own.

    The worker's own producer waits for what it wrote before a snapshot passes it, and a topic that is missing stops
    it. Findings are worth neither: what finds no room here, or no broker, is counted and dropped.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.kafka.topic("shadow")
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write; needs a running loop."""
        self._task = asyncio.create_task(self._run())

    def put(self, findings: Iterable[dict[str, Any]]) -> None:
        """Queue; returns at once."""
        for finding in findings:
            try:
                self._waiting.put_nowait(finding)
            except asyncio.QueueFull:
                SHADOW_DROPPED.inc()

    async def stop(self) -> None:
        """Give what is queued a few seconds to be written."""
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._waiting.join(), _DRAIN_S)
        except TimeoutError:
            SHADOW_DROPPED.inc(self._waiting.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        producer = AIOKafkaProducer(**client_options(self._settings.kafka), linger_ms=20)
        try:
            await self._write(producer)
        finally:
            await producer.stop()

    async def _write(self, producer: AIOKafkaProducer) -> None:
        started = False
        while True:
            finding = await self._waiting.get()
            try:
                if not started:
                    await producer.start()
                    started = True
                (await producer.send(self._topic, _value(finding), key=_key(finding))).add_done_callback(_settled)
            except (KafkaError, OSError) as error:
                log.warning("shadow: a finding is not written: %r", error)
                SHADOW_DROPPED.inc()
            finally:
                self._waiting.task_done()


def _settled(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled() and sent.exception() is not None:
        SHADOW_DROPPED.inc()


def _key(finding: dict[str, Any]) -> bytes:
    alert = finding.get("alert")
    return str(alert["fingerprint"] if alert else finding["call_id"]).encode()


def _value(finding: dict[str, Any]) -> bytes:
    return orjson.dumps(finding, option=_NUMERIC_KEYS)
