"""Styles of calling Ollama, and the event of each."""

from __future__ import annotations

import inspect
from typing import Any

import ollama
from ollama import AsyncClient, Client
from published import whole
from servers import ollama as api

MESSAGES: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}]
OPTIONS: dict[str, Any] = {"temperature": 0.25, "num_predict": 64}
CHOICE: dict[str, Any] = {"content": api.ANSWER, "finish_reason": "stop", "tool_calls": [], "logprobs": None}
EVENT = whole(
    provider="ollama",
    request_model="llama3.3",
    response_model="llama3.3",
    messages=MESSAGES,
    parameters=OPTIONS,
    choices=[CHOICE],
    usage={"input_tokens": 26, "output_tokens": 9},
)
STREAMED = EVENT | {"parameters": OPTIONS | {"stream": True}}


def chat(client: Client) -> Any:
    return client.chat("llama3.3", MESSAGES, options=OPTIONS)


def generate(client: Client) -> Any:
    return client.generate(model="llama3.3", prompt="How much?", system="Be brief.", options=ollama.Options(**OPTIONS))


def chat_stream(client: Client) -> Any:
    parts = client.chat("llama3.3", MESSAGES, options=OPTIONS, stream=True)
    return type(parts), inspect.isgenerator(parts), [next(parts), *parts]


def generate_stream(client: Client) -> Any:
    return list(client.generate("llama3.3", "How much?", system="Be brief.", options=OPTIONS, stream=True))


UNARY = [chat, generate]
STREAMS = [chat_stream, generate_stream]


async def chat_async(client: AsyncClient) -> Any:
    return await client.chat("llama3.3", MESSAGES, options=OPTIONS)


async def chat_stream_async(client: AsyncClient) -> Any:
    parts = await client.chat("llama3.3", MESSAGES, options=OPTIONS, stream=True)
    return type(parts), inspect.isasyncgen(parts), [part async for part in parts]


async def generate_stream_async(client: AsyncClient) -> Any:
    parts = await client.generate("llama3.3", "How much?", system="Be brief.", options=OPTIONS, stream=True)
    return [part async for part in parts]


ASYNC_UNARY = [chat_async]
ASYNC_STREAMS = [chat_stream_async, generate_stream_async]
