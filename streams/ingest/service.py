"""The gateway as a process: health pages, signals, exit."""

from __future__ import annotations

import asyncio
import signal

from schemas.settings import Settings
from streams.ingest.server import Gateway
from streams.runtime.health import serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune


async def run_ingest(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (finishes the requests at hand); SIGHUP reads the keys again."""
    gateway, own = Gateway(settings), settings.ingest
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.door.keys.reload)
    pages = await serve(own.health_host, own.health_port, lambda: True, gateway, settings="ingest.health_")
    try:
        await gateway.start()
        tune()
        await until_signalled(_for_ever, gateway.stop)
    finally:
        await pages.cleanup()


async def _for_ever() -> None:
    await asyncio.Event().wait()
