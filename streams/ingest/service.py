"""The ingest process: health pages, signal handling, exit."""

from __future__ import annotations

import asyncio
import signal

from schemas.settings import Settings
from streams.ingest.server import IngestServer
from streams.runtime.health import serve
from streams.runtime.lifecycle import until_signalled
from streams.runtime.process_tuning import tune


async def run_ingest(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (finishes in-flight requests); SIGHUP reloads the API keys."""
    server, section = IngestServer(settings), settings.ingest
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, server.admission.keys.reload)
    pages = await serve(section.health_host, section.health_port, lambda: True, server, settings="ingest.health_")
    try:
        await server.start()
        tune()
        await until_signalled(_forever, server.stop)
    finally:
        await pages.cleanup()


async def _forever() -> None:
    await asyncio.Event().wait()
