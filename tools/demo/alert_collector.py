"""Collector of the alerts on the alerts topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.outputs import Alert
from schemas.setting_sections import KafkaSettings
from streams.runtime.topics import client_options
from tools.demo.mock_broker import PARTITIONS


class AlertCollector:
    """Reader of ``llm.alerts`` from the earliest offset.

    Parameters
    ----------
    kafka
        The broker.
    on_alert
        Called with each alert.

    Attributes
    ----------
    alerts
        All state changes read so far.
    """

    def __init__(self, kafka: KafkaSettings, on_alert: Callable[[Alert], None]) -> None:
        self.alerts: list[Alert] = []
        self._kafka = kafka
        self._on_alert = on_alert

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(**client_options(self._kafka), auto_offset_reset="earliest")
        await self._consumer.start()
        self._consumer.assign([TopicPartition(self._kafka.topic("alerts"), p) for p in range(PARTITIONS)])
        self._task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._consumer.stop()

    async def _collect(self) -> None:
        async for record in self._consumer:
            alert = Alert.model_validate_json(record.value)
            self.alerts.append(alert)
            self._on_alert(alert)
