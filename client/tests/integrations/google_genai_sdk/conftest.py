"""Instrumented client of google-genai at a server with the Gemini API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streamgauge
from google import genai
from google_genai_sdk.call_styles import gemini
from servers import google_genai as server
from servers.local import Server
from streamgauge.testing import Recorder


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def client(api: Server, recorder: Recorder) -> genai.Client:
    return streamgauge.instrument(gemini(api.url), recorder)
