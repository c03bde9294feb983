"""The mapping of attribute names to event fields, for all dialects.

Sources, as of November 2026: the GenAI semantic conventions (registry up to 1.44 and their own repository since),
opentelemetry-semantic-conventions-ai 0.5.1 (Traceloop), openinference-semantic-conventions 0.1.42, langfuse 5.0.4 and
openlit's conventions.
"""

from __future__ import annotations

from typing import Final

_BY_FIELD: Final[dict[str, tuple[str, ...]]] = {
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "request_model": ("gen_ai.request.model", "llm.request.model_name", "langfuse.observation.model.name"),
    "model": ("llm.model_name",),
    "response_model": ("gen_ai.response.model", "llm.response.model_name"),
    "conversation_id": (
        "gen_ai.conversation.id", "session.id", "langfuse.session.id",
        "traceloop.association.properties.conversation_id", "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id", "traceloop.association.properties.chat_id",
    ),
    "user_id": (
        "user.id", "enduser.id", "gen_ai.user", "llm.user", "langfuse.user.id",
        "traceloop.association.properties.user_id",
    ),
    "prompt_name": (
        "gen_ai.prompt.name", "langfuse.observation.prompt.name", "traceloop.prompt.key",
        "llm.prompt_template.name", "prompt.id",
    ),
    "prompt_version": (
        "gen_ai.prompt.version", "langfuse.observation.prompt.version", "traceloop.prompt.version",
        "traceloop.prompt.version_name", "llm.prompt_template.version", "traceloop.prompt.version_hash",
    ),
    "system_fingerprint": (
        "openai.response.system_fingerprint", "gen_ai.openai.response.system_fingerprint",
        "gen_ai.openai.system_fingerprint", "gen_ai.response.system_fingerprint",
    ),
    "input_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "total_tokens": ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    "cache_read": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input",
        "gen_ai.usage.cached_tokens", "gen_ai.usage.input_tokens_details.cached",
    ),
    "cache_write": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "cost_usd": ("llm.cost.total", "gen_ai.usage.cost", "gen_ai.usage.total_cost", "gen_ai.cost.total_cost"),
    "ttft_s": (
        "gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token",
        "gen_ai.response.time_to_first_token", "gen_ai.client.operation.time_to_first_chunk",
    ),
    "first_token_at": ("langfuse.observation.completion_start_time",),
    "finish_reasons": (
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "llm.response.finish_reason",
        "llm.finish_reason", "gen_ai.response.stop_reason", "llm.response.stop_reason",
    ),
    "error_type": ("error.type", "exception.type"),
    "error_message": ("error.message", "exception.message"),
    "error_status": ("http.response.status_code", "http.status_code", "rpc.grpc.status_code"),
    "tenant": ("streamgauge.tenant",),
    "app": ("streamgauge.app",),
    "environment": ("streamgauge.environment", "langfuse.environment"),
    "operation": ("gen_ai.operation.name",),
    "kind": ("openinference.span.kind", "langfuse.observation.type", "llm.request.type", "traceloop.span.kind"),
}  # fmt: skip

FIELDS: Final = {name: (field, rank) for field, names in _BY_FIELD.items() for rank, name in enumerate(names)}
"""Field and rank by attribute; if several attributes of a field are present, the lowest rank wins."""

TAGS: Final = {
    "gen_ai.response.id": "response_id",
    "server.address": "server.address",
    "gen_ai.agent.name": "agent",
    "agent.name": "agent",
    "gen_ai.workflow.name": "workflow",
    "traceloop.workflow.name": "workflow",
    "gen_ai.output.type": "output_type",
    "openai.response.service_tier": "service_tier",
    "gen_ai.openai.response.service_tier": "service_tier",
    "langfuse.release": "release",
    "langfuse.version": "release",
}
"""Tag by attribute."""

LISTS: Final = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.prompts.",
    "llm.completions.",
    "llm.choices.",
    "retrieval.documents.",
    "reranker.output_documents.",
)
"""Prefixes of lists that are flattened into attributes; an index follows the prefix."""

PARAMETERS: Final = {
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.n": "n",
    "gen_ai.request.reasoning.level": "reasoning_effort",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.openai.request.service_tier": "service_tier",
    "openai.request.service_tier": "service_tier",
    "gen_ai.openai.request.response_format": "response_format",
    "gen_ai.is_streaming": "stream",
    "llm.is_streaming": "stream",
    "llm.top_k": "top_k",
    "llm.request.reasoning_effort": "reasoning_effort",
    "llm.frequency_penalty": "frequency_penalty",
    "llm.presence_penalty": "presence_penalty",
    "llm.chat.stop_sequences": "stop",
}
PARAMETER_PREFIX: Final = "gen_ai.request."
"""Prefix of all other request parameters; the rest of the name is the name of the parameter."""

PLACED: Final = frozenset(
    {
        "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions",
        "gen_ai.retrieval.documents", "gen_ai.retrieval.query.text",
        "input.value", "output.value", "input.mime_type", "output.mime_type",
        "langfuse.observation.usage_details",
        "langfuse.observation.cost_details", "langfuse.observation.input", "langfuse.observation.output",
        "traceloop.entity.input", "traceloop.entity.output", "traceloop.entity.name", "traceloop.entity.path",
        "gen_ai.event.content", "metadata", "tag.tags",
    }
)  # fmt: skip
"""Attributes that a dialect reads; they are not counted as unmapped."""

COUNTED: Final = ("gen_ai.", "llm.", "traceloop.", "langfuse.", "openinference.", "retrieval.", "ai.")
"""Prefixes of attributes that are counted if unmapped; other attributes do not describe the call."""
