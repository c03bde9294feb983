"""What a model is asked in LangChain: messages, model, settings, and what run metadata says of the call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from streamgauge import call_context
from streamgauge.integrations._reading import Json, as_json, flat, parameters, role, text
from streamgauge.integrations.langchain_runs import Run

CONVERSATION = ("conversation_id", "session_id", "thread_id")
USED = frozenset({*CONVERSATION, "prompt_name", "prompt_version", "user_id"})
MACHINERY = ("ls_", "lc_", "langgraph_", "__", "checkpoint_")
"""How the names of metadata begin that LangChain itself adds."""
STEPS = ("seq:step:", "map:key:", "graph:step:")
NO_SETTINGS = frozenset({"model", "model_name", "_type", "stream", "streaming", "tools", "functions", "api_key"})
MAX_TAGS = 32


def request(run: Run, above: Sequence[Run], start: Mapping[str, Any]) -> Json:
    """Return what `Call.begin` is to be given, but for the messages.

    Parameters
    ----------
    above
        The runs around this one, the nearest first.
    start
        What the callback was called with.
    """
    metadata = start.get("metadata") or {}
    asked = start.get("invocation_params") or {}
    return {
        "provider": text(metadata.get("ls_provider")) or text(asked.get("_type")),
        "request_model": _first(metadata, "ls_model_name") or _first(asked, "model", "model_name"),
        "parameters": parameters({**_usual(metadata, asked), **asked}, NO_SETTINGS),
        "documents": next((r.documents for r in above if r.documents), ()),
        "tags": _tags(run, above, start.get("tags") or (), metadata),
        **_named(above, metadata),
    }


def _first(found: Mapping[str, Any], *names: str) -> str:
    return next((str(value) for name in names if (value := found.get(name))), "")


def _usual(metadata: Mapping[str, Any], asked: Mapping[str, Any]) -> Json:
    """Return the settings that LangChain knows by one name for all providers, unless the request has its own."""
    own = " ".join(asked)  # max_completion_tokens is max_tokens by another name
    names = ("temperature", "max_tokens", "stop")
    return {name: metadata.get(f"ls_{name}") for name in names if name.rpartition("_")[2] not in own}


def _named(above: Sequence[Run], metadata: Mapping[str, Any]) -> Json:
    """Return prompt, conversation and user: what the run says, then `streamgauge.context`, then the template."""
    now = call_context.current()
    named: Json = {}
    if (prompt := _prompt(metadata, "prompt_name", "prompt_version")) is not None:
        named = {"prompt_name": prompt[0], "prompt_version": prompt[1]}
    elif not now.prompt_name and (found := next((r.prompt for r in above if r.prompt), None)) is not None:
        named = {"prompt_name": found[0], "prompt_version": found[1]}
    if conversation := _first(metadata, *CONVERSATION):
        named["conversation_id"] = conversation
    if user := _first(metadata, "user_id"):
        named["user_id"] = user
    return named


def _prompt(metadata: Mapping[str, Any], name: str, version: str) -> tuple[str, str] | None:
    found = (_first(metadata, name), _first(metadata, version))
    return found if found[0] else None


def template(metadata: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return name and version of a prompt template, given by its metadata or by the hub that it was pulled from."""
    given = _prompt(metadata, "prompt_name", "prompt_version")
    return given or _prompt(metadata, "lc_hub_repo", "lc_hub_commit_hash")


def _tags(run: Run, above: Sequence[Run], run_tags: Iterable[str], metadata: Mapping[str, Any]) -> dict[str, str]:
    tags = {"run_id": str(run.id), "parent_run_id": str(run.parent or ""), "run": run.name}
    tags["chain"] = " > ".join(r.name for r in reversed(above) if r.name)
    tags["tags"] = ",".join(tag for tag in run_tags if not tag.startswith(STEPS))
    own = {name: str(value) for name, value in metadata.items() if _is_own(name, value)}
    return {name: value for name, value in [*tags.items(), *list(own.items())[:MAX_TAGS]] if value}


def _is_own(name: str, value: Any) -> bool:
    return name not in USED and not name.startswith(MACHINERY) and isinstance(value, (str, int, float))


def messages(given: Iterable[BaseMessage]) -> list[Json]:
    """Return the messages of a prompt."""
    return [_message(message) for message in given]


def _message(message: BaseMessage) -> Json:
    said: Json = {"role": _role(message), "content": flat(message.content)}
    if message.name:
        said["name"] = message.name
    if isinstance(message, AIMessage) and (calls := tool_calls(message)):
        said["tool_calls"] = calls
    if isinstance(message, ToolMessage):
        said["tool_call_id"] = message.tool_call_id
    return said


def _role(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return role(message.role)
    openai = text(message.additional_kwargs.get("__openai_role__"))  # how its integration says "developer"
    return role(openai or message.type.removesuffix("MessageChunk").lower())


def tool_calls(message: AIMessage) -> list[Json]:
    """Return the tools a model asked for, those included whose arguments are no valid JSON."""
    asked = [*message.tool_calls, *message.invalid_tool_calls]
    return [{"id": c["id"] or "", "name": c["name"] or "", "arguments": as_json(c["args"])} for c in asked]


def documents(found: Iterable[Document]) -> list[Json]:
    """Return what a retriever found."""
    return [_document(document) for document in found]


def _document(document: Document) -> Json:
    known = document.metadata
    score = next((known[n] for n in ("score", "relevance_score", "_score") if isinstance(known.get(n), float)), None)
    source = _first(known, "source", "url", "file_path", "title") or None
    return {"id": str(document.id or ""), "text": document.page_content, "score": score, "source": source}
