"""What a span is: one LLM call, or something that stands beside one."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from streams.connectors.otlp.attribute_fields import Fields


class Kind(Enum):
    """What a span is to us."""

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


def kind_of(found: Fields) -> Kind:
    """Tell what a span is, by its operation, else by its kind in the dialect's own words, else by what it carries.

    Agents, workflows, tools and embeddings are no calls: an agent's span sums up the tokens of calls below it. Nor is
    ``fetch_response``, which gets an answer once more that another call brought about.
    """
    if operation := found.text("operation"):
        return _BY_OPERATION.get(operation.lower(), Kind.OTHER)
    if kind := found.text("kind"):
        return _BY_KIND.get(kind.lower(), Kind.OTHER)
    if any(name.startswith("gen_ai.guardrail.") for name in found.rest):
        return Kind.GUARDRAIL
    modelled = "request_model" in found.plain or "response_model" in found.plain
    spoken = "input_tokens" in found.plain or found.lists or "gen_ai.input.messages" in found.rest
    return Kind.CALL if modelled and spoken else Kind.OTHER
