"""Cases of the contract suite: OpenAI's chat completions and responses."""

from __future__ import annotations

import gc
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

import pytest
from contract.case import Case, by_instrument
from openai import AsyncOpenAI, OpenAI
from openai_sdk import call_styles as chat
from openai_sdk import response_styles as responses
from published import bare
from servers import openai as api
from servers import openai_responses as responses_api
from servers.local import Reply
from streamgauge.calls import Call
from streamgauge.integrations import _chat_completions, _sdk, _sdk_responses, _sdk_streams, _stream_tap
from streamgauge.testing import Recorder

ERRORS = {400: "BadRequestError", 401: "AuthenticationError", 429: "RateLimitError", 500: "InternalServerError"}
SHARED_INTERNALS = (
    (_sdk, "_context_fallbacks"),
    (Call, "start"),
    (_sdk_responses, "_settle"),
    (_sdk_streams, "_replace_body"),
    (_stream_tap, "publish"),
    (_stream_tap, "accumulate_body"),
    (Recorder, "_enqueue"),
)


def connect(url: str) -> AbstractContextManager[OpenAI]:
    return OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)


def connect_async(url: str) -> AbstractAsyncContextManager[AsyncOpenAI]:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)


def comparable(event: dict[str, Any], streamed: bool) -> dict[str, Any]:
    return bare(event, streamed=streamed)


def abandon_by_close(client: OpenAI) -> None:
    chunks = client.chat.completions.create(**chat.ASK, **chat.COUNTED)
    next(chunks), next(chunks)
    chunks.close()


def abandon_by_context(client: OpenAI) -> None:
    with client.chat.completions.create(**chat.ASK, **chat.COUNTED) as chunks:
        next(chunks), next(chunks)


def abandon_by_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(**chat.ASK) as events:
        next(event for event in events if event.type == "content.delta" and event.delta)


def abandon_by_garbage_collection(client: OpenAI) -> None:
    for chunk in client.chat.completions.create(**chat.ASK, **chat.COUNTED):
        if chunk.choices[0].delta.content:
            break
    gc.collect()


def abandon_by_an_error_of_the_host(client: OpenAI) -> None:
    with pytest.raises(ZeroDivisionError), client.chat.completions.create(**chat.ASK, **chat.COUNTED) as chunks:
        1 / (next(chunks) is next(chunks))


def abandon_unread_lines(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(**chat.ASK, **chat.COUNTED) as response:
        next(line for line in response.iter_lines() if "Take" in line)


async def abandon_async_by_close(client: AsyncOpenAI) -> None:
    chunks = await client.chat.completions.create(**chat.ASK, **chat.COUNTED)
    await anext(chunks), await anext(chunks)
    await chunks.close()


async def stream_forever(client: AsyncOpenAI, seen: Any) -> None:
    async for chunk in await client.chat.completions.create(**chat.ASK, **chat.COUNTED):
        if chunk.choices[0].delta.content:
            seen.set()


def chat_opening(**more: Any) -> Reply:
    return Reply.stream(api.chunks(api.completion())[:3], **more)


def chat_tool_reply(streamed: bool) -> Reply:
    choice = api.choice(None, finish_reason="tool_calls", tools=[("t1", "dose", '{"drug": "B"}')])
    return api.chat(api.completion(choice), {"stream": streamed})


CHAT_COMPLETIONS = Case(
    name="openai",
    serve=api.serve,
    connect=connect,
    connect_async=connect_async,
    instrument=by_instrument(provider="openai"),
    calls=chat.UNARY,
    streams=chat.STREAMS,
    async_calls=chat.ASYNC_UNARY,
    async_streams=chat.ASYNC_STREAMS,
    event=lambda streamed: chat.STREAMED if streamed else chat.EVENT,
    comparable=comparable,
    errors=ERRORS,
    error=api.error,
    failing=[chat.create, chat.parse, chat.raw, chat.stream, chat.stream_helper, chat.streaming_response],
    opening=chat_opening,
    first_word=[chat.CHOICE | {"content": "Take", "finish_reason": None}],
    first_words=[chat.CHOICE | {"content": "Take two", "finish_reason": None}],
    breaking=[chat.stream, chat.stream_helper, chat.stream_lines],
    tool_reply=chat_tool_reply,
    internals=[
        (_chat_completions, "tool_calls"),
        (_chat_completions.ChatAccumulator, "add"),
        (_chat_completions.ChatAccumulator, "result"),
        *SHARED_INTERNALS,
    ],
    abandon=[
        abandon_by_close,
        abandon_by_context,
        abandon_by_helper,
        abandon_by_garbage_collection,
        abandon_by_an_error_of_the_host,
        abandon_unread_lines,
    ],
    abandon_async=[abandon_async_by_close],
    stream_forever=stream_forever,
    open_stream=lambda client: client.chat.completions.create(**chat.ASK, stream=True),
)


def abandon_response_by_helper(client: OpenAI) -> None:
    with client.responses.stream(**responses.ASK) as events:
        next(event for event in events if event.type == "response.output_text.delta")


def responses_tool_reply(streamed: bool) -> Reply:
    whole = responses_api.response(responses_api.function_call("t1", "dose", '{"drug": "B"}'))
    return Reply.stream(responses_api.response_events(whole)) if streamed else Reply.of(whole)


def responses_opening(**more: Any) -> Reply:
    return Reply.stream(responses_api.response_events(responses_api.response())[:8], **more)


RESPONSES = Case(
    name="openai-responses",
    serve=api.serve,
    connect=connect,
    connect_async=connect_async,
    instrument=by_instrument(provider="openai"),
    calls=responses.UNARY,
    streams=responses.STREAMS,
    async_calls=responses.ASYNC_UNARY,
    async_streams=responses.ASYNC_STREAMS,
    event=lambda streamed: responses.STREAMED if streamed else responses.EVENT,
    comparable=comparable,
    errors=ERRORS,
    error=api.error,
    failing=[responses.create, responses.stream],
    opening=responses_opening,
    first_word=[responses.CHOICE | {"content": "Take", "finish_reason": None}],
    first_words=[responses.CHOICE | {"content": "Take two", "finish_reason": None}],
    breaking=[responses.stream, responses.stream_lines],
    tool_reply=responses_tool_reply,
    internals=SHARED_INTERNALS,
    abandon=[abandon_response_by_helper],
    open_stream=lambda client: client.responses.create(**responses.ASK, stream=True),
)
