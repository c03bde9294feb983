"""Conversion of responses of the Responses API."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import streamgauge
from openai import OpenAI
from openai_sdk.response_styles import ASK, stream
from published import PROMPT, only
from servers import openai_responses as responses
from servers.local import Reply, Server
from servers.sse import event as sse
from streamgauge.testing import Recorder

HISTORY: list[Any] = [
    {
        "role": "user",
        "content": [{"type": "input_text", "text": "This one?"}, {"type": "input_image", "image_url": "x"}],
    },
    {"type": "reasoning", "id": "rs_0", "summary": []},
    {"type": "function_call", "call_id": "t1", "name": "dose", "arguments": '{"drug": "A"}'},
    {"type": "function_call_output", "call_id": "t1", "output": "200 mg"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "200 mg."}]},
    {"type": "function_call_output", "call_id": "t1", "output": [{"type": "input_text", "text": "and no more"}]},
]
SEEN = [
    {"role": "user", "content": "This one?\n[image]"},
    {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "name": "dose", "arguments": '{"drug": "A"}'}]},
    {"role": "tool", "content": "200 mg", "tool_call_id": "t1"},
    {"role": "assistant", "content": "200 mg."},
    {"role": "tool", "content": "and no more", "tool_call_id": "t1"},
]
SEARCH = {
    "id": "fs_1",
    "type": "file_search_call",
    "status": "completed",
    "queries": ["dose of B"],
    "results": [{"file_id": "file-1", "filename": "b.pdf", "score": 0.75, "text": "B: 50 mg.", "attributes": {}}],
}
RICH = responses.response(
    responses.REASONING,
    SEARCH,
    responses.function_call("t2", "dose", '{"drug": "B"}'),
    responses.message(
        responses.text_part("Take two", [("Take", -0.5), (" two", -0.25)]), responses.refusal_part("No more.")
    ),
    status="incomplete",
    incomplete_details={"reason": "max_output_tokens"},
)
TOOLS: list[Any] = [{"type": "function", "name": "dose", "parameters": {}}, {"type": "file_search"}]


@pytest.mark.parametrize("streamed", [False, True])
def test_tools_refusals_log_probabilities_and_documents_are_converted(
    server: Server, published: Recorder, client: OpenAI, streamed: bool
) -> None:
    server.will(Reply.stream(responses.response_events(RICH)) if streamed else Reply.of(RICH))
    answer = client.responses.create(model="gpt-5.2", input=HISTORY, tools=TOOLS, stream=streamed)
    if streamed:
        list(answer)
    event = only(published)
    assert event["messages"] == SEEN
    assert event["parameters"]["tools"] == ["dose", "file_search"]
    assert event["documents"] == [{"id": "file-1", "text": "B: 50 mg.", "score": 0.75, "source": "b.pdf"}]
    assert event["choices"] == [
        {
            "content": "Take two\nNo more.",
            "finish_reason": "max_output_tokens",
            "tool_calls": [
                {"id": "fs_1", "name": "file_search", "arguments": '["dose of B"]'},
                {"id": "t2", "name": "dose", "arguments": '{"drug": "B"}'},
            ],
            "logprobs": [-0.5, -0.25],
            "refusal": True,
        }
    ]


FAILED = responses.response(responses.REASONING, status="failed", error={"code": "server_error", "message": "Sorry."})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_failed_response_is_published_as_an_error(
    server: Server, published: Recorder, client: OpenAI, streamed: bool
) -> None:
    server.will(Reply.stream(responses.response_events(FAILED)) if streamed else Reply.of(FAILED))
    answer = client.responses.create(**ASK, stream=streamed)
    if streamed:
        list(answer)
    assert only(published)["error"] == {"type": "server_error", "message": "Sorry."}


def test_an_error_event_ends_a_stream_with_an_error(server: Server, published: Recorder, client: OpenAI) -> None:
    failure = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down.", "sequence_number": 9}
    server.will(Reply.stream([*responses.response_events(responses.response())[:9], sse(failure, "error")]))
    stream(client)
    event = only(published)
    assert event["error"] == {"type": "rate_limit_exceeded", "message": "Slow down."}
    assert event["choices"][0]["content"] == "Take two tablets."


def test_a_broken_or_abandoned_stream_is_published_so_far(server: Server, published: Recorder, client: OpenAI) -> None:
    begun = responses.response_events(responses.response())[:8]
    server.will(Reply.stream(begun, cut=True), Reply.stream(begun))
    with pytest.raises(openai.APIConnectionError):
        stream(client)
    with client.responses.stream(**ASK) as events:
        next(event for event in events if event.type == "response.output_text.delta")
    broken, left = published.events
    assert [one["choices"][0]["content"] for one in (broken, left)] == ["Take two", "Take"]
    assert broken["error"]["type"] == "APIConnectionError"
    assert left["tags"] == {"stream": "abandoned"}
    assert broken["response_model"] == left["response_model"] == "gpt-5.2-2026-01-15"


def test_stored_prompts_and_conversations_apply_without_a_context(published: Recorder, client: OpenAI) -> None:
    stored: dict[str, Any] = {"prompt": {"id": "pmpt_1", "version": "3"}, "conversation": "conv_1", "model": "gpt-5.2"}
    client.responses.create(**stored)
    with streamgauge.context("triage", **PROMPT):
        client.responses.create(**stored)
    names = ("prompt_name", "prompt_version", "conversation_id")
    assert [[event[name] for name in names] for event in published.events] == [
        ["pmpt_1", "3", "conv_1"],
        ["triage", "v7", "c-1"],
    ]
