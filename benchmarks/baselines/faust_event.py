"""Faust: a plain agent that receives single events."""

from __future__ import annotations

import asyncio
import tempfile
import uuid

import faust
import orjson
from throughput_probe import arguments

broker, topic, probe = arguments()
app = faust.App(
    uuid.uuid4().hex,
    broker=f"kafka://{broker}",
    consumer_auto_offset_reset="earliest",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    datadir=tempfile.gettempdir(),
)


@app.agent(app.topic(topic, value_serializer="raw"))
async def decode(values: faust.StreamT[bytes]) -> None:
    async for value in values:
        probe.start()
        orjson.loads(value)
        probe.add(1)


async def main() -> None:
    app.finalize()
    await app.start()
    while not probe.done:  # noqa: ASYNC110 - an asyncio.Event would slow down the agent
        await asyncio.sleep(0.05)
    await app.stop()


asyncio.run(main())
