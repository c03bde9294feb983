"""LangChain chains and agents: what the runs around a model tell of its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import streamgauge
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from langchain_openai import ChatOpenAI
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder

LEAFLET = Document("Two tablets a day.", id="d1", metadata={"source": "leaflet.pdf", "score": 0.75})
LETTER = Document("Allergic to nuts.", id="d2")
FOUND = [
    {"id": "d1", "text": "Two tablets a day.", "score": 0.75, "source": "leaflet.pdf"},
    {"id": "d2", "text": "Allergic to nuts.", "score": None, "source": None},
]
NAMES = ("prompt_name", "prompt_version")


class Shelf(BaseRetriever):
    """Finds what it was given."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.documents


class Shelves(BaseRetriever):
    """Asks several retrievers, and returns the first document of each."""

    shelves: list[BaseRetriever]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [shelf.invoke(query, {"callbacks": run_manager.get_child()})[0] for shelf in self.shelves]


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def model(api: Server) -> ChatOpenAI:
    return ChatOpenAI(
        model="gpt-4o-mini", base_url=f"{api.url}/v1", api_key=lambda: "key", max_retries=0, stream_usage=True
    )


@pytest.fixture
def handler(recorder: Recorder) -> Iterator[StreamgaugeHandler]:
    watching = StreamgaugeHandler(recorder)
    yield watching
    assert len(watching._runs) == 0, "each run that began has ended"


def rag(model: ChatOpenAI, *retrievers: BaseRetriever) -> Runnable[Any, str]:
    found: dict[str, Any] = {f"context{n}": retriever for n, retriever in enumerate(retrievers)}
    names = " ".join(f"{{{name}}}" for name in found)
    template = ChatPromptTemplate.from_messages([("system", f"Use {names}"), ("user", "{question}")])
    template.metadata = {"lc_hub_repo": "leaflets", "lc_hub_commit_hash": "9f2c"}
    chain = {**found, "question": RunnablePassthrough()} | template | model | StrOutputParser()
    return chain.with_config(run_name="rag")


def test_the_documents_of_the_retriever_in_the_chain(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    answer = rag(model, Shelf(documents=[LEAFLET, LETTER])).invoke("How many?", {"callbacks": [handler]})
    [event] = recorder.events
    assert answer == server.ANSWER
    assert event["documents"] == FOUND
    assert event["labels"]["chain"] == "rag"
    assert event["labels"]["parent_run_id"]
    assert "tags" not in event["labels"]
    assert event["messages"][1] == {"role": "user", "content": "How many?"}


def test_a_template_from_the_hub_names_the_prompt_unless_the_context_does(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]))
    chain.invoke("?", {"callbacks": [handler]})
    with streamgauge.prompt("triage", version="v7"):
        chain.invoke("?", {"callbacks": [handler]})
        chain.invoke("?", {"callbacks": [handler], "metadata": {"prompt_name": "mine", "prompt_version": "v8"}})
    named = [tuple(event[name] for name in NAMES) for event in recorder.events]
    assert named == [("leaflets", "9f2c"), ("triage", "v7"), ("mine", "v8")]


async def test_streams_of_a_chain_have_its_documents_too(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]))
    assert "".join(chain.stream("?", {"callbacks": [handler]})) == server.ANSWER
    assert "".join([part async for part in chain.astream("?", {"callbacks": [handler]})]) == server.ANSWER
    assert await chain.ainvoke("?", {"callbacks": [handler]}) == server.ANSWER
    events = recorder.events
    assert [event["documents"] for event in events] == [FOUND[:1]] * 3
    assert [event["ttft_ms"] is not None for event in events] == [True, True, False]


