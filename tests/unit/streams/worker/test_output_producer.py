"""Pending deliveries of the worker's output producer. A fake Kafka producer controls when a delivery completes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from processing.pipeline import Outputs
from schemas.errors import DecodeError
from schemas.settings import Settings
from streams.runtime.produce import Delivery
from streams.worker.output_producer import OutputProducer

RECORD = ConsumerRecord("events", 0, 7, 0, 0, None, b"{", None, 0, 1, ())
WINDOW = dict.fromkeys(("window_start", "tenant", "app", "model", "prompt_version", "source_partition"), "")


class FullProducer:
    """Fake producer that blocks until it is released and whose broker then refuses every row."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        await self.released.wait()
        future = asyncio.get_running_loop().create_future()
        future.set_exception(KafkaError("refused"))
        return future

    send_batch = send

    def max_record_bytes(self, _: str) -> int:
        return 1 << 20

    def create_batch(self) -> Mock:
        return Mock()


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> OutputProducer:
    monkeypatch.setattr("streams.worker.output_producer.Producer", lambda *_: FullProducer())
    return OutputProducer(Settings())


@pytest.mark.parametrize(
    "queue",
    [
        lambda producer: producer.send_windows(0, [WINDOW]),
        lambda producer: producer.send_outputs(0, Outputs(scored=[b"{}"])),
        lambda producer: producer.reject(RECORD, DecodeError("no JSON")),
    ],
    ids=["windows", "scored", "dead letters"],
)
async def test_the_next_flush_waits_for_outputs_queued_during_a_flush(
    producer: OutputProducer, queue: Callable[[OutputProducer], Awaitable[None]]
) -> None:
    """A bug removed such outputs from the list, so a snapshot and its commit covered outputs the broker refused."""
    queued = asyncio.ensure_future(queue(producer))
    await asyncio.sleep(0)
    await producer.flush(0)
    producer._producer.released.set()
    await queued
    for _ in range(2):
        with pytest.raises(KafkaError, match="refused"):
            await producer.flush(0)


async def test_a_flush_removes_written_deliveries(producer: OutputProducer) -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    producer._pending[0].append(Delivery(done, "llm.scored", ()))
    await producer.flush(0)
    assert producer._pending == {0: []}
