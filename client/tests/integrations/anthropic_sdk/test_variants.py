"""Clients of Anthropic's SDK for Microsoft's, Google's and Amazon's clouds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import pytest
import streamgauge
from anthropic_sdk.call_styles import CHOICE, USAGE
from published import only
from servers import anthropic as api
from servers.local import Server
from streamgauge.testing import Recorder

ASK: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "How much?"}]}


def foundry(url: str) -> Any:
    return anthropic.AnthropicFoundry(base_url=url, api_key="key")


def vertex(url: str) -> Any:
    return anthropic.AnthropicVertex(base_url=url, access_token="token", region="eu", project_id="clinic")


def bedrock(url: str) -> Any:
    return anthropic.AnthropicBedrock(base_url=url, api_key="key", aws_region="eu-west-1")


def read(message: Any) -> None:
    """A stream is published when it was read."""
    if isinstance(message, anthropic.Stream):
        list(message)


@pytest.mark.parametrize(
    ("make", "stream"), [(foundry, False), (foundry, True), (vertex, False), (vertex, True), (bedrock, False)]
)
def test_a_call_through_another_cloud_is_published(
    published: Recorder, make: Callable[[str], Any], stream: bool
) -> None:
    with Server(lambda request: api.send(api.message(), request.body)) as server, make(server.url) as client:
        read(streamgauge.instrument(client, published).messages.create(model="claude-opus-5", **ASK, stream=stream))
        assert (server.requests[0].path == "/v1/messages") == (make is foundry)
    event = only(published)
    assert (event["provider"], event["request_model"]) == ("anthropic", "claude-opus-5")
    assert (event["choices"], event["usage"]) == ([CHOICE], USAGE)
