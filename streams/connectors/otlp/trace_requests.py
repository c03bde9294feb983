"""Trace export requests: each LLM span becomes a call, with the passages and verdicts of spans in the same trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from streams.connectors.otlp.attribute_fields import Fields, classify, count_unmapped
from streams.connectors.otlp.content import Content
from streams.connectors.otlp.dialects import indexed, langfuse, messages, openinference
from streams.connectors.otlp.dialects import message_events as by_event
from streams.connectors.otlp.evaluation_results import EVENT as EVALUATION
from streams.connectors.otlp.event_builder import add_fields, add_outcome, emit_event, new_event
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.feedback_builder import LabelTarget, add_label
from streams.connectors.otlp.guardrail_results import Verdicts, call_verdicts
from streams.connectors.otlp.nested_spans import deduplicate_calls
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_DOCUMENTS, MAX_TAG_CHARS
from streams.connectors.otlp.resource_scope import Sources
from streams.connectors.otlp.retrieval import RESULTS, Retrievals, split_by_text
from streams.connectors.otlp.span_kinds import Kind, kind_of
from streams.connectors.otlp.timestamps import milliseconds


@dataclass(slots=True)
class TraceRequest:
    """The content of a trace export request."""

    sources: Sources
    out: Normalised
    wait_for_logs: bool
    calls: list[tuple[SpanView, Fields]] = field(default_factory=list)
    retrievals: Retrievals = field(default_factory=Retrievals)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def read(self, spans: Iterable[SpanView | None]) -> None:
        """Classify all spans, then emit the calls: a retrieval may follow its call in the request."""
        for span in spans:
            if span is None:
                self.out.skipped += 1
            else:
                self._classify(span)
        calls = deduplicate_calls(self.calls, self.out)
        self.verdicts.assign([span for span, _ in calls])
        for span, fields in calls:
            self._emit_call(span, fields)

    def _classify(self, span: SpanView) -> None:
        fields = classify(span.attributes)
        openinference.complete(fields)
        langfuse.complete(fields)
        self._labels(span, fields)
        kind = kind_of(fields)
        if kind is Kind.CALL:
            self.calls.append((span, fields))
        elif kind is Kind.RETRIEVAL or any(event.name in RESULTS for event in span.events):
            self.retrievals.add(span, fields)
        elif kind is not Kind.GUARDRAIL:
            self.out.skipped += 1
        elif not self.verdicts.add(span, milliseconds(span.start_ns, span.end_ns)):
            self.out.unknown("gen_ai.guardrail (no verdict)")

    def _labels(self, span: SpanView, fields: Fields) -> None:
        for event in span.events:
            if event.name == EVALUATION:
                target = LabelTarget(span.trace_id, span.span_id, fields.text("conversation_id"))
                source = self.sources.of(span.resource, fields)
                add_label(target, event.time_ns or span.end_ns, event.attributes, source, self.out)

    def _emit_call(self, span: SpanView, fields: Fields) -> None:
        source = self.sources.of(span.resource, fields)
        try:
            event = new_event(span.trace_id, span.span_id, span.start_ns, source)
        except ValueError as error:
            self.out.reject(span.where, str(error))
            return
        content = _content(span, fields)
        content.issues += span.issues
        self._add_passages(span, fields, content)
        add_fields(event, fields, content, span)
        add_outcome(event, fields, span)
        verdicts = call_verdicts(fields.rest, span.events, guarded=fields.guarded)
        if self.verdicts.by_call:
            verdicts += self.verdicts.of(span)
        if verdicts:
            event["guardrails"] = verdicts
        if self.wait_for_logs:
            event["kind"], event["fragments"] = "fragment", _fragments(content, failed="error" in event)
        emit_event(event, source, span.where, self.out)
        count_unmapped(fields.rest, self.out)

    def _add_passages(self, span: SpanView, fields: Fields, content: Content) -> None:
        if not content.documents and self.retrievals.by_trace:
            with_text, ids_only = split_by_text(self.retrievals.before(span))
            content.documents = with_text
            if ids_only:
                fields.tags["retrieval.document_ids"] = ",".join(ids_only)[:MAX_TAG_CHARS]
        if len(content.documents) > MAX_DOCUMENTS:
            content.documents = content.documents[:MAX_DOCUMENTS]


def _fragments(content: Content, *, failed: bool) -> list[str]:
    """Return the fragments in a span; a failed call has no response to wait for."""
    has_answer = content.choices or failed
    return ["span", *(["messages"] if content.messages else []), *(["choices"] if has_answer else [])]


_OPENINFERENCE: Final = (openinference.read,)
_READERS: Final[dict[str, tuple[Callable[[Fields], Content], ...]]] = {
    **dict.fromkeys(("gen_ai.prompt.", "gen_ai.completion.", "llm.completions."), (indexed.read,)),
    "llm.prompts.": (openinference.read, indexed.read),
}
"""Readers by prefix of a flattened list; all other lists belong to OpenInference."""


def _content(span: SpanView, fields: Fields) -> Content:
    """Return the prompt and the response of a call; later dialects fill only what earlier dialects left empty."""
    rest = fields.rest
    content = messages.read(rest)
    if content.messages and content.choices:
        return content
    readers = [read for prefix in fields.lists for read in _READERS.get(prefix, _OPENINFERENCE)]
    if not rest.keys().isdisjoint(openinference.VALUES):
        readers.append(openinference.read)
    if not rest.keys().isdisjoint(langfuse.CONTENT):
        readers.append(langfuse.read)
    for read in dict.fromkeys(readers):
        content.add(read(fields))
    if span.events:
        content.add(by_event.read([(name, body) for name, _, body in span.events if name in by_event.NAMES]))
        if not (content.messages and content.choices):
            content.add(_details(span))
    return content


def _details(span: SpanView) -> Content:
    """Return the content of the span event ``gen_ai.client.inference.operation.details``."""
    for event in span.events:
        if messages.INPUT in event.attributes or messages.OUTPUT in event.attributes:
            return messages.read(event.attributes)
    return Content()
