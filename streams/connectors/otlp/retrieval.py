"""Passages that a retriever's span found, given to the LLM calls of the same trace that began after it ended.

Within one export request: a call that is exported later than its retriever goes without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.connectors.otlp.attribute_fields import Fields
from streams.connectors.otlp.content import bounded, decoded, document
from streams.connectors.otlp.dialects import openinference
from streams.connectors.otlp.record_views import SpanView
from streams.connectors.otlp.request_limits import MAX_DOCUMENTS, MAX_SIBLINGS

RESULTS: Final = ("db.query.result", "db.search.result")
"""Span events of vector databases (Traceloop)."""
_TEXTS: Final = ("content", "text", "page_content", "document")


@dataclass(slots=True)
class Retrievals:
    """What retrievers of this request found, by trace."""

    found: dict[str, list[tuple[int, list[dict[str, Any]]]]] = field(default_factory=dict)

    def add(self, span: SpanView, found: Fields) -> None:
        """Keep what a retriever found."""
        if passages := list(_passages(span, found))[:MAX_DOCUMENTS]:
            kept = self.found.setdefault(span.trace_id, [])
            if len(kept) < MAX_SIBLINGS:
                kept.append((span.end_ns, passages))

    def before(self, span: SpanView) -> list[dict[str, Any]]:
        """Return the passages found in this trace before a call began."""
        out: list[dict[str, Any]] = []
        for ended, passages in self.found.get(span.trace_id, ()):
            if ended <= span.start_ns and len(out) < MAX_DOCUMENTS:
                out += passages
        return out[:MAX_DOCUMENTS]


def split(passages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the passages that have a text, and the ids of those that have none (the conventions ask for ids only)."""
    return [p for p in passages if p["text"]], [p["id"] for p in passages if not p["text"] and "id" in p]


def _passages(span: SpanView, found: Fields) -> Iterator[dict[str, Any]]:
    attributes = span.attributes
    for prefix in ("reranker.output_documents.", "retrieval.documents."):
        if passages := openinference.documents(found.rows(prefix)):
            yield from passages
            return
    listed = decoded(attributes.get("gen_ai.retrieval.documents"))
    if listed is None:
        output = decoded(attributes.get("traceloop.entity.output"))
        listed = output.get("documents") if isinstance(output, dict) else None
    yield from (_of_mapping(item) for item in bounded(listed or []) if isinstance(item, dict | str))
    for event in span.happenings:
        for prefix in RESULTS:
            if event.name == prefix and f"{prefix}.document" in event.attributes:
                given = event.attributes
                yield document(given[f"{prefix}.document"], given.get(f"{prefix}.id"), given.get(f"{prefix}.score"))


def _of_mapping(item: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(item, str):
        return document(item)
    text = next((item[name] for name in _TEXTS if item.get(name)), "")
    metadata = item.get("metadata")
    source = metadata.get("source") if isinstance(metadata, dict) else None
    return document(text, item.get("id"), item.get("score"), source)
