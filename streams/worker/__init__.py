"""The worker: Faust carries chunks, an engine per partition judges them."""

from streams.worker.app import Worker

__all__ = ["Worker"]