def test_runs_of_a_batch_do_not_mix_their_documents(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    class Echo(Shelf):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            return [Document(query)]

    inputs = [f"question {n}" for n in range(8)]
    rag(model, Echo(documents=[])).batch(inputs, {"callbacks": [handler], "max_concurrency": 4})
    pairs = [(event["messages"][1]["content"], event["documents"][0]["text"]) for event in recorder.events]
    assert sorted(pairs) == [(question, question) for question in inputs]


def test_two_retrievers_side_by_side_both_count(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    chain = rag(model, Shelf(documents=[LEAFLET]), Shelf(documents=[LETTER, LEAFLET]))
    chain.invoke("?", {"callbacks": [handler]})
    [event] = recorder.events
    assert sorted(d["id"] for d in event["documents"]) == ["d1", "d2"]


def test_of_a_retriever_made_of_others_only_what_it_returns_counts(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    inner = Shelf(documents=[LEAFLET, LETTER])
    rag(model, Shelves(shelves=[inner, inner])).invoke("?", {"callbacks": [handler]})
    [event] = recorder.events
    assert [d["id"] for d in event["documents"]] == ["d1"]


def test_a_retriever_of_another_chain_is_not_near(
    model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    config: Any = {"callbacks": [handler]}
    Shelf(documents=[LEAFLET]).invoke("?", config)
    model.invoke("?", config)
    assert [event["documents"] for event in recorder.events] == [[]]


def dose(weight_kg: int) -> str:
    """Return the dose for a weight."""
    return f"{weight_kg * 10} mg"


def test_an_agent_asks_twice_and_tells_the_tools_result(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    asked = server.choice(None, finish_reason="tool_calls", tools=[("t1", "dose", '{"weight_kg":20}')])
    api.will(Reply.of(server.completion(asked)))
    agent = create_agent(model, [dose], system_prompt="Be brief.", name="doctor")
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "c-1"}}
    result = agent.invoke({"messages": [HumanMessage("How much?")]}, config)
    first, second = recorder.events
    call = {"id": "t1", "name": "dose", "arguments": '{"weight_kg":20}'}
    assert result["messages"][-1].text == server.ANSWER
    assert first["choices"] == [{"content": "", "finish_reason": "tool_calls", "tool_calls": [call]}]
    assert first["parameters"]["tools"] == ["dose"]
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "tool"]
    assert second["messages"][3] == {"role": "tool", "content": "200 mg", "name": "dose", "tool_call_id": "t1"}
    assert [event["conversation_id"] for event in (first, second)] == ["c-1", "c-1"]
    assert first["labels"]["chain"] == "doctor > model"


def test_a_retriever_as_an_agents_tool(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    asked = server.choice(None, finish_reason="tool_calls", tools=[("t1", "leaflets", '{"query":"dose"}')])
    api.will(Reply.of(server.completion(asked)))
    tool = create_retriever_tool(Shelf(documents=[LEAFLET]), "leaflets", "Finds leaflets.")
    create_agent(model, [tool]).invoke({"messages": [HumanMessage("?")]}, {"callbacks": [handler]})
    assert [event["documents"] for event in recorder.events] == [[], FOUND[:1]]


async def test_an_agent_that_streams(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    asked = server.choice(None, finish_reason="tool_calls", tools=[("t1", "dose", '{"weight_kg":20}')])
    api.will(Reply.stream(server.chunks(server.completion(asked))))
    agent = create_agent(model, [dose])
    with streamgauge.prompt("triage", version="v7"):
        stream: Any = agent.astream({"messages": [HumanMessage("?")]}, {"callbacks": [handler]}, stream_mode="messages")
        said = [chunk.text async for chunk, _ in stream if chunk.type == "AIMessageChunk"]
    assert "".join(said) == server.ANSWER
    assert [event["choices"][0]["finish_reason"] for event in recorder.events] == ["tool_calls", "stop"]
    assert all(event["ttft_ms"] > 0 and event["prompt_version"] == "v7" for event in recorder.events)


def test_a_tool_that_fails_and_a_chain_that_fails_leave_nothing_behind(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    def broken(text: str) -> str:
        raise LookupError(text)

    api.will(server.error(429))
    with pytest.raises(Exception, match="429"):
        rag(model, Shelf(documents=[LEAFLET])).invoke("?", {"callbacks": [handler]})
    with pytest.raises(LookupError):
        (model | StrOutputParser() | RunnableLambda(broken)).invoke("?", {"callbacks": [handler]})
    failed, answered = recorder.events
    assert failed["error"]["status"] == 429
    assert failed["documents"] == FOUND[:1]
    assert "error" not in answered


async def test_a_chain_that_is_cancelled_publishes_its_call(
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


async def test_a_call_in_a_chain_that_takes_too_long_has_the_error_of_the_chain(
    api: Server, model: ChatOpenAI, handler: StreamgaugeHandler, recorder: Recorder
) -> None:
    held = threading.Event()
    api.will(Reply.of(server.completion(), hold=held))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await rag(model, Shelf(documents=[LEAFLET])).ainvoke("?", {"callbacks": [handler]})
    held.set()
    [event] = recorder.events
    assert event["error"]["type"] == "CancelledError"
    assert event["documents"] == FOUND[:1]
