"""Agents: a model, its tools, and the model again."""

from __future__ import annotations

from typing import Any

import streamgauge
from langchain.agents import create_agent
from langchain_core.messages import (
    HumanMessage,
)
from langchain_core.tools import create_retriever_tool
from langchain_openai import ChatOpenAI
from langchain_sdk.call_styles import FOUND, LEAFLET, Shelf
from servers import openai as server
from servers.local import Reply, Server
from streamgauge.integrations.langchain import StreamgaugeHandler
from streamgauge.testing import Recorder


def dose(weight_kg: int) -> str:
    """Return the dose for a weight."""
    return f"{weight_kg * 10} mg"


def test_an_agent_with_a_tool_makes_two_calls(
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
    assert first["tags"]["chain"] == "doctor > model"


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
    with streamgauge.context("triage", version="v7"):
        stream: Any = agent.astream({"messages": [HumanMessage("?")]}, {"callbacks": [handler]}, stream_mode="messages")
        said = [chunk.text async for chunk, _ in stream if chunk.type == "AIMessageChunk"]
    assert "".join(said) == server.ANSWER
    assert [event["choices"][0]["finish_reason"] for event in recorder.events] == ["tool_calls", "stop"]
    assert all(event["ttft_ms"] > 0 and event["prompt_version"] == "v7" for event in recorder.events)
