"""What comes while partitions change hands, on Apache Kafka itself."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from streams.kafka import create_topics
from streams.worker.app import Worker
from tests.conftest import MakeSettings
from tests.integration.test_worker import publish, until
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.traffic import lines

REBALANCES = 6
"""A fetch waits for a second at most: of an idle worker it is mostly, but not always, under way through a rebalance."""


def all_judged(worker: Worker, n: int) -> bool:
    return judged(worker) == n


async def test_an_event_between_assignment_and_resumption_is_judged(
    kafka: KafkaBroker, settings: MakeSettings, topic_prefix: str
) -> None:
    """Its partition has no committed offset to which Faust could seek back when it drops what it may not take yet."""
    parts = {"brokers": kafka.brokers, "topic_prefix": topic_prefix, "partitions": REBALANCES}
    tree = settings(kafka.brokers, kafka=parts)
    await create_topics(tree.kafka)
    worker = Worker(tree)
    partitions = iter(range(REBALANCES))

    async def publish_and_wait(*_: Any, **__: Any) -> None:
        await publish(tree, lines(1), partition=next(partitions))
        await asyncio.sleep(0.3)

    worker.app.on_rebalance_complete.connect(publish_and_wait)
    async with judging(tree, worker):
        thread = cast(Any, worker.app.consumer)._thread
        for n in range(1, REBALANCES + 1):
            await until(partial(all_judged, worker, n), 10)
            if n < REBALANCES:
                thread.thread_loop.call_soon_threadsafe(thread._consumer._coordinator.request_rejoin)
