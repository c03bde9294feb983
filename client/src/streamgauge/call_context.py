"""Which prompt, conversation and user the calls made here belong to; carried by a context variable."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from streamgauge.guard import quietly

MAX_CALL_IDS = 64


@dataclass(frozen=True, slots=True)
class Context:
    """What `context` says of the calls inside it.

    Attributes
    ----------
    tenant, app
        ``None``: the publisher's.
    call_ids
        Of the newest calls made inside that are over, the last one last.
    outer
        The context around this one.
    scope
        The `context` that made it.
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
    scope: object = field(default=None, repr=False, compare=False)

    @property
    def last_call_id(self) -> str:
        """What `send_feedback` names the last call by that was made inside and is over; empty if there was none."""
        return next(reversed(self.call_ids), "")

    def note(self, call_id: str) -> None:
        """Remember a call here and in the contexts around."""
        inside: Context | None = self
        while inside is not None and inside.scope is not None:  # without a scope: outside of every `context`
            inside.call_ids.append(call_id)
            inside = inside.outer


_NOTHING = Context()
_current: ContextVar[Context] = ContextVar("streamgauge", default=_NOTHING)


def current() -> Context:
    """Return the innermost context; an empty one outside of every `context`."""
    return _current.get()


@contextmanager
def using(new: Context) -> Iterator[None]:
    """Take up a context elsewhere: some libraries tell of a call on a thread of theirs, where there is none."""
    token = _current.set(new)
    try:
        yield
    finally:
        _current.reset(token)


class context:  # noqa: N801 - `with streamgauge.context("triage", version="v7"):`
    """Name the prompt, its version, the conversation and the user of the calls inside, sync or async.

    Contexts nest. The innermost name and version count; conversation, user, tenant, app and documents are inherited
    where not given, tags and groups are merged. A new thread starts without a context unless the host copies its own
    (``contextvars.copy_context().run``).

    Parameters
    ----------
    name, version
        As they are to appear in the monitor: ``("triage", version="v7")``.
    conversation_id
        Also the event's Kafka key: the calls of a conversation stay in order.
    user_id
        Whoever asked.
    tags, groups
        The service's own tags; groups declared for disparity checks.
    documents
        Passages retrieved for the prompt: ``{"text": ..., "id": ..., "score": ..., "source": ...}``.
    tenant, app
        Where they differ from the publisher's.

    Examples
    --------
    >>> with context("triage", version="v7", conversation_id="c-1"):
    ...     (current().prompt_name, current().prompt_version, current().conversation_id)
    ('triage', 'v7', 'c-1')
    >>> current().prompt_name
    ''

    What is called inside can be named afterwards::

        with context("triage", version="v7") as inside:
            client.chat.completions.create(...)
        send_feedback(call_id=inside.last_call_id, signal="hallucination", label=True, source="thumbs")
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

    @quietly("context")
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
                scope=self,
            )
        )

    def _exit(self) -> None:
        # No token: a generator may leave in another context than it entered in, where a token would raise.
        inner = _current.get()
        if inner.scope is self:
            _current.set(inner.outer or _NOTHING)

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
