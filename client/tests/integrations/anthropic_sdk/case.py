"""Case of the contract suite: Anthropic's messages."""

from __future__ import annotations

import gc
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from anthropic_sdk import call_styles as messages
from contract.case import Case, by_instrument
from published import bare
from servers import anthropic as api
from servers.local import Reply
from streamgauge.calls import Call
from streamgauge.integrations import _sdk_responses, _sdk_streams, _stream_tap
from streamgauge.integrations import anthropic as integration


def connect(url: str) -> AbstractContextManager[Anthropic]:
    return Anthropic(base_url=url, api_key="key", max_retries=0)


def connect_async(url: str) -> AbstractAsyncContextManager[AsyncAnthropic]:
    return AsyncAnthropic(base_url=url, api_key="key", max_retries=0)


def opening(**more: Any) -> Reply:
    return Reply.stream(api.events(api.message())[:5], **more)


def tool_reply(streamed: bool) -> Reply:
    whole = api.message(api.tool_use("t1", "dose", drug="B"), stop_reason="tool_use")
    return api.send(whole, {"stream": streamed})


def abandon_by_close(client: Anthropic) -> None:
    events = client.messages.create(**messages.ASK, stream=True)
    next(event for event in events if event.type == "content_block_delta")
    events.close()


def abandon_by_helper(client: Anthropic) -> None:
    with client.messages.stream(**messages.ASK) as events:
        next(events.text_stream)


def abandon_by_garbage_collection(client: Anthropic) -> None:
    for event in client.messages.create(**messages.ASK, stream=True):
        if event.type == "content_block_delta":
            break
    gc.collect()


def abandon_unread_lines(client: Anthropic) -> None:
    with client.messages.with_streaming_response.create(**messages.ASK, stream=True) as response:
        next(line for line in response.iter_lines() if "Take" in line)


async def abandon_async_by_close(client: AsyncAnthropic) -> None:
    events = await client.messages.create(**messages.ASK, stream=True)
    async for event in events:
        if event.type == "content_block_delta":
            break
    await events.close()


async def stream_forever(client: AsyncAnthropic, seen: Any) -> None:
    async for event in await client.messages.create(**messages.ASK, stream=True):
        if event.type == "content_block_delta":
            seen.set()


MESSAGES = Case(
    name="anthropic",
    serve=api.serve,
    connect=connect,
    connect_async=connect_async,
    instrument=by_instrument(),
    calls=messages.UNARY,
    streams=messages.STREAMS,
    async_calls=messages.ASYNC_UNARY,
    async_streams=messages.ASYNC_STREAMS,
    event=lambda streamed: messages.STREAMED if streamed else messages.EVENT,
    comparable=lambda event, streamed: bare(event, streamed=streamed),
    errors={
        400: "BadRequestError",
        401: "AuthenticationError",
        429: "RateLimitError",
        500: "InternalServerError",
        529: "OverloadedError",
    },
    error=api.error,
    failing=[messages.create, messages.raw, messages.stream, messages.stream_helper, messages.streaming_response],
    opening=opening,
    first_word=[messages.CHOICE | {"content": "Take", "finish_reason": None}],
    first_words=[messages.CHOICE | {"content": "Take two", "finish_reason": None}],
    breaking=[messages.stream, messages.stream_helper],
    tool_reply=tool_reply,
    internals=[
        (integration, "_usage"),
        (integration.MessageAccumulator, "add"),
        (integration.MessageAccumulator, "result"),
        (Call, "start"),
        (_sdk_responses, "_settle"),
        (_sdk_streams, "_replace_body"),
        (_stream_tap, "publish"),
    ],
    abandon=[abandon_by_close, abandon_by_helper, abandon_by_garbage_collection, abandon_unread_lines],
    abandon_async=[abandon_async_by_close],
    stream_forever=stream_forever,
    open_stream=lambda client: client.messages.create(**messages.ASK, stream=True),
)
