"""Service lifecycle: run until a signal arrives, then drain."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiokafka.errors import KafkaError

from schemas.errors import BrokerError


async def until_signalled(start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]) -> None:
    """Run ``start`` until it returns or SIGTERM or SIGINT arrives; then run ``stop``, which drains the service.

    Raises
    ------
    BrokerError
        If ``start`` fails with a Kafka error; any other error of ``start`` is raised unchanged.
    """
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    running = asyncio.ensure_future(start())
    waiting = asyncio.create_task(signalled.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    await stop()
    waiting.cancel()
    if not running.done():
        running.cancel()
        return
    try:
        running.result()
    except KafkaError as error:
        raise BrokerError(f"Kafka: {error!r}; run: streamgauge doctor") from error
