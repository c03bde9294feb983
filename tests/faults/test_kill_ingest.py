"""SIGKILL of the gateway under load: what it acknowledged is in Kafka, and nothing is there that was not sent."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson

from schemas.settings import Settings
from streams.runtime.topics import create_topics
from tests import collector
from tests.conftest import MakeSettings
from tests.faults.processes import Service, free_port
from tests.ingest import answers
from tests.kafka.broker import KafkaBroker
from tests.topics import values
from tests.traffic import lines

SENDERS, KILLS, BATCH = 4, 8, 20


@dataclass(slots=True)
class Log:
    """What was sent, and what of it was acknowledged."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    unanswered: int = 0


async def send(url: str, number: int, log: Log, stop: asyncio.Event) -> None:
    """Send batches that no one else sends, until told to stop; a batch without an answer is not sent again."""
    template = [orjson.loads(raw) for raw in lines(BATCH, seed=number)]
    turn = 0
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=20)) as http:
        while not stop.is_set():
            turn += 1
            path, content_type, body, names = batch(template, number, turn)
            log.sent |= names
            try:
                async with http.post(path, data=body, headers={"Content-Type": content_type}) as answer:
                    if answer.status in {200, 202}:
                        log.acknowledged |= names
            except aiohttp.ClientError:
                log.unanswered += 1
                await asyncio.sleep(0.02)


def batch(template: list[dict[str, object]], number: int, turn: int) -> tuple[str, str, bytes, set[str]]:
    if turn % 3 == 0:
        first = (number * 100_000 + turn) * BATCH
        numbers = range(first, first + BATCH)
        body = collector.as_proto(collector.spans(*numbers))
        return "/v1/traces", "application/x-protobuf", body, {collector.call_id(n) for n in numbers}
    named = [event | {"event_id": f"s{number}-{turn}-{i}"} for i, event in enumerate(template)]
    body = b"\n".join(map(orjson.dumps, named))
    return "/v1/events", "application/x-ndjson", body, {str(event["event_id"]) for event in named}


async def test_killed_under_load_it_has_written_what_it_acknowledged(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    tree: Settings = settings(kafka.brokers, ingest={"port": free_port(), "health_port": free_port()})
    await create_topics(tree.kafka)
    url, log, stop, rng = f"http://127.0.0.1:{tree.ingest.port}", Log(), asyncio.Event(), random.Random(5)
    with Service("ingest", tree, tmp_path / "gateway.log") as gateway:
        gateway.start()
        await answers(url)
        senders = [asyncio.create_task(send(url, n, log, stop)) for n in range(SENDERS)]
        for turn in range(KILLS):
            await asyncio.sleep(rng.uniform(0.3, 1.0))
            if turn % 2:
                gateway.kill()
            else:
                # Written, and not yet answered: the sender must take it for lost, and may send it again.
                gateway.kill()
                gateway.start(crash_at=f"ingest.before_answer:{rng.randrange(2, 40)}")
                deadline = time.monotonic() + 40
                while gateway.running:
                    assert time.monotonic() < deadline, "ingest.before_answer was never reached"
                    await asyncio.sleep(0.02)
            gateway.start()
            await answers(url)
        stop.set()
        await asyncio.gather(*senders)
        gateway.stop()
    assert gateway.exits.count(-9) >= KILLS
    assert gateway.exits[-1] == 0
    written = [str(event["event_id"]) for event in await values(tree, "events")]
    assert log.unanswered >= KILLS
    assert len(log.acknowledged) > 1000
    assert log.acknowledged <= set(written) <= log.sent
    assert len(written) == len(set(written)), "its producer wrote something twice"
    assert set(written) - log.acknowledged, "no kill fell between Kafka's acknowledgement and ours"
