"""Case of the contract suite: the Ollama client."""

from __future__ import annotations

import gc
from typing import Any

from contract.case import Case, by_instrument
from ollama import AsyncClient, Client
from ollama_sdk import call_styles as styles
from ollama_sdk.call_styles import CHOICE, MESSAGES
from published import bare
from servers import ollama as api
from servers.local import Reply
from streamgauge.calls import Call
from streamgauge.integrations import _chat_completions, _stream_tap
from streamgauge.integrations import ollama as integration


def opening(**more: Any) -> Reply:
    return Reply.stream(api.lines(api.chat("llama3.3"))[:2], "application/x-ndjson", **more)


def tool_reply(streamed: bool) -> Reply:
    return api.send(api.chat("llama3.3", "", tools=[("dose", {"drug": "B"})]), {"stream": streamed})


def abandon_by_close(client: Client) -> None:
    parts = client.chat("llama3.3", MESSAGES, stream=True)
    next(iter(parts))
    parts.close()  # type: ignore[attr-defined] # it is a generator


def abandon_by_garbage_collection(client: Client) -> None:
    for _ in client.chat("llama3.3", MESSAGES, stream=True):
        break
    gc.collect()


async def abandon_async_by_close(client: AsyncClient) -> None:
    parts = await client.chat("llama3.3", MESSAGES, stream=True)
    await anext(parts)
    await parts.aclose()  # type: ignore[attr-defined] # it is a generator


async def stream_forever(client: AsyncClient, seen: Any) -> None:
    async for _ in await client.chat("llama3.3", MESSAGES, stream=True):
        seen.set()


OLLAMA = Case(
    name="ollama",
    serve=api.serve,
    connect=Client,
    connect_async=AsyncClient,
    instrument=by_instrument(),
    calls=styles.UNARY,
    streams=styles.STREAMS,
    async_calls=styles.ASYNC_UNARY,
    async_streams=styles.ASYNC_STREAMS,
    event=lambda streamed: styles.STREAMED if streamed else styles.EVENT,
    comparable=lambda event, streamed: bare(event, streamed=streamed),
    errors={404: "ResponseError", 429: "ResponseError"},
    error=lambda status: api.error(status, "model 'llama3.3' not found"),
    failing=[*styles.UNARY, *styles.STREAMS],
    opening=opening,
    first_word=[CHOICE | {"content": "Take", "finish_reason": None}],
    first_words=[CHOICE | {"content": "Take two", "finish_reason": None}],
    breaking=[styles.chat_stream],
    tool_reply=tool_reply,
    internals=[
        (_chat_completions, "message"),
        (integration, "_response"),
        (integration, "_settings"),
        (integration.ResponseAccumulator, "add"),
        (Call, "start"),
        (_stream_tap, "publish"),
        (_stream_tap.StreamTap, "abandoned"),
    ],
    abandon=[abandon_by_close, abandon_by_garbage_collection],
    abandon_async=[abandon_async_by_close],
    stream_forever=stream_forever,
    open_stream=lambda client: client.chat("llama3.3", MESSAGES, stream=True),
)
