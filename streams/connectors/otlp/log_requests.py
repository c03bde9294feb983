"""Log export requests: the records of one call are a fragment of it, evaluation results are labels.

Up to 1.36 the conventions put messages and answers into log records beside the span, later ones may put them into one
(``gen_ai.client.inference.operation.details``). Model, duration and failure stand in the span, which comes by another
topic; so what comes from here is a fragment of a call, which the worker joins (`processing.join`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields, count_unmapped, sort
from streams.connectors.otlp.content import Content
from streams.connectors.otlp.dialects import message_events as by_event
from streams.connectors.otlp.dialects import messages
from streams.connectors.otlp.evaluation_results import EVENT as EVALUATION
from streams.connectors.otlp.event_builder import begin, emit, fill
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.feedback_builder import About, label
from streams.connectors.otlp.guardrail_results import EVENTS as GUARDRAILS
from streams.connectors.otlp.guardrail_results import MAX_VERDICTS, verdict
from streams.connectors.otlp.record_views import LogView
from streams.connectors.otlp.request_limits import MAX_EVENTS
from streams.connectors.otlp.resource_scope import Source, Sources

DETAILS: Final = "gen_ai.client.inference.operation.details"


@dataclass(slots=True)
class _Call:
    """What the records of one request say of one call."""

    first: LogView
    source: Source
    found: Fields
    told: list[tuple[str, Any]] = field(default_factory=list)
    content: Content = field(default_factory=Content)
    verdicts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Journal:
    """What one log export request holds."""

    sources: Sources
    out: Normalised
    calls: dict[tuple[str, str], _Call] = field(default_factory=dict)

    def read(self, logs: Iterable[LogView | None]) -> None:
        """Sort all records by the call they speak of, then emit each call's fragment."""
        for log in logs:
            if log is None:
                self.out.skipped += 1
            else:
                self._sort(log)
        for call in self.calls.values():
            self._tell(call)

    def _sort(self, log: LogView) -> None:
        if log.name in by_event.NAMES or log.name == DETAILS or log.name in GUARDRAILS:
            self._add(log)
        elif log.name == EVALUATION:
            found = sort(log.attributes)
            source = self.sources.of(log.resource, found)
            label(About(log.trace_id, log.span_id, ""), log.time_ns, log.attributes, source, self.out)
        else:
            self.out.skipped += 1

    def _add(self, log: LogView) -> None:
        found = sort(log.attributes)
        key = (log.trace_id, log.span_id)
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = _Call(log, self.sources.of(log.resource, found), found)
        call.content.issues += log.issues
        if log.name in GUARDRAILS:
            if (said := verdict(log.attributes)) is not None and len(call.verdicts) < MAX_VERDICTS:
                call.verdicts.append(said)
        elif log.name == DETAILS:
            call.found = found
            call.content.add(messages.read(log.attributes))
        elif len(call.told) < MAX_EVENTS:
            call.told.append((log.name, log.body if log.body is not None else log.attributes))

    def _tell(self, call: _Call) -> None:
        log, content = call.first, call.content
        content.add(by_event.read(call.told))
        if not (content.messages or content.choices):
            # A verdict alone names no call of ours, and a call without content has nothing that its span lacks.
            self.out.unknown(f"{log.name} (alone)")
            return
        try:
            event = begin(log.trace_id, log.span_id, log.time_ns, call.source)
        except ValueError as error:
            self.out.reject(log.where, str(error).replace("start_time", "time"))
            return
        event["kind"] = "fragment"
        event["fragments"] = [name for name in ("messages", "choices") if getattr(content, name)]
        fill(event, call.found, content, None)
        if call.verdicts:
            event["guardrails"] = call.verdicts
        emit(event, call.source, log.where, self.out)
        count_unmapped(call.found.rest, self.out)
