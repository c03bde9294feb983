"""google-genai against a local server of the Gemini API, at Google AI and at Vertex AI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import streamgauge
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from servers import google_genai as server
from servers.local import Reply, Server, unused_url
from streamgauge.integrations import google_genai, google_genai_answers
from streamgauge.testing import Recorder

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
MODEL = "gemini-3.8-flash"
USAGE = {"input_tokens": 33, "output_tokens": 12, "cached_tokens": 16, "reasoning_tokens": 7}


@pytest.fixture
def api() -> Iterator[Server]:
    with server.serve() as running:
        yield running


@pytest.fixture
def client(api: Server, recorder: Recorder) -> genai.Client:
    return streamgauge.watch(gemini(api.url), recorder)


def gemini(url: str) -> genai.Client:
    return genai.Client(api_key="key", http_options=types.HttpOptions(base_url=url))


def vertex(url: str) -> genai.Client:
    options = types.HttpOptions(base_url=url)
    credentials = Credentials(token="token")  # type: ignore[no-untyped-call]
    return genai.Client(vertexai=True, project="p", location="l", credentials=credentials, http_options=options)


def test_an_answer_is_an_event_with_all_its_parts(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(Reply.of(server.response(model="gemini-3.8-flash-001")))
    config = types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.25, max_output_tokens=64)
    response = client.models.generate_content(model=f"models/{MODEL}", contents="How many?", config=config)
    [event] = recorder.events
    assert response.text == server.ANSWER
    assert event["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many?"},
    ]
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "STOP"}]
    assert event["usage"] == USAGE
    assert event["parameters"] == {"temperature": 0.25, "max_output_tokens": 64}
    assert (event["provider"], event["request_model"]) == ("gcp.gemini", MODEL)
    assert (event["response_model"], event["response_id"]) == ("gemini-3.8-flash-001", "resp-1")
    assert event["latency_ms"] > 0
    assert event["ttft_ms"] is None


def test_the_prompt_is_named_by_the_context(client: genai.Client, recorder: Recorder) -> None:
    with streamgauge.prompt("triage", version="v7", conversation_id="c-1", user_id="u-9"):
        client.models.generate_content(model=MODEL, contents="hello")
    [event] = recorder.events
    assert (event["prompt_name"], event["prompt_version"]) == ("triage", "v7")
    assert (event["conversation_id"], event["user_id"]) == ("c-1", "u-9")


def test_a_stream_reaches_the_host_chunk_by_chunk_and_is_one_event(client: genai.Client, recorder: Recorder) -> None:
    stream = client.models.generate_content_stream(model=MODEL, contents="hello")
    texts = [chunk.text for chunk in stream]
    [event] = recorder.events
    assert [text for text in texts if text] == ["Take", " two", " tablets."]
    assert event["choices"] == [{"content": server.ANSWER, "finish_reason": "STOP"}]
    assert event["usage"] == USAGE
    assert 0 < event["ttft_ms"] <= event["latency_ms"]


def test_the_time_to_the_first_token_does_not_wait_for_the_last(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    held = threading.Event()
    api.will(Reply.stream(server.chunks(server.response()), hold=held))
    stream = client.models.generate_content_stream(model=MODEL, contents="hello")
    assert next(stream).text == "Take"
    assert recorder.events == []
    held.set()
    assert list(stream)
    [event] = recorder.events
    assert event["ttft_ms"] < event["latency_ms"]


def test_a_stream_that_the_host_leaves_is_published_as_far_as_it_came(client: genai.Client, recorder: Recorder) -> None:
    stream = client.models.generate_content_stream(model=MODEL, contents="hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined] # it is a generator
    [event] = recorder.events
    assert event["choices"] == [{"content": "Take", "finish_reason": None}]
    assert event["labels"] == {"stream": "abandoned"}
    assert "error" not in event


def test_a_stream_that_is_only_lost_is_published_too(client: genai.Client, recorder: Recorder) -> None:
    for _ in client.models.generate_content_stream(model=MODEL, contents="hello"):
        break
    assert [event["labels"] for event in recorder.events] == [{"stream": "abandoned"}]


async def test_the_async_client_is_watched_with_the_other(client: genai.Client, recorder: Recorder) -> None:
    response = await client.aio.models.generate_content(model=MODEL, contents="hello")
    texts = [
        chunk.text async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents="again")
    ]
    whole, streamed = recorder.events
    assert response.text == "".join(text or "" for text in texts) == server.ANSWER
    assert whole["choices"] == streamed["choices"] == [{"content": server.ANSWER, "finish_reason": "STOP"}]
    assert whole["usage"] == streamed["usage"] == USAGE
    assert (whole["ttft_ms"], streamed["ttft_ms"] > 0) == (None, True)
    await client.aio.aclose()


async def test_an_async_stream_that_the_host_leaves_is_abandoned(client: genai.Client, recorder: Recorder) -> None:
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents="hello")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined] # it is a generator
    assert [event["labels"] for event in recorder.events] == [{"stream": "abandoned"}]
    await client.aio.aclose()


def test_each_turn_of_a_chat_is_an_event_with_the_history(client: genai.Client, recorder: Recorder) -> None:
    chat = client.chats.create(model=MODEL)
    chat.send_message("first")
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("second")) == server.ANSWER
    first, second = recorder.events
    assert [m["content"] for m in first["messages"]] == ["first"]
    assert [(m["role"], m["content"]) for m in second["messages"]] == [
        ("user", "first"),
        ("assistant", server.ANSWER),
        ("user", "second"),
    ]


def test_a_function_that_the_library_runs_makes_two_answers(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    def dose(weight_kg: int) -> str:
        """Return the dose."""
        return f"{weight_kg * 10} mg"

    api.will(Reply.of(server.response(server.candidate(server.function_call("dose", {"weight_kg": 20}, "f1")))))
    response = client.models.generate_content(
        model=MODEL, contents="How much?", config=types.GenerateContentConfig(tools=[dose])
    )
    asked, told = recorder.events
    call = {"id": "f1", "name": "dose", "arguments": '{"weight_kg":20}'}
    assert response.text == server.ANSWER
    assert asked["choices"] == [{"content": "", "finish_reason": "STOP", "tool_calls": [call]}]
    assert asked["parameters"]["tools"] == ["dose"]
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool"]
    assert told["messages"][1]["tool_calls"] == [call]
    assert told["messages"][2] | {"role": "tool", "content": "200 mg", "name": "dose"} == told["messages"][2]


def test_declared_functions_streamed_and_answered_by_the_host(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.stream(server.chunks(server.response(server.candidate(server.function_call("dose", {"kg": 2}))))))
    declared = types.Tool(function_declarations=[types.FunctionDeclaration(name="dose")])
    config = types.GenerateContentConfig(tools=[declared])
    list(client.models.generate_content_stream(model=MODEL, contents="?", config=config))
    history: list[Any] = [
        "?",
        {"role": "model", "parts": [{"function_call": {"name": "dose", "args": {"kg": 2}}}]},
        types.Part.from_function_response(name="dose", response={"mg": 20, "form": "syrup"}),
    ]
    client.models.generate_content(model=MODEL, contents=history)
    asked, told = recorder.events
    assert asked["choices"][0]["tool_calls"] == [{"id": "", "name": "dose", "arguments": '{"kg":2}'}]
    assert asked["parameters"] == {"tools": ["dose"]}
    assert [m["role"] for m in told["messages"]] == ["user", "assistant", "tool"]
    assert told["messages"][2]["content"] == '{"mg":20,"form":"syrup"}'


def test_arguments_that_vertex_streams_piece_by_piece_are_put_together(api: Server, recorder: Recorder) -> None:
    pieces = [
        {"name": "dose", "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.drug", "stringValue": "para"}], "willContinue": True},
        {"partialArgs": [{"jsonPath": "$.drug", "stringValue": "cetamol"}, {"jsonPath": "$.mg", "numberValue": 500}]},
    ]
    parts = [server.candidate({"functionCall": piece}, finish=None) for piece in pieces]
    api.will(Reply.stream([chunk for part in parts for chunk in server.chunks(server.response(part))[:1]]))
    client = google_genai.watch(vertex(api.url), recorder)
    list(client.models.generate_content_stream(model=MODEL, contents="?"))
    [event] = recorder.events
    assert event["choices"][0]["tool_calls"] == [
        {"id": "", "name": "dose", "arguments": '{"drug":"paracetamol","mg":500.0}'}
    ]


def test_all_candidates_and_their_log_probabilities_are_told(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    scored = {"chosenCandidates": [{"token": "A", "logProbability": -0.5}]}
    pair = server.response(
        server.candidate(server.text("A"), logprobsResult=scored),
        server.candidate(server.text("B"), index=1, finish="MAX_TOKENS"),
    )
    api.will(Reply.of(pair), Reply.stream(server.chunks(pair)))
    client.models.generate_content(model=MODEL, contents="?", config={"candidate_count": 2})
    list(client.models.generate_content_stream(model=MODEL, contents="?", config={"candidate_count": 2}))
    whole, streamed = recorder.events
    assert whole["choices"] == [
        {"content": "A", "finish_reason": "STOP", "logprobs": [-0.5]},
        {"content": "B", "finish_reason": "MAX_TOKENS"},
    ]
    assert [c["content"] for c in streamed["choices"]] == ["A", "B"]


def test_thoughts_are_counted_and_not_taken_for_the_answer(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.of(server.response(server.candidate(server.text("Hm.", thought=True), server.text("Two.")))))
    client.models.generate_content(model=MODEL, contents="?", config={"thinking_config": {"include_thoughts": True}})
    [event] = recorder.events
    assert event["choices"][0]["content"] == "Two."
    assert event["usage"]["reasoning_tokens"] == 7


def test_what_is_no_text_leaves_a_marker(client: genai.Client, recorder: Recorder) -> None:
    image = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    paper = types.Part.from_uri(file_uri="gs://papers/1.pdf", mime_type="application/pdf")
    client.models.generate_content(model=MODEL, contents=["What is this?", image, paper])
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "What is this?\n[image]\n[application]"}]


def test_a_blocked_prompt_is_no_error_and_has_the_filters_verdict(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.of(server.blocked("PROHIBITED_CONTENT")), Reply.stream(server.chunks(server.blocked())))
    client.models.generate_content(model=MODEL, contents="?")
    list(client.models.generate_content_stream(model=MODEL, contents="?"))
    whole, streamed = recorder.events
    assert whole["choices"] == streamed["choices"] == []
    verdict = {"name": "gemini-safety", "verdict": "block", "mode": "pre", "provider": "google"}
    assert whole["guardrails"] == [{**verdict, "categories": ["PROHIBITED_CONTENT"]}]
    assert streamed["guardrails"] == [{**verdict, "categories": ["SAFETY"]}]
    assert "error" not in whole
    assert streamed["labels"] == {}


def test_an_answer_cut_by_a_filter_says_so(api: Server, client: genai.Client, recorder: Recorder) -> None:
    rating = {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}
    api.will(Reply.of(server.response(server.candidate(finish="SAFETY", safetyRatings=[rating]))))
    client.models.generate_content(model=MODEL, contents="?")
    [event] = recorder.events
    assert event["choices"] == [{"content": "", "finish_reason": "SAFETY"}]
    assert event["guardrails"][0]["mode"] == "post"
    assert event["guardrails"][0]["categories"] == ["SAFETY", "HARM_CATEGORY_DANGEROUS_CONTENT"]


def test_passages_that_the_provider_retrieved_are_documents(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    context = {"title": "leaflet", "text": "Two tablets a day.", "uri": "gs://leaflets/1"}
    grounding = {"groundingChunks": [{"retrievedContext": context}, {"web": {"title": "w", "uri": "https://w"}}]}
    api.will(Reply.of(server.response(server.candidate(server.text("Two."), groundingMetadata=grounding))))
    with streamgauge.prompt("triage", documents=[{"id": "d0", "text": "given"}]):
        client.models.generate_content(model=MODEL, contents="?")
    [event] = recorder.events
    assert [d["text"] for d in event["documents"]] == ["given", "Two tablets a day."]
    assert event["documents"][1] == {"id": "leaflet", "text": "Two tablets a day.", "source": "gs://leaflets/1"}


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_the_host_gets_the_librarys_error_and_the_event_has_it(
    api: Server, client: genai.Client, recorder: Recorder, status: int
) -> None:
    api.will(server.error(status), server.error(status))
    with pytest.raises(errors.APIError) as plain:
        client.models.generate_content(model=MODEL, contents="?")
    with pytest.raises(errors.APIError):
        list(client.models.generate_content_stream(model=MODEL, contents="?"))
    assert plain.value.code == status
    for event in recorder.events:
        assert (event["error"]["type"], event["error"]["status"]) == (type(plain.value).__name__, status)
        assert event["messages"] == [{"role": "user", "content": "?"}]


async def test_an_error_of_the_async_client(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(server.error(429), server.error(429))
    with pytest.raises(errors.ClientError):
        await client.aio.models.generate_content(model=MODEL, contents="?")
    with pytest.raises(errors.ClientError):
        async for _ in await client.aio.models.generate_content_stream(model=MODEL, contents="?"):
            pass
    assert [event["error"]["status"] for event in recorder.events] == [429, 429]
    await client.aio.aclose()


def test_a_connection_that_breaks_leaves_the_part_that_came_and_the_error(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    api.will(Reply.stream(server.chunks(server.response())[:2], cut=True))
    with pytest.raises(Exception, match="peer closed") as raised:
        list(client.models.generate_content_stream(model=MODEL, contents="?"))
    [event] = recorder.events
    assert event["choices"][0]["content"] == "Take two"
    assert event["error"]["type"] == type(raised.value).__name__


def test_nobody_listening_is_the_hosts_error_too(recorder: Recorder) -> None:
    client = google_genai.watch(gemini(unused_url()), recorder)
    with pytest.raises(Exception, match="refused"):
        client.models.generate_content(model=MODEL, contents="?")
    assert [event["error"]["type"] for event in recorder.events] == ["ConnectError"]


def test_vertex_ai_is_told_from_google_ai(api: Server, recorder: Recorder) -> None:
    client = google_genai.watch(vertex(api.url), recorder)
    client.models.generate_content(model=MODEL, contents="?")
    assert "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents="?"))
    assert "/projects/p/locations/l/publishers/google/models/" in api.requests[0].path
    assert [(e["provider"], e["request_model"]) for e in recorder.events] == [("gcp.vertex_ai", MODEL)] * 2
    assert [e["usage"] for e in recorder.events] == [USAGE] * 2


def test_watching_twice_is_watching_once_and_only_this_client(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    assert streamgauge.watch(client, recorder) is client
    client.models.generate_content(model=MODEL, contents="?")
    other = gemini(api.url)
    other.models.generate_content(model=MODEL, contents="?")
    assert len(recorder.events) == 1


def test_an_error_of_ours_never_reaches_the_host(
    client: genai.Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = recorder.stats.integration_errors
    for name in ("messages", "parameters"):
        monkeypatch.setattr(google_genai, name, _broken)
    monkeypatch.setattr(google_genai_answers.Answer, "add", _broken)
    assert client.models.generate_content(model=MODEL, contents="?").text == server.ANSWER
    stream = client.models.generate_content_stream(model=MODEL, contents="?")
    assert "".join(chunk.text or "" for chunk in stream) == server.ANSWER
    assert [event["request_model"] for event in recorder.events] == [MODEL, MODEL]
    assert recorder.stats.integration_errors >= before + 8


def _broken(*_: object, **__: object) -> None:
    raise RuntimeError("ours")
