"""LiteLLM with our logger, at a server that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litellm_sdk.ways import MODEL, litellm
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.litellm import StreamgaugeLogger
from streamgauge.testing import Recorder

CALLBACKS = ("callbacks", "success_callback", "failure_callback", "input_callback")
ASYNC_CALLBACKS = ("_async_success_callback", "_async_failure_callback", "_async_input_callback")


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def logger(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> StreamgaugeLogger:
    watching = StreamgaugeLogger(recorder)
    for name in (*CALLBACKS, *ASYNC_CALLBACKS):
        monkeypatch.setattr(litellm, name, [])
    monkeypatch.setattr(litellm, "callbacks", [watching])
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    return watching


@pytest.fixture
def to(api: Server, logger: StreamgaugeLogger) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": f"{api.url}/v1", "api_key": "key", "max_retries": 0}
