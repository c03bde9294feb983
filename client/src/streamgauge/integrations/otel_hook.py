"""Zero code: ``OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=streamgauge``.

Every instrumentation that is built on opentelemetry-util-genai calls the hook of that name at the end of each call,
with the messages and the span. The hook publishes one event for each call of a model; agents, workflows, embeddings
and retrievals are not calls of a model, and what they call comes on its own.
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
from streamgauge.guard import quietly
from streamgauge.integrations import otel_parts
from streamgauge.integrations._reading import get
from streamgauge.publisher import EventPublisher

Attributes = Mapping[str, Any]

UNNAMED = "default"
"""The app of a publisher that was told none."""

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
    """What ``OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK=streamgauge`` loads.

    Parameters
    ----------
    publisher
        ``None``: the default one, made from ``STREAMGAUGE_URL`` and its like at the first call.
    """

    def __init__(self, publisher: EventPublisher | None = None) -> None:
        self._publisher = publisher

    @quietly("otel_hook")
    def on_completion(  # noqa: PLR0913 - OpenTelemetry's protocol
        self,
        *,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        system_instruction: Sequence[Any],
        tool_definitions: Sequence[Any] | None = None,
        span: Any = None,
        log_record: Any = None,
        **_later: Any,
    ) -> None:
        """Publish the call that just ended, if it was one of a model.

        A span that is not recorded (sampled away, or no tracer provider) has no attributes. The log record has the same
        ones if ``OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT=true``. Without either the event has its messages, but no model.
        """
        attributes = {**_attributes(log_record), **_attributes(span)}
        if attributes.get("gen_ai.operation.name", "chat") not in MODEL_CALLS:
            return
        call = Call.begin(
            self._publisher,
            provider=str(attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system") or ""),
            request_model=str(attributes.get("gen_ai.request.model") or ""),
            messages=otel_parts.messages(inputs, system_instruction),
            parameters=_parameters(attributes, tool_definitions),
            **_renamed(attributes, CONTEXT),
            **self._app(span),
        )
        _finish(call, outputs, attributes, span)

    def _app(self, span: Any) -> dict[str, Any]:
        """Take the app from OpenTelemetry's ``service.name`` where streamgauge was told none."""
        publisher = self._publisher or default_publisher()
        if publisher is None or publisher.settings.app != UNNAMED or call_context.current().app:
            return {}
        service = str(_attributes(getattr(span, "resource", None)).get("service.name", ""))
        return {} if not service or service.startswith("unknown_service") else {"app": service}


def _finish(call: Call, outputs: Sequence[Any], attributes: Attributes, span: Any) -> None:
    error = _error(attributes, span)
    wanted, reasons = attributes.get("gen_ai.request.choice.count", 1), attributes.get("gen_ai.response.finish_reasons")
    choices = otel_parts.choices(outputs, wanted, reasons or (), failed=error is not None)
    if error is None and otel_parts.left_early(outputs):
        call.tags["stream"] = "abandoned"
    first_chunk_s = attributes.get("gen_ai.response.time_to_first_chunk")
    call.ttft_ms = None if first_chunk_s is None else first_chunk_s * 1e3
    call.finish(
        choices=choices,
        usage=_renamed(attributes, USAGE),
        response_model=attributes.get("gen_ai.response.model"),
        system_fingerprint=attributes.get("openai.response.system_fingerprint"),
        error=error,
        **_clock(call, span),
        **_ids(span),
    )


def _attributes(source: Any) -> Attributes:
    return getattr(source, "attributes", None) or {}


def _renamed(attributes: Attributes, names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: attributes[theirs] for theirs, ours in names.items() if attributes.get(theirs) is not None}


def _parameters(attributes: Attributes, tool_definitions: Sequence[Any] | None) -> dict[str, Any]:
    tools = [get(tool, "name") for tool in tool_definitions or ()]
    return {**_renamed(attributes, PARAMETERS), **({"tools": tools} if tools else {})}


def _clock(call: Call, span: Any) -> dict[str, Any]:
    """Say when the call began and how long it took: the hook runs just before its span ends."""
    began_ns = getattr(span, "start_time", None)
    if began_ns is None:
        return {"latency_ms": None}  # all that is known is that the call has ended
    call.time = datetime.fromtimestamp(began_ns / 1e9, UTC).isoformat().replace("+00:00", "Z")
    return {"latency_ms": max(0.0, (time.time_ns() - began_ns) / 1e6)}


def _ids(span: Any) -> dict[str, Any]:
    context = span.get_span_context() if hasattr(span, "get_span_context") else None
    if context is None or not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _error(attributes: Attributes, span: Any) -> dict[str, Any] | None:
    kind = attributes.get("error.type")
    if kind is None:
        return None
    message = str(getattr(getattr(span, "status", None), "description", None) or "")
    return {"type": _class_name(str(kind)), "message": message, "status": _status(message)}


def _class_name(kind: str) -> str:
    """Return ``RateLimitError`` of ``openai.RateLimitError`` and ``<class 'openai.RateLimitError'>``, as written."""
    found = re.fullmatch(r"(?:<class ')?(?:\w+\.)*([A-Za-z_]\w*)(?:'>)?", kind)
    return found[1] if found else kind


def _status(message: str) -> int | None:
    """Return the HTTP status: the clients of OpenAI and Anthropic begin the text of their errors with it."""
    found = re.match(r"Error code: (\d{3})\b", message)
    return int(found[1]) if found else None
