"""Clients of the OpenAI SDK, instrumented and plain, at a server with OpenAI's protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import streamgauge
from openai import AsyncOpenAI, OpenAI
from servers import openai as api
from servers.local import Server
from streamgauge.testing import Recorder


@pytest.fixture
def server() -> Iterator[Server]:
    with api.serve() as running:
        yield running


@pytest.fixture
def plain(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def client(server: Server, published: Recorder) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        yield streamgauge.instrument(client, published, provider="openai")


@pytest.fixture
async def aclient(server: Server, published: Recorder) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        yield streamgauge.instrument(client, published, provider="openai")
