"""OTLP export requests: the benchmark's events as spans of a dialect, 300 spans per request."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.harness.events import events

BATCH = 300
_START_NS = 1_767_225_600_000_000_000
_PLAIN = {
    "http.request.method": "POST",
    "http.route": "/v1/answers",
    "url.path": "/v1/answers",
    "server.address": "triage",
    "network.protocol.version": "1.1",
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
}


def bodies(spans: int, dialect: str, encoding: str, *, foreign: float = 0.0, seed: int = 1) -> Iterator[bytes]:
    """Yield export requests of `BATCH` spans; a fraction ``foreign`` of the spans are no GenAI spans."""
    rng = random.Random(seed)
    calls = events(spans, seed=seed)
    while batch := list(islice(calls, min(BATCH, spans))):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        _attributes(group.resource, {"service.namespace": "acme", "service.name": batch[0]["app"]})
        scope = group.scope_spans.add()
        scope.scope.name = f"benchmark.{dialect}"
        for call in batch:
            _span(scope.spans.add(), call, DIALECTS[dialect] if rng.random() >= foreign else None, rng)
        yield request.SerializeToString() if encoding == "proto" else _as_json(request)


def _span(span: Any, call: dict[str, Any], dialect: Callable[..., dict[str, Any]] | None, rng: random.Random) -> None:
    span.trace_id, span.span_id, span.parent_span_id = rng.randbytes(16), rng.randbytes(8), rng.randbytes(8)
    span.kind = 3
    span.start_time_unix_nano = start = _START_NS + rng.randrange(10**12)
    span.end_time_unix_nano = start + int(call["latency_ms"] * 1e6)
    if dialect is None:
        span.name = "POST /v1/answers"
        _attributes(span, _PLAIN)
        return
    span.name = f"chat {call['request_model']}"
    prompt = call["messages"][1]["content"] + "\n" + "\n".join(d["text"] for d in call["documents"])
    _attributes(span, dialect(span, call, call["messages"][0]["content"], prompt, call["choices"][0]["content"]))


def _common(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": call["provider"],
        "gen_ai.request.model": call["request_model"],
        "gen_ai.response.model": call["response_model"],
        "gen_ai.response.id": call["event_id"],
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.conversation.id": call["conversation_id"],
        "gen_ai.request.temperature": 0.2,
        "gen_ai.request.max_tokens": 512,
        "gen_ai.usage.input_tokens": call["usage"]["input_tokens"],
        "gen_ai.usage.output_tokens": call["usage"]["output_tokens"],
        "server.address": "api.example.org",
        "server.port": 443,
    }


def _messages(_: Any, call: dict[str, Any], system: str, prompt: str, answer: str) -> dict[str, Any]:
    def message(role: str, text: str, **extra: Any) -> dict[str, Any]:
        return {"role": role, "parts": [{"type": "text", "content": text}]} | extra

    return _common(call) | {
        "gen_ai.input.messages": orjson.dumps([message("system", system), message("user", prompt)]).decode(),
        "gen_ai.output.messages": orjson.dumps([message("assistant", answer, finish_reason="stop")]).decode(),
    }


def _indexed(_: Any, call: dict[str, Any], system: str, prompt: str, answer: str) -> dict[str, Any]:
    return _common(call) | {
        "gen_ai.prompt.0.role": "system",
        "gen_ai.prompt.0.content": system,
        "gen_ai.prompt.1.role": "user",
        "gen_ai.prompt.1.content": prompt,
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": answer,
        "gen_ai.completion.0.finish_reason": "stop",
        "llm.is_streaming": False,
        "gen_ai.usage.total_tokens": sum(call["usage"].values()),
    }


def _events(span: Any, call: dict[str, Any], system: str, prompt: str, answer: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
    span_events = [("system.message", {"content": system}), ("user.message", {"content": prompt}), ("choice", choice)]
    for name, body in span_events:
        event = span.events.add()
        event.name, event.time_unix_nano = f"gen_ai.{name}", span.start_time_unix_nano
        _attributes(event, {"gen_ai.system": "openai", "gen_ai.event.content": orjson.dumps(body).decode()})
    return _common(call)


def _openinference(_: Any, call: dict[str, Any], system: str, prompt: str, answer: str) -> dict[str, Any]:
    parameters = {"model": call["request_model"], "temperature": 0.2, "max_tokens": 512}
    return {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.model_name": call["response_model"],
        "llm.invocation_parameters": orjson.dumps(parameters).decode(),
        "llm.input_messages.0.message.role": "system",
        "llm.input_messages.0.message.content": system,
        "llm.input_messages.1.message.role": "user",
        "llm.input_messages.1.message.content": prompt,
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": answer,
        "llm.token_count.prompt": call["usage"]["input_tokens"],
        "llm.token_count.completion": call["usage"]["output_tokens"],
        "llm.token_count.total": sum(call["usage"].values()),
        "session.id": call["conversation_id"],
        "user.id": call["user_id"],
    }


DIALECTS: dict[str, Callable[..., dict[str, Any]]] = {
    "messages (1.37)": _messages,
    "indexed (Traceloop)": _indexed,
    "span events (1.36)": _events,
    "OpenInference": _openinference,
}


def _attributes(target: Any, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        pair = target.attributes.add()
        pair.key = name
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        elif isinstance(value, list):
            pair.value.array_value.values.add().string_value = value[0]
        else:
            pair.value.string_value = value


def _as_json(request: ExportTraceServiceRequest) -> bytes:
    """Return the request in the JSON form of the Collector: hexadecimal ids, numeric enums."""
    tree = MessageToDict(request, use_integers_for_enums=True)
    for group in tree["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    span[name] = base64.b64decode(span[name]).hex()
    return orjson.dumps(tree)
