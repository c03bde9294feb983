"""Fixtures of the contract suite; each depends on the parameter ``case``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from contract.case import Case
from servers.local import Server
from streamgauge.testing import Recorder


@pytest.fixture
def server(case: Case) -> Iterator[Server]:
    with case.serve() as running:
        yield running


@pytest.fixture
def plain(case: Case, server: Server) -> Iterator[Any]:
    """Return a client that is not instrumented."""
    with case.connect(server.url) as client:
        yield client


@pytest.fixture
def client(case: Case, server: Server, recorder: Recorder) -> Iterator[Any]:
    """Return an instrumented client."""
    with case.connect(server.url) as client, case.instrument(client, recorder) as instrumented:
        yield instrumented


@pytest.fixture
async def plain_async(case: Case, server: Server) -> AsyncIterator[Any]:
    """Return an asynchronous client that is not instrumented."""
    async with case.connect_async(server.url) as client:
        yield client


@pytest.fixture
async def client_async(case: Case, server: Server, recorder: Recorder) -> AsyncIterator[Any]:
    """Return an instrumented asynchronous client."""
    async with case.connect_async(server.url) as client:
        with case.instrument(client, recorder) as instrumented:
            yield instrumented
