"""Styles of requesting a response of the Responses API, and the event of each."""

from __future__ import annotations

from typing import Any

from openai import AsyncOpenAI, OpenAI
from published import whole

ASK: dict[str, Any] = {
    "model": "gpt-5.2",
    "instructions": "Be brief.",
    "input": "How much?",
    "reasoning": {"effort": "high"},
}
USAGE = {"input_tokens": 40, "output_tokens": 25, "cached_tokens": 16, "reasoning_tokens": 18}
CHOICE: dict[str, Any] = {
    "content": "Take two tablets.",
    "finish_reason": "completed",
    "tool_calls": [],
    "logprobs": None,
}
EVENT = whole(
    provider="openai",
    request_model="gpt-5.2",
    response_model="gpt-5.2",
    response_id="resp_1",
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}],
    parameters={"reasoning": {"effort": "high"}},
    choices=[CHOICE],
    usage=USAGE,
)
STREAMED = EVENT | {"parameters": {"reasoning": {"effort": "high"}, "stream": True}}


def create(client: OpenAI) -> Any:
    return client.responses.create(**ASK)


def parse(client: OpenAI) -> Any:
    return client.responses.parse(**ASK)


def raw(client: OpenAI) -> Any:
    response = client.responses.with_raw_response.create(**ASK)
    return type(response), response.text, response.parse()


def streaming_response(client: OpenAI) -> Any:
    with client.responses.with_streaming_response.create(**ASK) as response:
        return type(response), response.parse()


def stream(client: OpenAI) -> Any:
    events = client.responses.create(**ASK, stream=True)
    return type(events), list(events)


def stream_helper(client: OpenAI) -> Any:
    with client.responses.stream(**ASK) as events:
        return type(events), [event.type for event in events], events.get_final_response()


def stream_lines(client: OpenAI) -> Any:
    with client.responses.with_streaming_response.create(**ASK, stream=True) as response:
        return list(response.iter_lines())


UNARY = [create, parse, raw, streaming_response]
STREAMS = [stream, stream_helper, stream_lines]


async def create_async(client: AsyncOpenAI) -> Any:
    return await client.responses.create(**ASK)


async def stream_async(client: AsyncOpenAI) -> Any:
    return [event async for event in await client.responses.create(**ASK, stream=True)]


async def stream_helper_async(client: AsyncOpenAI) -> Any:
    async with client.responses.stream(**ASK) as events:
        return [event.type async for event in events], await events.get_final_response()


ASYNC_UNARY = [create_async]
ASYNC_STREAMS = [stream_async, stream_helper_async]
