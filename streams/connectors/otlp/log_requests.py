"""Log export requests: the log records of a call become a fragment of the call, evaluation results become labels.

Conventions up to 1.36 write messages and responses as log records beside the span; later conventions may write one log
record (``gen_ai.client.inference.operation.details``). Model, duration and errors are in the span, which arrives on
another topic. So log records give a fragment, which the worker joins with the span (`processing.join`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields, classify, count_unmapped
from streams.connectors.otlp.content import Content
from streams.connectors.otlp.dialects import message_events as by_event
from streams.connectors.otlp.dialects import messages
from streams.connectors.otlp.evaluation_results import EVENT as EVALUATION
from streams.connectors.otlp.event_builder import add_fields, emit_event, new_event
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.feedback_builder import LabelTarget, add_label
from streams.connectors.otlp.guardrail_results import EVENTS as GUARDRAILS
from streams.connectors.otlp.guardrail_results import MAX_VERDICTS, verdict
from streams.connectors.otlp.record_views import LogView
from streams.connectors.otlp.request_limits import MAX_EVENTS
from streams.connectors.otlp.resource_scope import Source, Sources

DETAILS: Final = "gen_ai.client.inference.operation.details"


@dataclass(slots=True)
class _Call:
    """The log records of one call in a request."""

    first: LogView
    source: Source
    fields: Fields
    events: list[tuple[str, Any]] = field(default_factory=list)
    content: Content = field(default_factory=Content)
    verdicts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class LogRequest:
    """The content of a log export request."""

    sources: Sources
    out: Normalised
    calls: dict[tuple[str, str], _Call] = field(default_factory=dict)

    def read(self, logs: Iterable[LogView | None]) -> None:
        """Group all records by call, then emit a fragment per call."""
        for log in logs:
            if log is None:
                self.out.skipped += 1
            else:
                self._classify(log)
        for call in self.calls.values():
            self._emit_fragment(call)

    def _classify(self, log: LogView) -> None:
        if log.name in by_event.NAMES or log.name == DETAILS or log.name in GUARDRAILS:
            self._add(log)
        elif log.name == EVALUATION:
            fields = classify(log.attributes)
            source = self.sources.of(log.resource, fields)
            add_label(LabelTarget(log.trace_id, log.span_id, ""), log.time_ns, log.attributes, source, self.out)
        else:
            self.out.skipped += 1

    def _add(self, log: LogView) -> None:
        fields = classify(log.attributes)
        key = (log.trace_id, log.span_id)
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = _Call(log, self.sources.of(log.resource, fields), fields)
        call.content.issues += log.issues
        if log.name in GUARDRAILS:
            if (result := verdict(log.attributes)) is not None and len(call.verdicts) < MAX_VERDICTS:
                call.verdicts.append(result)
        elif log.name == DETAILS:
            call.fields = fields
            call.content.add(messages.read(log.attributes))
        elif len(call.events) < MAX_EVENTS:
            call.events.append((log.name, log.body if log.body is not None else log.attributes))

    def _emit_fragment(self, call: _Call) -> None:
        log, content = call.first, call.content
        content.add(by_event.read(call.events))
        if not (content.messages or content.choices):
            # A verdict alone does not identify an LLM call, and a call without content adds nothing to its span.
            self.out.unknown(f"{log.name} (alone)")
            return
        try:
            event = new_event(log.trace_id, log.span_id, log.time_ns, call.source)
        except ValueError as error:
            self.out.reject(log.where, str(error).replace("start_time", "time"))
            return
        event["kind"] = "fragment"
        event["fragments"] = [name for name in ("messages", "choices") if getattr(content, name)]
        add_fields(event, call.fields, content, None)
        if call.verdicts:
            event["guardrails"] = call.verdicts
        emit_event(event, call.source, log.where, self.out)
        count_unmapped(call.fields.rest, self.out)
