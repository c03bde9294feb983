"""Conversion of chat completions."""

from __future__ import annotations

from typing import Any

import pytest
from openai import OpenAI
from openai_sdk.call_styles import ASK, MESSAGES
from published import only
from servers import openai as api
from servers.local import Server
from streamgauge.testing import Recorder

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "dose", "parameters": {"type": "object", "properties": {}}}},
    {"type": "custom", "custom": {"name": "note"}},
]
HISTORY: list[Any] = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "This one?"}, {"type": "image_url", "image_url": {"url": "x"}}],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "dose", "arguments": '{"drug": "A"}'}}],
    },
    {"role": "tool", "tool_call_id": "t1", "content": "200 mg"},
]
SEEN = [
    {"role": "user", "content": "This one?\n[image]"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "name": "dose", "arguments": '{"drug": "A"}'}]},
    {"role": "tool", "content": "200 mg", "tool_call_id": "t1"},
]
RICH = [
    api.choice(None, finish_reason="tool_calls", tools=[("t2", "dose", '{"drug": "B"}'), ("t3", "note", "{}")]),
    api.choice(None, index=1, refusal="I can't help with that."),
    api.choice("Two a day", index=2, finish_reason="length", logprobs=[("Two", -0.5), (" a", -0.25), (" day", -0.125)]),
]
RICH_SEEN = [
    {
        "content": "",
        "finish_reason": "tool_calls",
        "tool_calls": [
            {"id": "t2", "name": "dose", "arguments": '{"drug": "B"}'},
            {"id": "t3", "name": "note", "arguments": "{}"},
        ],
        "logprobs": None,
    },
    {
        "content": "I can't help with that.",
        "finish_reason": "stop",
        "tool_calls": [],
        "logprobs": None,
        "refusal": True,
    },
    {"content": "Two a day", "finish_reason": "length", "tool_calls": [], "logprobs": [-0.5, -0.25, -0.125]},
]


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_refusals_log_probabilities_and_choices_are_converted(
    server: Server, published: Recorder, client: OpenAI, streamed: bool
) -> None:
    asked: dict[str, Any] = {"model": "gpt-5.2", "messages": HISTORY, "tools": TOOLS, "n": 3, "logprobs": True}
    server.will(api.chat(api.completion(*RICH), {"stream": streamed}))
    answer = client.chat.completions.create(**asked, stream=streamed)
    if streamed:
        list(answer)
    event = only(published)
    assert event["messages"] == SEEN
    assert event["choices"] == RICH_SEEN
    assert event["parameters"]["tools"] == ["dose", "note"]
    assert "How much" not in str(event["parameters"])


def test_messages_may_be_objects_of_the_sdk_and_come_from_a_generator(
    server: Server, published: Recorder, client: OpenAI
) -> None:
    said = client.chat.completions.create(**ASK).choices[0].message
    client.chat.completions.create(model="gpt-5.2", messages=(one for one in [MESSAGES[1], said]))
    assert published.events[1]["messages"] == [MESSAGES[1], {"role": "assistant", "content": api.ANSWER}]
    assert server.requests[1].body["messages"][1]["content"] == api.ANSWER


def test_a_stream_without_usage_has_no_counts_and_an_unchanged_request(
    server: Server, published: Recorder, client: OpenAI
) -> None:
    list(client.chat.completions.create(**ASK, stream=True))
    assert only(published)["usage"] is None
    assert server.requests[0].body == ASK | {"stream": True}
