"""LiteLLM with the logger, at a server with OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litellm_sdk.call_styles import MODEL, isolated_callbacks
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.litellm import StreamgaugeLogger
from streamgauge.testing import Recorder


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def logger(recorder: Recorder) -> Iterator[StreamgaugeLogger]:
    logger = StreamgaugeLogger(recorder)
    with isolated_callbacks(logger):
        yield logger


@pytest.fixture
def to(api: Server, logger: StreamgaugeLogger) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": f"{api.url}/v1", "api_key": "key", "max_retries": 0}
