"""Classification of spans: LLM call, retrieval, guardrail or other."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from streams.connectors.otlp.attribute_fields import Fields


class Kind(Enum):
    """Kind of a span."""

    CALL = auto()
    RETRIEVAL = auto()
    GUARDRAIL = auto()
    OTHER = auto()


_BY_OPERATION: Final = {
    **dict.fromkeys(("chat", "text_completion", "generate_content", "completion"), Kind.CALL),
    **dict.fromkeys(("retrieval", "vector_db_retrieve"), Kind.RETRIEVAL),
    **dict.fromkeys(("apply_guardrail", "run_guardrail", "guard", "guardrail"), Kind.GUARDRAIL),
}
_BY_KIND: Final = {
    **dict.fromkeys(("llm", "generation", "chat", "completion"), Kind.CALL),
    **dict.fromkeys(("retriever", "reranker"), Kind.RETRIEVAL),
    "guardrail": Kind.GUARDRAIL,
}


def kind_of(fields: Fields) -> Kind:
    """Return the kind of a span: by its operation, else by the dialect's kind, else by its content.

    Agents, workflows, tools and embeddings are not calls: the span of an agent sums up the tokens of its calls. Neither
    is ``fetch_response``, which only retrieves the response of an earlier call.
    """
    if operation := fields.text("operation"):
        return _BY_OPERATION.get(operation.lower(), Kind.OTHER)
    if kind := fields.text("kind"):
        return _BY_KIND.get(kind.lower(), Kind.OTHER)
    if any(name.startswith("gen_ai.guardrail.") for name in fields.rest):
        return Kind.GUARDRAIL
    has_model = "request_model" in fields.plain or "response_model" in fields.plain
    has_content = "input_tokens" in fields.plain or fields.lists or "gen_ai.input.messages" in fields.rest
    return Kind.CALL if has_model and has_content else Kind.OTHER
