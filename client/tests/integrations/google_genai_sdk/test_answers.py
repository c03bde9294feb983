"""Conversion of Gemini's responses."""

from __future__ import annotations

import streamgauge
from google import genai
from google.genai import types
from google_genai_sdk.call_styles import MODEL, USAGE, vertex
from servers import google_genai as server
from servers.local import Reply, Server
from streamgauge.integrations import google_genai
from streamgauge.testing import Recorder


def test_a_response_is_one_complete_event(api: Server, client: genai.Client, recorder: Recorder) -> None:
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


def test_all_candidates_and_their_log_probabilities_are_published(
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


def test_thoughts_are_counted_but_are_not_content(api: Server, client: genai.Client, recorder: Recorder) -> None:
    api.will(Reply.of(server.response(server.candidate(server.text("Hm.", thought=True), server.text("Two.")))))
    client.models.generate_content(model=MODEL, contents="?", config={"thinking_config": {"include_thoughts": True}})
    [event] = recorder.events
    assert event["choices"][0]["content"] == "Two."
    assert event["usage"]["reasoning_tokens"] == 7


def test_parts_without_text_become_a_marker(client: genai.Client, recorder: Recorder) -> None:
    image = types.Part.from_bytes(data=b"\x89PNG", mime_type="image/png")
    paper = types.Part.from_uri(file_uri="gs://papers/1.pdf", mime_type="application/pdf")
    client.models.generate_content(model=MODEL, contents=["What is this?", image, paper])
    [event] = recorder.events
    assert event["messages"] == [{"role": "user", "content": "What is this?\n[image]\n[application]"}]


def test_passages_retrieved_by_the_provider_are_documents(
    api: Server, client: genai.Client, recorder: Recorder
) -> None:
    context = {"title": "leaflet", "text": "Two tablets a day.", "uri": "gs://leaflets/1"}
    grounding = {"groundingChunks": [{"retrievedContext": context}, {"web": {"title": "w", "uri": "https://w"}}]}
    api.will(Reply.of(server.response(server.candidate(server.text("Two."), groundingMetadata=grounding))))
    with streamgauge.context("triage", documents=[{"id": "d0", "text": "given"}]):
        client.models.generate_content(model=MODEL, contents="?")
    [event] = recorder.events
    assert [d["text"] for d in event["documents"]] == ["given", "Two tablets a day."]
    assert event["documents"][1] == {"id": "leaflet", "text": "Two tablets a day.", "source": "gs://leaflets/1"}


def test_vertex_ai_has_its_own_provider(api: Server, recorder: Recorder) -> None:
    client = google_genai.instrument(vertex(api.url), recorder)
    client.models.generate_content(model=MODEL, contents="?")
    assert "".join(chunk.text or "" for chunk in client.models.generate_content_stream(model=MODEL, contents="?"))
    assert "/projects/p/locations/l/publishers/google/models/" in api.requests[0].path
    assert [(e["provider"], e["request_model"]) for e in recorder.events] == [("gcp.vertex_ai", MODEL)] * 2
    assert [e["usage"] for e in recorder.events] == [USAGE] * 2
