"""LiteLLM, and waiting for what it tells on threads of its own."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from typing import Any

from streamgauge.testing import Recorder

litellm: Any = importlib.import_module("litellm")
MODEL = "gpt-4o-mini"
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
COST = 11 * 0.15e-6 + 8 * 0.075e-6 + 12 * 0.6e-6
HELLO = [{"role": "user", "content": "hello"}]


def arrived(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    """Wait for LiteLLM's own threads and tasks to tell of so many calls."""
    pause, deadline = threading.Event(), time.monotonic() + 20
    while len(events := recorder.events) < count and time.monotonic() < deadline:
        pause.wait(0.005)
    assert len(events) == count, events
    return events


async def arrived_async(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    return await asyncio.to_thread(arrived, recorder, count)


def said(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices without what is empty in them."""
    return [{name: value for name, value in choice.items() if value} for choice in event["choices"]]
