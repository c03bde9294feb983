"""Prompt, conversation, user and tags of the calls in a block, kept in a context variable."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from streamgauge.guard import never_raises

MAX_CALL_IDS = 64


@dataclass(frozen=True, slots=True)
class Context:
    """Values that `context` gives to the calls inside it.

    Attributes
    ----------
    tenant, app
        ``None``: those of the publisher.
    call_ids
        Ids of the latest finished calls of the block, in order of their end.
    outer
        Enclosing context.
    owner
        The `context` block that created this context; ``None`` outside every block.
    """

    prompt_name: str = ""
    prompt_version: str = ""
    conversation_id: str | None = None
    user_id: str | None = None
    tenant: str | None = None
    app: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    documents: Sequence[Mapping[str, Any]] = ()
    call_ids: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_CALL_IDS), repr=False, compare=False)
    outer: Context | None = field(default=None, repr=False, compare=False)
    owner: object = field(default=None, repr=False, compare=False)

    @property
    def last_call_id(self) -> str:
        """``call_id`` of the last finished call of the block, for `send_feedback`; empty if there is none."""
        return next(reversed(self.call_ids), "")

    def record_call(self, call_id: str) -> None:
        """Append a call to this context and to every enclosing one."""
        context: Context | None = self
        while context is not None and context.owner is not None:  # the root context has no owner
            context.call_ids.append(call_id)
            context = context.outer


_ROOT = Context()
_current: ContextVar[Context] = ContextVar("streamgauge", default=_ROOT)


def current() -> Context:
    """Return the innermost context; an empty context outside every block."""
    return _current.get()


@contextmanager
def use_context(context: Context) -> Iterator[None]:
    """Set the context for a block: some libraries report a call on a thread of their own, which has no context."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


class context:  # noqa: N801 - `with streamgauge.context("triage", version="v7"):`
    """Set prompt, version, conversation, user and tags of the calls inside a ``with`` or ``async with`` block.

    Contexts nest. The innermost name and version apply. Conversation, user, tenant, app and documents are inherited if
    not passed; tags and groups are merged. A new thread has no context unless the host copies its own
    (``contextvars.copy_context().run``).

    Parameters
    ----------
    name, version
        Prompt name and version: ``("triage", version="v7")``.
    conversation_id
        Conversation; also the event's Kafka key, which keeps the calls of a conversation in order.
    user_id
        User who made the request.
    tags, groups
        Tags of the service; groups for disparity checks.
    documents
        Passages retrieved for the prompt: ``{"text": ..., "id": ..., "score": ..., "source": ...}``.
    tenant, app
        Only if they differ from those of the publisher.

    Examples
    --------
    >>> with context("triage", version="v7", conversation_id="c-1"):
    ...     (current().prompt_name, current().prompt_version, current().conversation_id)
    ('triage', 'v7', 'c-1')
    >>> current().prompt_name
    ''

    Feedback on a call of the block::

        with context("triage", version="v7") as block:
            client.chat.completions.create(...)
        send_feedback(call_id=block.last_call_id, signal="hallucination", label=True, source="thumbs")
    """

    def __init__(  # noqa: PLR0913 - keyword parameters, all optional
        self,
        name: str,
        *,
        version: str = "",
        conversation_id: str | None = None,
        user_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        groups: Mapping[str, str] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        tenant: str | None = None,
        app: str | None = None,
    ) -> None:
        self._name = name
        self._version = version
        self._conversation_id = conversation_id
        self._user_id = user_id
        self._tags = tags
        self._groups = groups
        self._documents = documents
        self._tenant = tenant
        self._app = app

    @never_raises("context")
    def _enter(self) -> None:
        outer = _current.get()
        _current.set(
            Context(
                prompt_name=str(self._name),
                prompt_version=str(self._version),
                conversation_id=self._conversation_id or outer.conversation_id,
                user_id=self._user_id or outer.user_id,
                tenant=self._tenant or outer.tenant,
                app=self._app or outer.app,
                tags={**outer.tags, **(self._tags or {})},
                groups={**outer.groups, **(self._groups or {})},
                documents=outer.documents if self._documents is None else tuple(self._documents),
                outer=outer,
                owner=self,
            )
        )

    def _exit(self) -> None:
        # A token would raise where a generator exits in another context than it entered.
        inner = _current.get()
        if inner.owner is self:
            _current.set(inner.outer or _ROOT)

    def __enter__(self) -> Context:
        self._enter()
        return _current.get()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit()

    async def __aenter__(self) -> Context:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit()
