"""A worker in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.settings import Settings
from streams.worker.app import Worker
from streams.worker.warmup import warm


@asynccontextmanager
async def judging(tree: Settings, made: Worker | None = None) -> AsyncIterator[Worker]:
    """Run a worker; stop it also where the test fails, or Faust's threads keep pytest from ending."""
    warm(tree)  # else kernels are compiled while a gateway in the same loop waits to answer
    worker = made or Worker(tree)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()
    assert worker.error is None


def judged(*workers: Worker) -> int:
    """Return how many records of the event log they, and those before them, have judged."""
    return sum(engine.pipeline.offset + 1 for worker in workers for engine in worker.runners.values())
