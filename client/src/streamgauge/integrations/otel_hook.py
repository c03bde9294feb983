"""Completion hook for OpenTelemetry: ``OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=streamgauge``, no code changes.

Every instrumentation based on opentelemetry-util-genai calls this hook at the end of each call, with the messages and
the span. The hook publishes one event per LLM call. Agents, workflows, embeddings and retrievals are not LLM calls; the
LLM calls inside them have spans of their own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from streamgauge import call_context
from streamgauge.calls import Call
from streamgauge.defaults import default_publisher
from streamgauge.guard import never_raises
from streamgauge.integrations import otel_messages
from streamgauge.integrations._accessors import get
from streamgauge.publisher import EventPublisher

Attributes = Mapping[str, Any]

DEFAULT_APP = "default"
"""App of a publisher without an app."""

MODEL_CALLS = frozenset({"chat", "generate_content", "text_completion"})

PARAMETERS = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.reasoning.level": "reasoning_effort",
    "gen_ai.request.stream": "stream",
    "gen_ai.output.type": "output_type",
}
CONTEXT = {
    "gen_ai.prompt.name": "prompt_name",
    "gen_ai.prompt.version": "prompt_version",
    "gen_ai.conversation.id": "conversation_id",
    "gen_ai.response.id": "response_id",
}
USAGE = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
    "gen_ai.usage.cache_read.input_tokens": "cached_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
}


class StreamgaugeHook:
    """Hook that ``OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=streamgauge`` loads.

    Parameters
    ----------
    publisher
        ``None``: the default publisher, created from ``STREAMGAUGE_URL``, ... at the first call.
    """

    def __init__(self, publisher: EventPublisher | None = None) -> None:
        self._publisher = publisher

    @never_raises("otel_hook")
    def on_completion(  # noqa: PLR0913 - OpenTelemetry's protocol
        self,
        *,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        system_instruction: Sequence[Any],
        tool_definitions: Sequence[Any] | None = None,
        span: Any = None,
        log_record: Any = None,
        **_unknown: Any,
    ) -> None:
        """Publish the ended call if it was an LLM call.

        A span that is not recorded (sampled out, or no tracer provider) has no attributes. The log record has the same
        attributes if ``OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT=true``. Without both, the event has messages but no model.
        """
        attributes = {**_attributes(log_record), **_attributes(span)}
        if attributes.get("gen_ai.operation.name", "chat") not in MODEL_CALLS:
            return
        call = Call.start(
            self._publisher,
            provider=str(attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system") or ""),
            request_model=str(attributes.get("gen_ai.request.model") or ""),
            messages=otel_messages.messages(inputs, system_instruction),
            parameters=_parameters(attributes, tool_definitions),
            **_renamed(attributes, CONTEXT),
            **self._app(span),
        )
        _finish(call, outputs, attributes, span)

    def _app(self, span: Any) -> dict[str, Any]:
        """Take the app from OpenTelemetry's ``service.name`` if streamgauge has none."""
        publisher = self._publisher or default_publisher()
        if publisher is None or publisher.settings.app != DEFAULT_APP or call_context.current().app:
            return {}
        service = str(_attributes(getattr(span, "resource", None)).get("service.name", ""))
        return {} if not service or service.startswith("unknown_service") else {"app": service}


def _finish(call: Call, outputs: Sequence[Any], attributes: Attributes, span: Any) -> None:
    error = _error(attributes, span)
    count, reasons = attributes.get("gen_ai.request.choice.count", 1), attributes.get("gen_ai.response.finish_reasons")
    choices = otel_messages.choices(outputs, count, reasons or (), failed=error is not None)
    if error is None and otel_messages.was_abandoned(outputs):
        call.tags["stream"] = "abandoned"
    first_chunk_s = attributes.get("gen_ai.response.time_to_first_chunk")
    call.ttft_ms = None if first_chunk_s is None else first_chunk_s * 1e3
    call.finish(
        choices=choices,
        usage=_renamed(attributes, USAGE),
        response_model=attributes.get("gen_ai.response.model"),
        system_fingerprint=attributes.get("openai.response.system_fingerprint"),
        error=error,
        **_times(call, span),
        **_ids(span),
    )


def _attributes(source: Any) -> Attributes:
    return getattr(source, "attributes", None) or {}


def _renamed(attributes: Attributes, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: attributes[attribute] for attribute, name in names.items() if attributes.get(attribute) is not None}


def _parameters(attributes: Attributes, tool_definitions: Sequence[Any] | None) -> dict[str, Any]:
    tools = [get(tool, "name") for tool in tool_definitions or ()]
    return {**_renamed(attributes, PARAMETERS), **({"tools": tools} if tools else {})}


def _times(call: Call, span: Any) -> dict[str, Any]:
    """Set the start time and return the latency; the hook runs just before the span ends."""
    start_ns = getattr(span, "start_time", None)
    if start_ns is None:
        return {"latency_ms": None}  # only the end of the call is known
    call.time = datetime.fromtimestamp(start_ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
    return {"latency_ms": max(0.0, (time.time_ns() - start_ns) / 1e6)}


def _ids(span: Any) -> dict[str, Any]:
    span_context = span.get_span_context() if hasattr(span, "get_span_context") else None
    if span_context is None or not span_context.is_valid:
        return {}
    return {"trace_id": f"{span_context.trace_id:032x}", "span_id": f"{span_context.span_id:016x}"}


def _error(attributes: Attributes, span: Any) -> dict[str, Any] | None:
    kind = attributes.get("error.type")
    if kind is None:
        return None
    message = str(getattr(getattr(span, "status", None), "description", None) or "")
    return {"type": _class_name(str(kind)), "message": message, "status": _status(message)}


def _class_name(kind: str) -> str:
    """Return ``RateLimitError`` for ``openai.RateLimitError`` and for ``<class 'openai.RateLimitError'>``."""
    match = re.fullmatch(r"(?:<class ')?(?:\w+\.)*([A-Za-z_]\w*)(?:'>)?", kind)
    return match[1] if match else kind


def _status(message: str) -> int | None:
    """Return the HTTP status, with which the error texts of OpenAI's and Anthropic's clients start."""
    match = re.match(r"Error code: (\d{3})\b", message)
    return int(match[1]) if match else None
