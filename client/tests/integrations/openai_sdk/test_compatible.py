"""Servers with their own variant of OpenAI's protocol: vLLM, Ollama's /v1 and llama.cpp with LLaMA models."""

from __future__ import annotations

from typing import Any

import pytest
import streamgauge
from openai import OpenAI
from openai_sdk.call_styles import MESSAGES
from published import bare, only, whole
from servers.local import Reply, Server
from servers.sse import event as sse
from streamgauge.testing import Recorder

SPEC: dict[str, Any] = {"conversation_id": None, "user_id": None, "prompt_name": "", "prompt_version": ""}
NO_DETAILS = {"prompt_tokens": 21, "completion_tokens": 6, "total_tokens": 27}
USAGE = {"input_tokens": 21, "output_tokens": 6, "cached_tokens": 0, "reasoning_tokens": 0}


def instrumented(server: Server, published: Recorder, provider: str) -> OpenAI:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    return streamgauge.instrument(client, published, provider=provider)


def event(provider: str, model: str, **more: Any) -> dict[str, Any]:
    return whole(**SPEC, provider=provider, request_model=model, response_model=model, messages=MESSAGES) | more


def test_vllm_with_its_own_parameters_and_reasoning(server: Server, published: Recorder) -> None:
    model = "meta-llama/Llama-3.3-70B-Instruct"
    said = {"role": "assistant", "content": "Two.", "reasoning_content": "The leaflet says two.", "tool_calls": []}
    scored = {"content": [{"token": "Two", "logprob": -0.125}, {"token": ".", "logprob": -9999.0}]}
    answer = {"index": 0, "message": said, "logprobs": scored, "finish_reason": "stop", "stop_reason": None}
    body = {"id": "chatcmpl-v", "object": "chat.completion", "created": 1, "model": model, "choices": [answer]}
    server.will(Reply.of({**body, "usage": NO_DETAILS, "prompt_logprobs": None, "kv_transfer_params": None}))
    with instrumented(server, published, "vllm") as client:
        extra = {"top_k": 20, "repetition_penalty": 1.05, "guided_json": {"type": "object", "title": "x" * 200}}
        client.chat.completions.create(model=model, messages=MESSAGES, max_tokens=64, extra_body=extra)
    choice = {"content": "Two.", "finish_reason": "stop", "tool_calls": [], "logprobs": [-0.125, -9999.0]}
    assert bare(only(published)) == event(
        "vllm",
        model,
        response_id="chatcmpl-v",
        parameters={"max_tokens": 64, "top_k": 20, "repetition_penalty": 1.05, "guided_json": {"type": "object"}},
        choices=[choice],
        usage=USAGE,
    )


def test_vllm_streams_reasoning_and_continuous_usage(server: Server, published: Recorder) -> None:
    def chunk(delta: dict[str, Any], done: int, reason: str | None = None) -> bytes:
        one = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"prompt_tokens": 21, "completion_tokens": done, "total_tokens": 21 + done}
        base = {"id": "chatcmpl-v", "object": "chat.completion.chunk", "created": 1, "model": "llama"}
        return sse({**base, "choices": [one], "usage": usage})

    said = [chunk({"role": "assistant", "content": ""}, 0), chunk({"reasoning_content": "Hm."}, 2)]
    said += [chunk({"content": "Two."}, 5), chunk({"content": ""}, 6, "stop"), b"data: [DONE]\n\n"]
    server.will(Reply.stream(said))
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    with instrumented(server, published, "vllm") as client:
        list(client.chat.completions.create(model="llama", messages=MESSAGES, stream=True, stream_options=options))
    choice: dict[str, Any] = {"content": "Two.", "finish_reason": "stop", "tool_calls": [], "logprobs": None}
    assert bare(only(published), streamed=True) == event(
        "vllm",
        "llama",
        response_id="chatcmpl-v",
        parameters={"stream": True, "stream_options": options},
        choices=[choice],
        usage=USAGE,
    )


def test_ollama_streams_a_whole_tool_call_in_one_chunk(server: Server, published: Recorder) -> None:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "llama3.3"}
    call = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "dose", "arguments": '{"drug":"A"}'}}
    first = {"index": 0, "delta": {"role": "assistant", "content": "", "tool_calls": [call]}, "finish_reason": None}
    last = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "tool_calls"}
    chunks = [sse({**base, "system_fingerprint": "fp_ollama", "choices": [one]}) for one in (first, last)]
    server.will(Reply.stream([*chunks, b"data: [DONE]\n\n"]))
    with instrumented(server, published, "ollama") as client:
        list(client.chat.completions.create(model="llama3.3", messages=MESSAGES, stream=True))
    calls = [{"id": "call_1", "name": "dose", "arguments": '{"drug":"A"}'}]
    assert bare(only(published), streamed=True) == event(
        "ollama",
        "llama3.3",
        response_id="chatcmpl-1",
        system_fingerprint="fp_ollama",
        parameters={"stream": True},
        choices=[{"content": "", "finish_reason": "tool_calls", "tool_calls": calls, "logprobs": None}],
        usage=None,
    )


@pytest.mark.parametrize(
    "wrong", [{"choices": None}, {"choices": [{"message": None}]}, {"usage": {"prompt_tokens": -1}}]
)
def test_a_response_that_violates_the_protocol_is_published(
    server: Server, published: Recorder, wrong: dict[str, Any]
) -> None:
    answer = {"index": 0, "message": {"role": "assistant", "content": "Two."}, "finish_reason": "stop"}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "llama", "choices": [answer]}
    server.will(Reply.of({**body, "timings": {"predicted_n": 6}, **wrong}))
    with instrumented(server, published, "llama.cpp") as client:
        client.chat.completions.create(model="llama", messages=MESSAGES)
    assert only(published)["response_model"] == "llama"
