"""Fetches during a rebalance, without a broker: fetched records are sought back over if the assignment changed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver

from streams.worker.rebalance_transport import _Thread

FETCHED = {TopicPartition("events", 0): [SimpleNamespace(offset=7), SimpleNamespace(offset=8)]}


@pytest.mark.parametrize(("changes", "rebalancing"), [(True, False), (False, True), (True, True), (False, False)])
async def test_records_fetched_during_a_rebalance_are_sought_back_over(
    changes: bool, rebalancing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: dict[TopicPartition, int] = {}
    subscription = SimpleNamespace(assignment=object())
    consumer = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=subscription), _fetcher=SimpleNamespace(seek_to=sought.__setitem__)
    )

    async def fetch(*_: Any, **__: Any) -> Any:
        if changes:
            subscription.assignment = object()
        return FETCHED

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    thread: Any = object.__new__(_Thread)
    thread.app = SimpleNamespace(rebalancing=rebalancing)
    records = await thread._fetch_records(consumer, set(), timeout=1.0)
    if changes or rebalancing:
        assert (records, sought) == ({}, {TopicPartition("events", 0): 7})
    else:
        assert (records, sought) == (FETCHED, {})
