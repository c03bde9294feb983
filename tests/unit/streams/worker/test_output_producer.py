"""What the worker's writer remembers of what is not written yet. Its producer is a stand-in: the moment counts."""

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
from streams.runtime.produce import Sent
from streams.worker.output_producer import Writer

RECORD = ConsumerRecord("events", 0, 7, 0, 0, None, b"{", None, 0, 1, ())
WINDOW = dict.fromkeys(("window_start", "tenant", "app", "model", "prompt_version", "source_partition"), "")


class Full:
    """A producer without room until it is released, whose broker then refuses what was sent."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def send(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        await self.free.wait()
        sent = asyncio.get_running_loop().create_future()
        sent.set_exception(KafkaError("refused"))
        return sent

    send_batch = send

    def room(self, _: str) -> int:
        return 1 << 20

    def create_batch(self) -> Mock:
        return Mock()


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    monkeypatch.setattr("streams.worker.output_producer.Producer", lambda *_: Full())
    return Writer(Settings())


@pytest.mark.parametrize(
    "queue",
    [
        lambda writer: writer.windows(0, [WINDOW]),
        lambda writer: writer.write(0, Outputs(scored=[b"{}"])),
        lambda writer: writer.dead_letter(RECORD, DecodeError("no JSON")),
    ],
    ids=["windows", "scored", "dead letters"],
)
async def test_what_is_queued_while_a_snapshot_settles_is_waited_for_by_the_next(
    writer: Writer, queue: Callable[[Writer], Awaitable[None]]
) -> None:
    """It was forgotten: the next snapshot, and its commit, covered outputs that the broker had refused."""
    queued = asyncio.ensure_future(queue(writer))
    await asyncio.sleep(0)
    await writer.settled(0)
    writer._producer.free.set()
    await queued
    for _ in range(2):
        with pytest.raises(KafkaError, match="refused"):
            await writer.settled(0)


async def test_what_is_written_is_forgotten(writer: Writer) -> None:
    done = asyncio.get_running_loop().create_future()
    done.set_result(None)
    writer._waiting[0].append(Sent(done, "llm.scored", ()))
    await writer.settled(0)
    assert writer._waiting == {0: []}
