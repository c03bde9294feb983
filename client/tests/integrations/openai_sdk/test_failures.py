"""Calls that fail are published with the error that the host gets."""

from __future__ import annotations

import threading

import openai
import pytest
import streamgauge
from openai import OpenAI
from openai_sdk.call_styles import create
from published import only
from servers import openai as api
from servers.local import Reply, Server, unused_url
from streamgauge.testing import Recorder

FAILURES = {400: "BadRequestError", 401: "AuthenticationError", 429: "RateLimitError", 500: "InternalServerError"}


def test_a_call_that_the_sdk_retries_is_one_call(server: Server, published: Recorder, client: OpenAI) -> None:
    server.will(api.error(500, headers={"retry-after-ms": "1"}))
    create(client.with_options(max_retries=1))
    assert len(server.requests) == 2
    assert "error" not in only(published)


def test_a_timeout_is_published(server: Server, published: Recorder, client: OpenAI) -> None:
    release = threading.Event()
    server.will(Reply.of(api.completion(), hold=release))
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.05))
    release.set()
    assert only(published)["error"] == {"type": "APITimeoutError", "message": "Request timed out.", "status": None}


def test_an_error_inside_the_sdk_before_anything_is_sent_is_published(published: Recorder) -> None:
    def no_key() -> str:
        raise RuntimeError("the vault is sealed")

    with OpenAI(base_url=unused_url(), api_key=no_key) as client, pytest.raises(RuntimeError, match="sealed"):
        create(streamgauge.instrument(client, published))
    assert only(published)["error"]["type"] == "RuntimeError"
