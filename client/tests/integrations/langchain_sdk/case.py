"""Case of the contract suite: LangChain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from contract.case import Case
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import ANSWERED, MODEL, USAGE
from published import bare, whole
from servers import openai as api
from servers.local import Reply
from streamgauge.integrations import langchain_requests, langchain_responses
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder

PROMPT = [SystemMessage("Be brief."), HumanMessage("How much?")]
EVENT = whole(
    provider="openai",
    request_model=MODEL,
    response_model=MODEL,
    system_fingerprint="fp_44709d6fcb",
    messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}],
    parameters={"temperature": 0.25},
    choices=ANSWERED,
    usage=USAGE,
)


@contextmanager
def connect(url: str) -> Iterator[ChatOpenAI]:
    settings: dict[str, Any] = {"model": MODEL, "max_retries": 0, "stream_usage": True, "temperature": 0.25}
    yield ChatOpenAI(base_url=f"{url}/v1", api_key=lambda: "key", **settings)


@asynccontextmanager
async def connect_async(url: str) -> AsyncIterator[ChatOpenAI]:
    with connect(url) as model:
        yield model


@contextmanager
def instrument(model: ChatOpenAI, recorder: Recorder) -> Iterator[Any]:
    handler = StreamgaugeHandler(recorder)
    yield model.model_copy(update={"callbacks": [handler]})
    assert len(handler._runs) == 0, "every run has ended"


def comparable(event: dict[str, Any], streamed: bool) -> dict[str, Any]:
    assert len(event["tags"]["run_id"]) == 36
    return bare(event, streamed=streamed) | {"tags": {}}


def invoke(model: Any) -> Any:
    message = model.invoke(PROMPT)
    return type(message), message.text


def stream(model: Any) -> Any:
    return [chunk.text for chunk in model.stream(PROMPT)]


async def invoke_async(model: Any) -> Any:
    message = await model.ainvoke(PROMPT)
    return type(message), message.text


async def stream_async(model: Any) -> Any:
    return [chunk.text async for chunk in model.astream(PROMPT)]


def opening(**more: Any) -> Reply:
    return Reply.stream(api.chunks(api.completion())[:3], **more)


def tool_reply(streamed: bool) -> Reply:
    choice = api.choice(None, finish_reason="tool_calls", tools=[("t1", "dose", '{"drug": "B"}')])
    return api.chat(api.completion(choice), {"stream": streamed})


def abandon_by_garbage_collection(model: Any) -> None:
    for chunk in model.stream(PROMPT):
        if chunk.text:
            break


async def abandon_async_by_close(model: Any) -> None:
    chunks = model.astream(PROMPT)
    async for chunk in chunks:
        if chunk.text:
            break
    await chunks.aclose()


LANGCHAIN = Case(
    name="langchain",
    serve=api.serve,
    connect=connect,
    connect_async=connect_async,
    instrument=instrument,
    calls=[invoke],
    streams=[stream],
    async_calls=[invoke_async],
    async_streams=[stream_async],
    event=lambda _: EVENT,
    comparable=comparable,
    errors={
        400: "OpenAIInvalidRequestError",
        401: "OpenAIAuthenticationError",
        429: "OpenAIRateLimitError",
        500: "OpenAIAPIError",
    },
    error=api.error,
    failing=[invoke, stream],
    opening=opening,
    first_word=[{"content": "Take", "finish_reason": None}],
    first_words=[{"content": "Take two", "finish_reason": None}],
    breaking=[stream],
    tool_reply=tool_reply,
    internals=[
        (langchain_requests, "request"),
        (langchain_requests, "messages"),
        (langchain_responses, "llm_result"),
        (langchain_responses, "token_text"),
    ],
    abandon=[abandon_by_garbage_collection],
    abandon_async=[abandon_async_by_close],
    own_client=False,
)
