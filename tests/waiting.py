"""Waiting for what comes true soon, and never for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    """Return once it is true.

    Raises
    ------
    AssertionError
        If it was not in time.
    """
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)
