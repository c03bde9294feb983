"""Worker process: health endpoints, signal handling, exit."""

from __future__ import annotations

from schemas.settings import Settings
from streams.runtime.health import Readiness, serve
from streams.runtime.lifecycle import until_signalled
from streams.worker.app import Worker
from streams.worker.warmup import warm


async def run_worker(settings: Settings) -> None:
    """Run until SIGTERM, SIGINT or a failure; a signal drains the worker, a failure is raised."""
    warm(settings)
    worker, config = Worker(settings), settings.worker
    readiness = Readiness(worker.lag, details=worker.recoveries)
    endpoints = await serve(
        config.health_host, config.health_port, lambda: worker.error is None, readiness, settings="worker.health_"
    )
    try:
        await until_signalled(worker.run, worker.stop)
    finally:
        await endpoints.cleanup()
