"""The gateway on Apache Kafka itself: what is acknowledged is there, and what is sent again is judged once."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from schemas.settings import Settings
from streams.runtime.topics import create_topics
from tests import collector
from tests.conftest import MakeSettings
from tests.ingest import JSON, PROTOBUF, running
from tests.judging import judged, judging
from tests.kafka.broker import KafkaBroker
from tests.topics import values
from tests.traffic import lines
from tests.waiting import until


@pytest.fixture
async def tree(kafka: KafkaBroker, settings: MakeSettings) -> Settings:
    made = settings(kafka.brokers, ingest={"port": 0})
    await create_topics(made.kafka)
    return made


async def test_without_the_topics_it_says_so_and_takes_events_when_they_are_there(
    kafka: KafkaBroker, settings: MakeSettings
) -> None:
    tree = settings(kafka.brokers, ingest={"port": 0})
    async with running(tree, ready=False) as client:
        await until(lambda: "topics create" in str(client.server.answer()[1]["kafka"]))
        answer = await client.post("/v1/events", lines(1)[0])
        assert (answer.status, answer.json["reason"]) == (503, "kafka away")
        assert "streamgauge topics create" in answer.json["error"]
        await create_topics(tree.kafka)
        await client.ready()
        assert (await client.post("/v1/events", lines(1)[0])).status == 202


async def test_what_comes_in_is_scored(tree: Settings) -> None:
    raws = [raw for raw in lines(400) if b'"kind"' not in raw][:300]
    async with judging(tree) as worker, running(tree) as client:
        for at in range(0, 300, 100):
            assert (await client.post("/v1/events", b"\n".join(raws[at : at + 100]))).json["accepted"] == 100
        assert (await client.post("/v1/traces", collector.as_proto(collector.spans(1)), PROTOBUF)).status == 200
        assert (await client.post("/v1/traces", collector.as_json(collector.spans(2)), JSON)).status == 200
        await until(lambda: judged(worker) == 302, 60)
    assert len({row["event"]["event_id"] for row in await values(tree, "scored")}) == 302


async def test_what_is_sent_again_is_judged_once(tree: Settings) -> None:
    raws = [raw for raw in lines(200) if b'"kind"' not in raw][:100]
    async with judging(tree) as worker, running(tree) as client:
        for _ in range(2):
            assert (await client.post("/v1/events", b"\n".join(raws))).status == 202
            assert (await client.post("/v1/traces", collector.as_proto(collector.spans(1)), PROTOBUF)).status == 200
        await until(lambda: judged(worker) == 202, 60)
    assert len(await values(tree, "scored")) == 101


async def test_while_the_broker_is_down_nothing_is_claimed_and_when_it_is_back_it_goes_on(
    tree: Settings, kafka: KafkaBroker
) -> None:
    raws = lines(40)
    hasty = tree.ingest.model_copy(update={"write_timeout_s": 2.0})
    async with running(tree.model_copy(update={"ingest": hasty})) as client:
        assert (await client.post("/v1/events", b"\n".join(raws[:10]))).status == 202
        kafka.kill()
        begin = time.monotonic()
        answer = await client.post("/v1/events", b"\n".join(raws[10:20]))
        assert (answer.status, answer.json["reason"]) == (503, "kafka away")
        assert time.monotonic() - begin < tree.ingest.write_timeout_s
        assert client.server.admission.budget.used > 0, "its records still wait in the producer"
        await until(lambda: client.server.answer()[0] == 503)
        await asyncio.to_thread(kafka.start)
        await client.ready()
        await until(lambda: client.server.admission.budget.used == 0)
        assert (await client.post("/v1/events", b"\n".join(raws[20:]))).status == 202
    names = [event["event_id"] for event in await values(tree, "events")]
    assert len(names) == len(set(names)) == 40


async def test_a_broker_that_stays_away_does_not_fill_the_memory(tree: Settings, kafka: KafkaBroker) -> None:
    tight = tree.ingest.model_copy(update={"in_flight_bytes": 1 << 20, "write_timeout_s": 0.05})
    raws = lines(200)
    body = b"\n".join(raws)
    async with running(tree.model_copy(update={"ingest": tight})) as client:
        kafka.kill()
        reasons = [(await client.post("/v1/events", body)).json["reason"] for _ in range(30)]
        fits = (1 << 20) // 2 // len(body)  # a sender may hold half of the room
        assert reasons == ["kafka away"] * fits + ["key share"] * (30 - fits)
        await asyncio.to_thread(kafka.start)
        await until(lambda: client.server.admission.budget.used == 0)
        assert (await client.post("/v1/events", raws[0])).status == 202


async def test_a_producer_beyond_repair_is_made_anew_and_lets_go_of_what_it_held(
    tree: Settings, kafka: KafkaBroker
) -> None:
    raws = lines(30)
    async with running(tree) as client:
        assert (await client.post("/v1/events", b"\n".join(raws[:10]))).status == 202
        kafka.kill()
        waiting = asyncio.create_task(client.post("/v1/events", b"\n".join(raws[10:20])))
        await until(lambda: client.server.admission.budget.used > 0)
        client.server._producer._recreate_if_fatal(OutOfOrderSequenceNumber())
        answer = await waiting
        assert (answer.status, answer.json["reason"]) == (503, "kafka away")
        await until(lambda: client.server.admission.budget.used == 0)
        await asyncio.to_thread(kafka.start)
        await client.ready()
        assert (await client.post("/v1/events", b"\n".join(raws[20:]))).status == 202
    names = {event["event_id"] for event in await values(tree, "events")}
    assert len(names) >= 20
