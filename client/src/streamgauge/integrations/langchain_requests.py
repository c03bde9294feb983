"""Reader of LangChain's requests: messages, model, settings and run metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from streamgauge import call_context
from streamgauge.integrations._accessors import Json, as_json, flat, parameters, role, text
from streamgauge.integrations.langchain_runs import Run

CONVERSATION_NAMES = ("conversation_id", "session_id", "thread_id")
CONSUMED_NAMES = frozenset({*CONVERSATION_NAMES, "prompt_name", "prompt_version", "user_id"})
INTERNAL_PREFIXES = ("ls_", "lc_", "langgraph_", "__", "checkpoint_")
"""Prefixes of the metadata that LangChain adds itself."""
STEP_TAG_PREFIXES = ("seq:step:", "map:key:", "graph:step:")
CONTENT = frozenset({"model", "model_name", "_type", "stream", "streaming", "tools", "functions", "api_key"})
MAX_TAGS = 32


def request(run: Run, above: Sequence[Run], start: Mapping[str, Any]) -> Json:
    """Return the arguments of `Call.start`, except the messages.

    Parameters
    ----------
    above
        Enclosing runs, the innermost first.
    start
        Arguments of the callback.
    """
    metadata = start.get("metadata") or {}
    params = start.get("invocation_params") or {}
    return {
        "provider": text(metadata.get("ls_provider")) or text(params.get("_type")),
        "request_model": _first(metadata, "ls_model_name") or _first(params, "model", "model_name"),
        "parameters": parameters({**_standard_settings(metadata, params), **params}, CONTENT),
        "documents": next((r.documents for r in above if r.documents), ()),
        "tags": _tags(run, above, start.get("tags") or (), metadata),
        **_named(above, metadata),
    }


def _first(fields: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if (value := fields.get(name))), "")


def _standard_settings(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> Json:
    """Return the settings with a standard name in LangChain, except those that the request sets itself."""
    request_names = " ".join(params)  # max_completion_tokens is another name of max_tokens
    names = ("temperature", "max_tokens", "stop")
    return {name: metadata.get(f"ls_{name}") for name in names if name.rpartition("_")[2] not in request_names}


def _named(above: Sequence[Run], metadata: Mapping[str, Any]) -> Json:
    """Return prompt, conversation and user: from the run, then from `streamgauge.context`, then from the template."""
    context = call_context.current()
    named: Json = {}
    if (prompt := _prompt(metadata, "prompt_name", "prompt_version")) is not None:
        named = {"prompt_name": prompt[0], "prompt_version": prompt[1]}
    elif not context.prompt_name and (template_ := next((r.prompt for r in above if r.prompt), None)) is not None:
        named = {"prompt_name": template_[0], "prompt_version": template_[1]}
    if conversation := _first(metadata, *CONVERSATION_NAMES):
        named["conversation_id"] = conversation
    if user := _first(metadata, "user_id"):
        named["user_id"] = user
    return named


def _prompt(metadata: Mapping[str, Any], name: str, version: str) -> tuple[str, str] | None:
    prompt = (_first(metadata, name), _first(metadata, version))
    return prompt if prompt[0] else None


def template(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return name and version of a prompt template, from the metadata of the prompt or of the LangChain Hub."""
    return _prompt(metadata, "prompt_name", "prompt_version") or _prompt(metadata, "lc_hub_repo", "lc_hub_commit_hash")


def _tags(run: Run, above: Sequence[Run], run_tags: Iterable[str], metadata: Mapping[str, Any]) -> dict[str, str]:
    tags = {"run_id": str(run.id), "parent_run_id": str(run.parent or ""), "run": run.name}
    tags["chain"] = " > ".join(r.name for r in reversed(above) if r.name)
    tags["tags"] = ",".join(tag for tag in run_tags if not tag.startswith(STEP_TAG_PREFIXES))
    own = {name: str(value) for name, value in metadata.items() if _is_own(name, value)}
    return {name: value for name, value in [*tags.items(), *list(own.items())[:MAX_TAGS]] if value}


def _is_own(name: str, value: Any) -> bool:
    return (
        name not in CONSUMED_NAMES and not name.startswith(INTERNAL_PREFIXES) and isinstance(value, (str, int, float))
    )


def messages(prompt: Iterable[BaseMessage]) -> list[Json]:
    """Convert the messages of a prompt."""
    return [_message(message) for message in prompt]


def _message(message: BaseMessage) -> Json:
    converted: Json = {"role": _role(message), "content": flat(message.content)}
    if message.name:
        converted["name"] = message.name
    if isinstance(message, AIMessage) and (calls := tool_calls(message)):
        converted["tool_calls"] = calls
    if isinstance(message, ToolMessage):
        converted["tool_call_id"] = message.tool_call_id
    return converted


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return role(message.role)
    openai = text(message.additional_kwargs.get("__openai_role__"))  # its integration marks the role "developer" here
    return role(openai or message.type.removesuffix("MessageChunk").lower())


def tool_calls(message: AIMessage) -> list[Json]:
    """Convert the tool calls of a model, including calls whose arguments are not valid JSON."""
    calls = [*message.tool_calls, *message.invalid_tool_calls]
    return [{"id": c["id"] or "", "name": c["name"] or "", "arguments": as_json(c["args"])} for c in calls]


def documents(retrieved: Iterable[Document]) -> list[Json]:
    """Convert the documents of a retriever."""
    return [_document(document) for document in retrieved]


def _document(document: Document) -> Json:
    known = document.metadata
    score = next((known[n] for n in ("score", "relevance_score", "_score") if isinstance(known.get(n), float)), None)
    source = _first(known, "source", "url", "file_path", "title") or None
    return {"id": str(document.id or ""), "text": document.page_content, "score": score, "source": source}
