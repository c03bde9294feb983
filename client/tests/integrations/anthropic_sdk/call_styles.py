"""Styles of requesting a message, and the event of each."""

from __future__ import annotations

from typing import Any

import anthropic
from anthropic import Anthropic, AsyncAnthropic
from published import whole

ASK: dict[str, Any] = {
    "model": "claude-opus-5",
    "max_tokens": 64,
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": [{"role": "user", "content": "How much?"}],
    "stop_sequences": ["END"],
}
USAGE = {
    "input_tokens": 2121,
    "output_tokens": 17,
    "cached_tokens": 2000,
    "cache_creation_tokens": 100,
    "reasoning_tokens": 6,
}
CHOICE = {"content": "Take two tablets.", "finish_reason": "end_turn", "tool_calls": []}
EVENT = whole(
    provider="anthropic",
    request_model="claude-opus-5",
    response_model="claude-opus-5",
    response_id="msg_1",
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}],
    parameters={"max_tokens": 64, "stop_sequences": ["END"]},
    choices=[CHOICE],
    usage=USAGE,
)
STREAMED = EVENT | {"parameters": {"max_tokens": 64, "stop_sequences": ["END"], "stream": True}}


def create(client: Anthropic) -> Any:
    return client.messages.create(**ASK)


def parse(client: Anthropic) -> Any:
    return client.messages.parse(**ASK)


def beta(client: Anthropic) -> Any:
    return client.beta.messages.create(**ASK)


def raw(client: Anthropic) -> Any:
    response = client.messages.with_raw_response.create(**ASK)
    return type(response), response.parse()


def streaming_response(client: Anthropic) -> Any:
    with client.messages.with_streaming_response.create(**ASK) as response:
        return type(response), response.parse()


def stream(client: Anthropic) -> Any:
    events = client.messages.create(**ASK, stream=True)
    first = next(events)
    return type(events), events.response.status_code, [first, *events]


def stream_context(client: Anthropic) -> Any:
    with client.messages.create(**ASK, stream=True) as events:
        return isinstance(events, anthropic.Stream), list(events)


def stream_helper(client: Anthropic) -> Any:
    with client.messages.stream(**ASK) as events:
        return type(events), "".join(events.text_stream), events.get_final_message()


def stream_beta(client: Anthropic) -> Any:
    with client.beta.messages.stream(**ASK) as events:
        return [event.type for event in events], events.get_final_message()


def stream_lines(client: Anthropic) -> Any:
    with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        return list(response.iter_lines())


def stream_raw(client: Anthropic) -> Any:
    return list(client.messages.with_raw_response.create(**ASK, stream=True).parse())


UNARY = [create, parse, beta, raw, streaming_response]
STREAMS = [stream, stream_context, stream_helper, stream_beta, stream_lines, stream_raw]


async def create_async(client: AsyncAnthropic) -> Any:
    return await client.messages.create(**ASK)


async def raw_async(client: AsyncAnthropic) -> Any:
    response = await client.messages.with_raw_response.create(**ASK)
    return type(response), await response.parse()


async def stream_async(client: AsyncAnthropic) -> Any:
    events = await client.messages.create(**ASK, stream=True)
    first = await anext(events)
    return type(events), [first, *[event async for event in events]]


async def stream_helper_async(client: AsyncAnthropic) -> Any:
    async with client.messages.stream(**ASK) as events:
        return type(events), [text async for text in events.text_stream], await events.get_final_message()


async def stream_lines_async(client: AsyncAnthropic) -> Any:
    async with client.messages.with_streaming_response.create(**ASK, stream=True) as response:
        return [line async for line in response.iter_lines()]


ASYNC_UNARY = [create_async, raw_async]
ASYNC_STREAMS = [stream_async, stream_helper_async, stream_lines_async]
