"""Clients of the Anthropic SDK, instrumented and plain, at a server with Anthropic's protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamgauge
from anthropic import Anthropic
from servers import anthropic as api
from servers.local import Server
from streamgauge.testing import Recorder


@pytest.fixture
def server() -> Iterator[Server]:
    with api.serve() as running:
        yield running


@pytest.fixture
def plain(server: Server) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def client(server: Server, published: Recorder) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="key", max_retries=0) as client:
        yield streamgauge.instrument(client, published)
