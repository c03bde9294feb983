"""Trace export requests: each LLM span is a call; retrievers and guardrails give theirs to the calls beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from streams.connectors.otlp.attribute_fields import Fields, count_unmapped, sort
from streams.connectors.otlp.content import Content
from streams.connectors.otlp.dialects import indexed, langfuse, messages, openinference
from streams.connectors.otlp.dialects import message_events as by_event
from streams.connectors.otlp.evaluation_results import EVENT as EVALUATION
from streams.connectors.otlp.event_builder import begin, emit, fill, time_and_fate
from streams.connectors.otlp.export_result import Normalised
from streams.connectors.otlp.feedback_builder import About, label
from streams.connectors.otlp.guardrail_results import Verdicts, of_call
from streams.connectors.otlp.nested_spans import once
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_DOCUMENTS, MAX_TAG_CHARS
from streams.connectors.otlp.resource_scope import Sources
from streams.connectors.otlp.retrieval import RESULTS, Retrievals, split
from streams.connectors.otlp.span_kinds import Kind, kind_of
from streams.connectors.otlp.timestamps import milliseconds


@dataclass(slots=True)
class Trace:
    """What one trace export request holds, before its calls are told."""

    sources: Sources
    out: Normalised
    wait_for_logs: bool
    calls: list[tuple[SpanView, Fields]] = field(default_factory=list)
    retrievals: Retrievals = field(default_factory=Retrievals)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def read(self, spans: Iterable[SpanView | None]) -> None:
        """Sort all spans by what they are, then tell the calls: a retriever may stand after its call."""
        for span in spans:
            if span is None:
                self.out.skipped += 1
            else:
                self._sort(span)
        calls = once(self.calls, self.out)
        self.verdicts.assign([span for span, _ in calls])
        for span, found in calls:
            self._tell(span, found)

    def _sort(self, span: SpanView) -> None:
        found = sort(span.attributes)
        openinference.complete(found)
        langfuse.complete(found)
        self._labels(span, found)
        kind = kind_of(found)
        if kind is Kind.CALL:
            self.calls.append((span, found))
        elif kind is Kind.RETRIEVAL or any(event.name in RESULTS for event in span.happenings):
            self.retrievals.add(span, found)
        elif kind is not Kind.GUARDRAIL:
            self.out.skipped += 1
        elif not self.verdicts.add(span, milliseconds(span.start_ns, span.end_ns)):
            self.out.unknown("gen_ai.guardrail (no verdict)")

    def _labels(self, span: SpanView, found: Fields) -> None:
        for event in span.happenings:
            if event.name == EVALUATION:
                about = About(span.trace_id, span.span_id, found.text("conversation_id"))
                source = self.sources.of(span.resource, found)
                label(about, event.time_ns or span.end_ns, event.attributes, source, self.out)

    def _tell(self, span: SpanView, found: Fields) -> None:
        source = self.sources.of(span.resource, found)
        try:
            event = begin(span.trace_id, span.span_id, span.start_ns, source)
        except ValueError as error:
            self.out.reject(span.where, str(error))
            return
        content = _content(span, found)
        content.issues += span.issues
        self._add_passages(span, found, content)
        fill(event, found, content, span)
        time_and_fate(event, found, span)
        said = of_call(found.rest, span.happenings, guarded=found.guarded)
        if self.verdicts.by_call:
            said += self.verdicts.of(span)
        if said:
            event["guardrails"] = said
        if self.wait_for_logs:
            event["kind"], event["fragments"] = "fragment", _fragments(content, failed="error" in event)
        emit(event, source, span.where, self.out)
        count_unmapped(found.rest, self.out)

    def _add_passages(self, span: SpanView, found: Fields, content: Content) -> None:
        if not content.documents and self.retrievals.found:
            told, nameless = split(self.retrievals.before(span))
            content.documents = told
            if nameless:
                found.tags["retrieval.document_ids"] = ",".join(nameless)[:MAX_TAG_CHARS]
        if len(content.documents) > MAX_DOCUMENTS:
            content.documents = content.documents[:MAX_DOCUMENTS]


def _fragments(content: Content, *, failed: bool) -> list[str]:
    """Return what of the call its span brings; one that failed has no answer to wait for."""
    answered = content.choices or failed
    return ["span", *(["messages"] if content.messages else []), *(["choices"] if answered else [])]


_OPENINFERENCE: Final = (openinference.read,)
_READERS: Final[dict[str, tuple[Callable[[Fields], Content], ...]]] = {
    **dict.fromkeys(("gen_ai.prompt.", "gen_ai.completion.", "llm.completions."), (indexed.read,)),
    "llm.prompts.": (openinference.read, indexed.read),
}
"""Whose a flattened list is; the others are OpenInference's."""


def _content(span: SpanView, found: Fields) -> Content:
    """Return what the call was asked and answered, by the first dialect that tells, the others filling what it left."""
    rest = found.rest
    content = messages.read(rest)
    if content.messages and content.choices:
        return content
    readers = [read for prefix in found.lists for read in _READERS.get(prefix, _OPENINFERENCE)]
    if not rest.keys().isdisjoint(openinference.VALUES):
        readers.append(openinference.read)
    if not rest.keys().isdisjoint(langfuse.CONTENT):
        readers.append(langfuse.read)
    for read in dict.fromkeys(readers):
        content.add(read(found))
    if span.happenings:
        content.add(by_event.read([(name, body) for name, _, body in span.happenings if name in by_event.NAMES]))
        if not (content.messages and content.choices):
            content.add(_details(span))
    return content


def _details(span: SpanView) -> Content:
    """Read the message attributes where they stand on a span event (``gen_ai.client.inference.operation.details``)."""
    for event in span.happenings:
        if messages.INPUT in event.attributes or messages.OUTPUT in event.attributes:
            return messages.read(event.attributes)
    return Content()
