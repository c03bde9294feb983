"""Styles of requesting a chat completion, and the event of each."""

from __future__ import annotations

from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI
from published import whole
from servers import openai as api

MESSAGES: list[Any] = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "How much?"}]
ASK: dict[str, Any] = {"model": "gpt-5.2", "messages": MESSAGES, "temperature": 0.2}
COUNTED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
CHOICE: dict[str, Any] = {"content": api.ANSWER, "finish_reason": "stop", "tool_calls": [], "logprobs": None}
EVENT = whole(
    provider="openai",
    request_model="gpt-5.2",
    response_model="gpt-5.2",
    response_id="chatcmpl-1",
    system_fingerprint="fp_44709d6fcb",
    messages=MESSAGES,
    parameters={"temperature": 0.2},
    choices=[CHOICE],
    usage=USAGE,
)
STREAMED = EVENT | {"parameters": {"temperature": 0.2} | COUNTED}


def create(client: OpenAI) -> Any:
    return client.chat.completions.create(**ASK)


def parse(client: OpenAI) -> Any:
    return client.chat.completions.parse(**ASK)


def raw(client: OpenAI) -> Any:
    response = client.chat.completions.with_raw_response.create(**ASK)
    return type(response), response.text, response.parse()


def streaming_response(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        return type(response), response.parse()


def streaming_response_bytes(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**ASK) as response:
        return b"".join(response.iter_bytes())


def stream(client: OpenAI) -> Any:
    chunks = client.chat.completions.create(**ASK, **COUNTED)
    first = next(chunks)
    return type(chunks), chunks.response.status_code, [first, *chunks]


def stream_context(client: OpenAI) -> Any:
    with client.chat.completions.create(**ASK, **COUNTED) as chunks:
        return isinstance(chunks, openai.Stream), list(chunks)


def stream_helper(client: OpenAI) -> Any:
    with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as events:
        return type(events), [event.type for event in events], events.get_final_completion()


def stream_raw(client: OpenAI) -> Any:
    return list(client.chat.completions.with_raw_response.create(**ASK, **COUNTED).parse())


def stream_lines(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**ASK, **COUNTED) as response:
        return list(response.iter_lines())


def stream_parsed(client: OpenAI) -> Any:
    with client.chat.completions.with_streaming_response.create(**ASK, **COUNTED) as response:
        return list(response.parse())


UNARY = [create, parse, raw, streaming_response, streaming_response_bytes]
STREAMS = [stream, stream_context, stream_helper, stream_raw, stream_lines, stream_parsed]


async def create_async(client: AsyncOpenAI) -> Any:
    return await client.chat.completions.create(**ASK)


async def parse_async(client: AsyncOpenAI) -> Any:
    return await client.chat.completions.parse(**ASK)


async def raw_async(client: AsyncOpenAI) -> Any:
    response = await client.chat.completions.with_raw_response.create(**ASK)
    return type(response), response.text, response.parse()


async def streaming_response_async(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.with_streaming_response.create(**ASK) as response:
        return type(response), await response.parse()


async def stream_async(client: AsyncOpenAI) -> Any:
    chunks = await client.chat.completions.create(**ASK, **COUNTED)
    first = await anext(chunks)
    return type(chunks), chunks.response.status_code, [first, *[chunk async for chunk in chunks]]


async def stream_context_async(client: AsyncOpenAI) -> Any:
    async with await client.chat.completions.create(**ASK, **COUNTED) as chunks:
        return isinstance(chunks, openai.AsyncStream), [chunk async for chunk in chunks]


async def stream_helper_async(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as events:
        return type(events), [event.type async for event in events], await events.get_final_completion()


async def stream_raw_async(client: AsyncOpenAI) -> Any:
    response = await client.chat.completions.with_raw_response.create(**ASK, **COUNTED)
    return [chunk async for chunk in response.parse()]


async def stream_lines_async(client: AsyncOpenAI) -> Any:
    async with client.chat.completions.with_streaming_response.create(**ASK, **COUNTED) as response:
        return [line async for line in response.iter_lines()]


ASYNC_UNARY = [create_async, parse_async, raw_async, streaming_response_async]
ASYNC_STREAMS = [stream_async, stream_context_async, stream_helper_async, stream_raw_async, stream_lines_async]
