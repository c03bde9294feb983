"""Failures specific to the OpenAI SDK."""

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


def test_a_retried_call_is_one_event(server: Server, published: Recorder, client: OpenAI) -> None:
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


class SealedError(Exception):
    """Error of the host's key store."""


def test_an_error_before_the_request_is_published(published: Recorder) -> None:
    def no_key() -> str:
        raise SealedError

    with OpenAI(base_url=unused_url(), api_key=no_key) as client, pytest.raises(SealedError):
        create(streamgauge.instrument(client, published))
    assert only(published)["error"]["type"] == "SealedError"
