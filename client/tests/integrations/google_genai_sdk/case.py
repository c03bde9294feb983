"""Case of the contract suite: the google-genai SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from contract.case import Case, by_instrument
from google import genai
from google_genai_sdk.call_styles import MODEL, USAGE, gemini
from published import bare, whole
from servers import google_genai as api
from servers.local import Reply
from streamgauge.integrations import google_genai, google_genai_responses

CONFIG: dict[str, Any] = {"system_instruction": "Be brief.", "temperature": 0.25}
ASK: dict[str, Any] = {"model": MODEL, "contents": "How much?", "config": CONFIG}
CHOICE: dict[str, Any] = {"content": api.ANSWER, "finish_reason": "STOP"}
EVENT = whole(
    provider="gcp.gemini",
    request_model=MODEL,
    response_model=MODEL,
    response_id="resp-1",
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}],
    parameters={"temperature": 0.25},
    choices=[CHOICE],
    usage=USAGE,
)


@contextmanager
def connect(url: str) -> Iterator[genai.Client]:
    yield gemini(url)


@asynccontextmanager
async def connect_async(url: str) -> AsyncIterator[genai.Client]:
    client = gemini(url)
    yield client
    await client.aio.aclose()


def generate(client: genai.Client) -> Any:
    response = client.models.generate_content(**ASK)
    return type(response), response.text


def stream(client: genai.Client) -> Any:
    chunks = client.models.generate_content_stream(**ASK)
    return type(chunks), [chunk.text for chunk in chunks]


async def generate_async(client: genai.Client) -> Any:
    response = await client.aio.models.generate_content(**ASK)
    return type(response), response.text


async def stream_async(client: genai.Client) -> Any:
    chunks = await client.aio.models.generate_content_stream(**ASK)
    return type(chunks), [chunk.text async for chunk in chunks]


def opening(**more: Any) -> Reply:
    return Reply.stream(api.chunks(api.response())[:2], **more)


def tool_reply(streamed: bool) -> Reply:
    response = api.response(api.candidate(api.function_call("dose", {"drug": "B"}, "t1")))
    return Reply.stream(api.chunks(response)) if streamed else Reply.of(response)


def abandon_by_close(client: genai.Client) -> None:
    chunks = client.models.generate_content_stream(**ASK)
    next(chunks)
    chunks.close()  # type: ignore[attr-defined] # it is a generator


def abandon_by_garbage_collection(client: genai.Client) -> None:
    for _ in client.models.generate_content_stream(**ASK):
        break


async def abandon_async_by_close(client: genai.Client) -> None:
    chunks = await client.aio.models.generate_content_stream(**ASK)
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined] # it is a generator


GEMINI = Case(
    name="google-genai",
    serve=api.serve,
    connect=connect,
    connect_async=connect_async,
    instrument=by_instrument(),
    calls=[generate],
    streams=[stream],
    async_calls=[generate_async],
    async_streams=[stream_async],
    event=lambda _: EVENT,
    comparable=lambda event, streamed: bare(event, streamed=streamed),
    errors={400: "ClientError", 403: "ClientError", 429: "ClientError", 500: "ServerError"},
    error=api.error,
    failing=[generate, stream],
    opening=opening,
    first_word=[CHOICE | {"content": "Take", "finish_reason": None}],
    first_words=[CHOICE | {"content": "Take two", "finish_reason": None}],
    breaking=[stream],
    tool_reply=tool_reply,
    internals=[
        (google_genai, "messages"),
        (google_genai, "parameters"),
        (google_genai_responses.ResponseAccumulator, "add"),
    ],
    abandon=[abandon_by_close, abandon_by_garbage_collection],
    abandon_async=[abandon_async_by_close],
    marks=[pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")],
)
