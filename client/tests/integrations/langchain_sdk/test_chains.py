"""Retrievers and templates around a model."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import openai
import pytest
import streamgauge
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import FOUND, LEAFLET, LETTER, Shelf, Shelves, rag
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder

NAMES = ("prompt_name", "prompt_version")


def test_documents_of_the_retriever_are_published(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    answer = rag(model, Shelf(documents=[LEAFLET, LETTER])).invoke("How many?", {"callbacks": [handler]})
    [event] = recorder.events
    assert answer == server.ANSWER
    assert event["documents"] == FOUND
    assert event["tags"]["chain"] == "rag"
    assert event["tags"]["parent_run_id"]
    assert "tags" not in event["tags"]
    assert event["messages"][1] == {"role": "user", "content": "How many?"}


def test_a_template_from_the_hub_names_the_prompt_unless_the_context_does(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]))
    chain.invoke("?", {"callbacks": [handler]})
    with streamgauge.context("triage", version="v7"):
        chain.invoke("?", {"callbacks": [handler]})
        chain.invoke("?", {"callbacks": [handler], "metadata": {"prompt_name": "mine", "prompt_version": "v8"}})
    named = [tuple(event[name] for name in NAMES) for event in recorder.events]
    assert named == [("leaflets", "9f2c"), ("triage", "v7"), ("mine", "v8")]


async def test_streams_have_the_documents_of_their_chain(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]))
    assert "".join(chain.stream("?", {"callbacks": [handler]})) == server.ANSWER
    assert "".join([part async for part in chain.astream("?", {"callbacks": [handler]})]) == server.ANSWER
    assert await chain.ainvoke("?", {"callbacks": [handler]}) == server.ANSWER
    events = recorder.events
    assert [event["documents"] for event in events] == [FOUND[:1]] * 3
    assert [event["ttft_ms"] is not None for event in events] == [True, True, False]


def test_runs_of_a_batch_have_separate_documents(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    class Echo(Shelf):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            return [Document(query)]

    inputs = [f"question {n}" for n in range(8)]
    rag(model, Echo(documents=[])).batch(inputs, {"callbacks": [handler], "max_concurrency": 4})
    pairs = [(event["messages"][1]["content"], event["documents"][0]["text"]) for event in recorder.events]
    assert sorted(pairs) == [(question, question) for question in inputs]


def test_documents_of_parallel_retrievers_are_joined(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]), Shelf(documents=[LETTER, LEAFLET]))
    chain.invoke("?", {"callbacks": [handler]})
    [event] = recorder.events
    assert sorted(d["id"] for d in event["documents"]) == ["d1", "d2"]


def test_only_the_result_of_a_composite_retriever_counts(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    inner = Shelf(documents=[LEAFLET, LETTER])
    rag(model, Shelves(shelves=[inner, inner])).invoke("?", {"callbacks": [handler]})
    [event] = recorder.events
    assert [d["id"] for d in event["documents"]] == ["d1"]


def test_documents_of_another_chain_are_not_published(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    config: Any = {"callbacks": [handler]}
    Shelf(documents=[LEAFLET]).invoke("?", config)
    model.invoke("?", config)
    assert [event["documents"] for event in recorder.events] == [[]]


def test_failed_runs_are_removed(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    api.will(server.error(429))
    with pytest.raises(openai.RateLimitError):
        rag(model, Shelf(documents=[LEAFLET])).invoke("?", {"callbacks": [handler]})
    with pytest.raises(LookupError):
        (model | StrOutputParser() | RunnableLambda(broken)).invoke("?", {"callbacks": [handler]})
    failed, answered = recorder.events
    assert failed["error"]["status"] == 429
    assert failed["documents"] == FOUND[:1]
    assert "error" not in answered


async def test_a_cancelled_chain_publishes_its_call(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    held = threading.Event()
    api.will(Reply.of(server.completion(), hold=held))
    task = asyncio.create_task((model | StrOutputParser()).ainvoke("?", {"callbacks": [handler]}))
    await asyncio.to_thread(api.wait_for, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    held.set()
    await asyncio.sleep(0)
    assert [event["error"]["type"] for event in recorder.events] == ["CancelledError"]


async def test_a_call_in_a_timed_out_chain_has_the_error_of_the_chain(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    async def expire(limit: asyncio.Timeout) -> None:
        await asyncio.to_thread(api.wait_for, 1)
        limit.reschedule(0)

    async def call() -> None:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as tasks:
            tasks.create_task(expire(limit))
            await rag(model, Shelf(documents=[LEAFLET])).ainvoke("?", {"callbacks": [handler]})

    held = threading.Event()
    api.will(Reply.of(server.completion(), hold=held))
    with pytest.raises(TimeoutError):
        await call()
    held.set()
    [event] = recorder.events
    assert event["error"]["type"] == "CancelledError"
    assert event["documents"] == FOUND[:1]
