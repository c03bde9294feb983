"""Conversion of Anthropic's messages."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from anthropic import Anthropic
from anthropic_sdk.call_styles import ASK, create
from published import only
from servers import anthropic as api
from servers.local import Reply, Server
from streamgauge.testing import Recorder

LEAFLET = {
    "type": "document",
    "title": "Leaflet",
    "source": {"type": "text", "media_type": "text/plain", "data": "A: 200 mg."},
}
FOUND = {
    "type": "search_result",
    "title": "B",
    "source": "https://b.example",
    "content": [{"type": "text", "text": "B: 50 mg."}],
}
HISTORY: list[Any] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "This one?"},
            {"type": "image", "source": {"type": "url", "url": "x"}},
            LEAFLET,
        ],
    },
    {
        "role": "assistant",
        "content": [api.THINKING, api.TEXT, {"type": "tool_use", "id": "t1", "name": "dose", "input": {"drug": "B"}}],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "50 mg"}, FOUND]},
            {"type": "text", "text": "And then?"},
        ],
    },
]
SEEN = [
    {"role": "user", "content": "This one?\n[image]\n[document]"},
    {
        "role": "assistant",
        "content": "Take two tablets.",
        "tool_calls": [{"id": "t1", "name": "dose", "arguments": '{"drug":"B"}'}],
    },
    {"role": "tool", "content": "50 mg\n[search_result]", "tool_call_id": "t1"},
    {"role": "user", "content": "And then?"},
]
DOCUMENTS = [
    {"id": "Leaflet", "text": "A: 200 mg.", "source": "Leaflet"},
    {"id": "B", "text": "B: 50 mg.", "source": "https://b.example"},
]
TOOLS: list[Any] = [
    {"name": "dose", "input_schema": {"type": "object"}},
    {"type": "web_search_20260209", "name": "web_search"},
]


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_documents_and_thoughts_are_converted(
    server: Server, published: Recorder, client: Anthropic, streamed: bool
) -> None:
    said = api.message(api.THINKING, api.TEXT, api.tool_use("t2", "dose", drug="C"), stop_reason="tool_use")
    server.will(api.send(said, {"stream": streamed}))
    answer = client.messages.create(model="m", max_tokens=9, messages=HISTORY, tools=TOOLS, stream=streamed)
    if streamed:
        list(answer)
    event = only(published)
    assert event["messages"] == SEEN
    assert event["documents"] == DOCUMENTS
    assert event["parameters"]["tools"] == ["dose", "web_search"]
    (choice,) = event["choices"]
    (call,) = choice.pop("tool_calls")
    assert choice == {"content": "Take two tablets.", "finish_reason": "tool_use"}
    assert (call["id"], call["name"], call["arguments"].replace(" ", "")) == ("t2", "dose", '{"drug":"C"}')


@pytest.mark.parametrize("streamed", [False, True])
def test_a_refusal_is_marked(server: Server, published: Recorder, client: Anthropic, streamed: bool) -> None:
    server.will(api.send(api.message(api.TEXT, stop_reason="refusal"), {"stream": streamed}))
    answer = client.messages.create(**ASK, stream=streamed)
    if streamed:
        list(answer)
    (choice,) = only(published)["choices"]
    assert (choice["finish_reason"], choice["refusal"]) == ("refusal", True)


def test_content_blocks_of_a_response_may_be_messages(published: Recorder, client: Anthropic) -> None:
    said = create(client)
    again = [*ASK["messages"], {"role": "assistant", "content": said.content}, {"role": "user", "content": "Sure?"}]
    client.messages.create(model="m", max_tokens=9, messages=again)
    assert published.events[1]["messages"][1] == {"role": "assistant", "content": "Take two tablets."}


def test_messages_from_a_generator_are_not_consumed(server: Server, published: Recorder, client: Anthropic) -> None:
    client.messages.create(model="m", max_tokens=9, messages=(one for one in ASK["messages"]))
    assert server.requests[0].body["messages"] == ASK["messages"]
    event = only(published)
    assert event["messages"] == []
    assert event["choices"][0]["content"] == "Take two tablets."


def test_copies_are_instrumented_and_other_clients_are_not(
    published: Recorder, client: Anthropic, plain: Anthropic
) -> None:
    create(client.with_options(timeout=5.0))
    create(client.copy(api_key="other"))
    create(plain)
    assert len(published.events) == 2


def test_counting_tokens_is_not_published(server: Server, published: Recorder, client: Anthropic) -> None:
    server.will(Reply.of({"input_tokens": 5}))
    client.messages.count_tokens(model="m", messages=ASK["messages"])
    assert published.events == []


def test_middleware_of_the_host_runs_and_its_response_is_published(published: Recorder, plain: Anthropic) -> None:
    def shout(request: Any, call_next: Any) -> Any:
        seen.append(request)
        return call_next(request)

    seen: list[Any] = []
    create(streamgauge.instrument(plain.with_options(middleware=[shout]), published))
    assert len(seen) == 1
    assert only(published)["choices"][0]["content"] == "Take two tablets."
