"""Running a service until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError

from schemas.errors import BrokerError


async def until_signalled(start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
    """Run ``start`` until it returns or SIGTERM or SIGINT comes; then ``stop`` (which drains).

    Raises
    ------
    BrokerError
        If Kafka failed ``start``; whatever else it raises is raised as it is.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    running = asyncio.ensure_future(start())
    waiting = asyncio.create_task(asked.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    await stop()
    waiting.cancel()
    if not running.done():
        running.cancel()
        return
    try:
        running.result()
    except KafkaError as error:
        raise BrokerError(f"Kafka: {error!r}; `streamgauge doctor` says what is wrong") from error
