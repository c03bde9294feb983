"""The worker as a process: health pages, signals, exit."""

from __future__ import annotations

from schemas.settings import Settings
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.worker.app import Worker
from streams.worker.warmup import warm


async def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT (drains) or a failure (raises it)."""
    warm(settings)
    worker, own = Worker(settings), settings.worker
    readiness = Readiness(worker.lag, details=worker.recoveries)
    pages = await serve(
        own.health_host, own.health_port, lambda: worker.error is None, readiness, settings="worker.health_"
    )
    try:
        await until_signalled(worker.run, worker.stop)
    finally:
        await pages.cleanup()
