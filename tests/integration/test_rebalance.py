"""What comes while partitions change hands, on Apache Kafka itself."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import pytest

from streams.runtime.topics import create_topics
from streams.worker.app import Worker
from tests.conftest import MakeSettings
from tests.integration.test_worker import publish
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.traffic import lines
from tests.waiting import until

PARTITIONS = 8


async def test_an_event_between_assignment_and_resumption_is_judged(
    kafka: KafkaBroker, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partition has no committed offset to which Faust could seek back when it drops what it may not take yet."""
    tree = settings(kafka.brokers, kafka={"partitions": PARTITIONS})
    await create_topics(tree.kafka)
    worker = Worker(tree)
    published: list[int] = []
    given_back: list[int] = []

    async def publish_and_wait(*_: Any, **__: Any) -> None:
        partition = len(published) % PARTITIONS
        published.append(partition)
        await publish(tree, lines(1), partition=partition)
        await asyncio.sleep(0.3)  # for the fetch under way to take it while the flow is stopped

    def judged_more_than(n: int) -> bool:
        return judged(worker) == len(published) > n

    worker.app.on_rebalance_complete.connect(publish_and_wait)
    async with judging(tree, worker):
        await until(partial(judged_more_than, 0))
        thread = cast(Any, worker.app.consumer)._thread
        seek_to = thread._consumer._fetcher.seek_to

        def seek_to_and_tell(tp: Any, offset: int) -> None:
            given_back.extend([tp.partition] * (offset == 0))  # Faust seeks to committed offsets only
            seek_to(tp, offset)

        monkeypatch.setattr(thread._consumer._fetcher, "seek_to", seek_to_and_tell)
        while len(published) < PARTITIONS:
            before = len(published)
            thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator.request_rejoin)
            await until(partial(judged_more_than, before))
    assert given_back, "no rebalance fell into a fetch: nothing was shown"
