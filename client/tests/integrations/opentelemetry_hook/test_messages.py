"""Conversion of OpenTelemetry's message parts, with the classes of the installed opentelemetry-util-genai."""

from __future__ import annotations

from typing import Any

import pytest
from streamgauge.integrations import otel_messages

pytest.importorskip("opentelemetry.util.genai")

from opentelemetry.util.genai import types as otel


def asked(*parts: Any, role: str = "user") -> Any:
    return otel.InputMessage(role=role, parts=list(parts))


def answered(*parts: Any, finish_reason: str = "stop") -> Any:
    return otel.OutputMessage(role="assistant", parts=list(parts), finish_reason=finish_reason)


def test_texts_are_joined_and_other_parts_become_a_marker() -> None:
    picture = otel.Blob(mime_type="image/png", modality="image", content=b"png")
    page = otel.Uri(mime_type=None, modality="document", uri="https://example.com/a.pdf")
    message = asked(otel.Text("What is"), picture, otel.Text("and"), page)
    assert otel_messages.messages([message], []) == [{"role": "user", "content": "What is\n[image]\nand\n[document]"}]


def test_the_system_instruction_comes_first() -> None:
    messages = otel_messages.messages([asked(otel.Text("Hello"))], [otel.Text("Be brief.")])
    assert [message["role"] for message in messages] == ["system", "user"]


def test_tool_results_are_separate_messages() -> None:
    message = asked(
        otel.ToolCallResponse(id="t-1", response={"mg": 200}),
        otel.ToolCallResponse(id="t-2", response="none"),
        otel.Text("Go on."),
    )
    assert otel_messages.messages([message], []) == [
        {"role": "tool", "content": '{"mg":200}', "tool_call_id": "t-1"},
        {"role": "tool", "content": "none", "tool_call_id": "t-2"},
        {"role": "user", "content": "Go on."},
    ]


@pytest.mark.parametrize(
    ("theirs", "ours"), [("model", "assistant"), ("human", "user"), ("?", "user"), ("developer", "developer")]
)
def test_every_role_becomes_a_known_role(theirs: str, ours: str) -> None:
    assert otel_messages.messages([asked(otel.Text("Hello"), role=theirs)], [])[0]["role"] == ours


def test_thoughts_are_not_content() -> None:
    outputs = [answered(otel.Reasoning("The dose is two."), otel.Text("Two."))]
    assert otel_messages.choices(outputs, 1, (), failed=False) == [{"content": "Two.", "finish_reason": "stop"}]


def test_steps_of_one_response_are_one_choice_with_the_last_reason() -> None:
    outputs = [
        answered(otel.Text("Let me look."), finish_reason="stop"),
        answered(otel.ToolCallRequest({"a": 1}, "f", "t"), finish_reason="tool_call"),
    ]
    (choice,) = otel_messages.choices(outputs, 1, (), failed=False)
    assert choice == {
        "content": "Let me look.",
        "finish_reason": "tool_call",
        "tool_calls": [{"id": "t", "name": "f", "arguments": '{"a":1}'}],
    }


def test_finish_reasons_of_the_provider_take_precedence() -> None:
    outputs = [answered(otel.Text("Two."), finish_reason="length")]
    assert otel_messages.choices(outputs, 1, ("max_tokens",), failed=False)[0]["finish_reason"] == "max_tokens"


def test_without_output_there_is_no_choice() -> None:
    assert otel_messages.choices([], 1, (), failed=True) == []


def test_parts_may_be_mappings() -> None:
    message = {"role": "user", "parts": [{"type": "text", "content": "Hello"}, {"type": "compaction"}]}
    assert otel_messages.messages([message], []) == [{"role": "user", "content": "Hello\n[compaction]"}]
