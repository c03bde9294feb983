"""Assignment of retrieved passages to the LLM calls of the same trace that start after the retrieval.

Both must be in one export request: a call that is exported later than its retrieval gets no passages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import bounded, decode_json, document
from streams.connectors.otlp.dialects import openinference
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_DOCUMENTS, MAX_SIBLINGS

RESULTS: Final = ("db.query.result", "db.search.result")
"""Span events of vector databases (Traceloop)."""
_TEXTS: Final = ("content", "text", "page_content", "document")


@dataclass(slots=True)
class Retrievals:
    """Retrieved passages of a request, by trace."""

    by_trace: dict[str, list[tuple[int, list[dict[str, Any]]]]] = field(default_factory=dict)

    def add(self, span: SpanView, fields: Fields) -> None:
        """Add the passages of a retrieval span."""
        if passages := list(_passages(span, fields))[:MAX_DOCUMENTS]:
            retrievals = self.by_trace.setdefault(span.trace_id, [])
            if len(retrievals) < MAX_SIBLINGS:
                retrievals.append((span.end_ns, passages))

    def before(self, span: SpanView) -> list[dict[str, Any]]:
        """Return the passages retrieved in the trace before the start of a call."""
        out: list[dict[str, Any]] = []
        for end_ns, passages in self.by_trace.get(span.trace_id, ()):
            if end_ns <= span.start_ns and len(out) < MAX_DOCUMENTS:
                out += passages
        return out[:MAX_DOCUMENTS]


def split_by_text(passages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the passages with text, and the ids of passages without text (the conventions require ids only)."""
    return [p for p in passages if p["text"]], [p["id"] for p in passages if not p["text"] and "id" in p]


def _passages(span: SpanView, fields: Fields) -> Iterator[dict[str, Any]]:
    attributes = span.attributes
    for prefix in ("reranker.output_documents.", "retrieval.documents."):
        if passages := openinference.documents(fields.rows(prefix)):
            yield from passages
            return
    listed = decode_json(attributes.get("gen_ai.retrieval.documents"))
    if listed is None:
        output = decode_json(attributes.get("traceloop.entity.output"))
        listed = output.get("documents") if isinstance(output, dict) else None
    yield from (_of_mapping(item) for item in bounded(listed or []) if isinstance(item, dict | str))
    for event in span.events:
        for prefix in RESULTS:
            if event.name == prefix and f"{prefix}.document" in event.attributes:
                found = event.attributes
                yield document(found[f"{prefix}.document"], found.get(f"{prefix}.id"), found.get(f"{prefix}.score"))


def _of_mapping(item: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(item, str):
        return document(item)
    text = next((item[name] for name in _TEXTS if item.get(name)), "")
    metadata = item.get("metadata")
    source = metadata.get("source") if isinstance(metadata, dict) else None
    return document(text, item.get("id"), item.get("score"), source)
