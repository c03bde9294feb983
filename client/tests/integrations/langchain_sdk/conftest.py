"""Chat model of LangChain with the handler, at a server with OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import chat
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def handler(recorder: Recorder) -> Iterator[StreamgaugeHandler]:
    watching = StreamgaugeHandler(recorder)
    yield watching
    assert len(watching._runs) == 0, "each run that began has ended"


@pytest.fixture
def model(api: Server, handler: StreamgaugeHandler) -> ChatOpenAI:
    return chat(api, handler)
