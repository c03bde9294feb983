"""LiteLLM, and waits for the events that its own threads publish."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streamgauge.testing import Recorder

litellm: Any = importlib.import_module("litellm")
MODEL = "gpt-4o-mini"
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
COST = 11 * 0.15e-6 + 8 * 0.075e-6 + 12 * 0.6e-6
HELLO = [{"role": "user", "content": "hello"}]


def arrived(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    """Wait until LiteLLM's own threads and tasks have published ``count`` events."""
    pause, deadline = threading.Event(), time.monotonic() + 20
    while len(events := recorder.events) < count and time.monotonic() < deadline:
        pause.wait(0.005)
    assert len(events) == count, events
    return events


async def arrived_async(recorder: Recorder, count: int = 1) -> list[dict[str, Any]]:
    return await asyncio.to_thread(arrived, recorder, count)


def nonempty_choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the choices without empty fields."""
    return [{name: value for name, value in choice.items() if value} for choice in event["choices"]]


CALLBACKS = ("callbacks", "success_callback", "failure_callback", "input_callback")
ASYNC_CALLBACKS = ("_async_success_callback", "_async_failure_callback", "_async_input_callback")


@contextmanager
def isolated_callbacks(*callbacks: Any) -> Iterator[None]:
    """Replace the callbacks of the process for a block."""
    names = (*CALLBACKS, *ASYNC_CALLBACKS, "suppress_debug_info")
    before = {name: getattr(litellm, name) for name in names}
    for name in (*CALLBACKS, *ASYNC_CALLBACKS):
        setattr(litellm, name, [])
    litellm.callbacks = list(callbacks)
    litellm.suppress_debug_info = True
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(litellm, name, value)
