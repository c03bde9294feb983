"""Chats and functions: several responses in one conversation."""

from __future__ import annotations

from typing import Any

from google import genai
from google.genai import types
from google_genai_sdk.call_styles import MODEL, vertex
from servers import google_genai as server
from servers.local import Reply, Server
from streamgauge.integrations import google_genai
from streamgauge.testing import Recorder


def test_each_turn_of_a_chat_is_an_event_with_the_history(client: genai.Client, recorder: Recorder) -> None:
    chat = client.chats.create(model=MODEL)
    chat.send_message("first")
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("second")) == server.ANSWER
    first, second = recorder.events
    assert [m["content"] for m in first["messages"]] == ["first"]
    assert [(m["role"], m["content"]) for m in second["messages"]] == [
        ("user", "first"),
        ("assistant", server.ANSWER),
        ("user", "second"),
    ]


def test_a_function_run_by_the_library_gives_two_events(api: Server, client: genai.Client, recorder: Recorder) -> None:
    def dose(weight_kg: int) -> str:
        """Return the dose."""
        return f"{weight_kg * 10} mg"

    api.will(Reply.of(server.response(server.candidate(server.function_call("dose", {"weight_kg": 20}, "f1")))))
    response = client.models.generate_content(
        model=MODEL, contents="How much?", config=types.GenerateContentConfig(tools=[dose])
    )
    asked, told = recorder.events
    call = {"id": "f1", "name": "dose", "arguments": '{"weight_kg":20}'}
    assert response.text == server.ANSWER
    assert asked["choices"] == [{"content": "", "finish_reason": "STOP", "tool_calls": [call]}]
    assert asked["parameters"]["tools"] == ["dose"]
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool"]
    assert told["messages"][1]["tool_calls"] == [call]
    assert told["messages"][2] | {"role": "tool", "content": "200 mg", "name": "dose"} == told["messages"][2]


def test_declared_functions_may_be_run_by_the_host(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(Reply.stream(server.chunks(server.response(server.candidate(server.function_call("dose", {"kg": 2}))))))
    declared = types.Tool(function_declarations=[types.FunctionDeclaration(name="dose")])
    config = types.GenerateContentConfig(tools=[declared])
    list(client.models.generate_content_stream(model=MODEL, contents="?", config=config))
    history: list[Any] = [
        "?",
        {"role": "model", "parts": [{"function_call": {"name": "dose", "args": {"kg": 2}}}]},
        types.Part.from_function_response(name="dose", response={"mg": 20, "form": "syrup"}),
    ]
    client.models.generate_content(model=MODEL, contents=history)
    asked, told = recorder.events
    assert asked["choices"][0]["tool_calls"] == [{"id": "", "name": "dose", "arguments": '{"kg":2}'}]
    assert asked["parameters"] == {"tools": ["dose"]}
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool"]
    assert told["messages"][2]["content"] == '{"mg":20,"form":"syrup"}'


def test_streamed_arguments_of_vertex_are_joined(api: Server, recorder: Recorder) -> None:
    pieces = [
        {"name": "dose", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.drug", "stringValue": "para"}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.drug", "stringValue": "cetamol"}, {"jsonPath": "$.mg", "numberValue": 500}]},
    ]
    parts = [server.candidate({"functionCall": piece}, finish=None) for piece in pieces]
    api.will(Reply.stream([chunk for part in parts for chunk in server.chunks(server.response(part))[:1]]))
    client = google_genai.instrument(vertex(api.url), recorder)
    list(client.models.generate_content_stream(model=MODEL, contents="?"))
    [event] = recorder.events
    assert event["choices"][0]["tool_calls"] == [
        {"id": "", "name": "dose", "arguments": '{"drug":"paracetamol","mg":500.0}'}
    ]
