"""`Case`: what one SDK contributes to the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import streamgauge
from servers.local import Reply, Server
from streamgauge.testing import Recorder

TOOL = {"name": "dose", "arguments": {"drug": "B"}}
"""Tool call that `Case.tool_reply` sends."""

Use = Callable[[Any], Any]
"""Function from a client to what the host sees of a call."""


def by_instrument(**options: Any) -> Callable[[Any, Recorder], AbstractContextManager[Any]]:
    """Return the common `Case.instrument`: `streamgauge.instrument` with these options."""
    return lambda client, recorder: nullcontext(streamgauge.instrument(client, recorder, **options))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One SDK at a local server with its provider's protocol.

    Attributes
    ----------
    serve
        Starts the server; it answers every request with ``Take two tablets.``.
    connect, connect_async
        Open a client for a server's URL.
    instrument
        Instruments a client.
    calls, streams, async_calls, async_streams
        Every style of calling the SDK. Each makes one call and returns what the host sees of it.
    event
        Expected event of a unary call and of a stream, by ``streamed``.
    comparable
        Removes the random fields of an event after it has checked them, by ``streamed``.
    errors, error
        Class of the SDK's error by HTTP status, and the server's reply.
    failing
        Styles for which errors are tested.
    opening
        Reply with the start of a stream, up to ``Take two``.
    first_word, first_words
        Expected choices after ``Take`` and after ``Take two``.
    breaking
        Stream styles for which a broken connection is tested.
    abandon, abandon_async
        Ways to abandon a stream after its first word; each makes one call.
    stream_forever
        Asynchronous reader of a stream that sets an event after the first word.
    open_stream
        Opens a stream without reading it.
    tool_reply
        Reply with a call of `TOOL`, by ``streamed``.
    internals
        Functions of the client that are made to raise, as (owner, name).
    same_requests
        Whether the SDK sends equal requests for equal calls.
    own_client
        Whether the client itself is instrumented, and not the process.
    marks
        Marks of pytest for every test of the case.
    """

    name: str
    serve: Callable[[], Server]
    connect: Callable[[str], AbstractContextManager[Any]]
    connect_async: Callable[[str], AbstractAsyncContextManager[Any]]
    instrument: Callable[[Any, Recorder], AbstractContextManager[Any]]
    calls: Sequence[Use]
    streams: Sequence[Use]
    async_calls: Sequence[Use]
    async_streams: Sequence[Use]
    event: Callable[[bool], dict[str, Any]]
    comparable: Callable[[dict[str, Any], bool], dict[str, Any]]
    errors: Mapping[int, str]
    error: Callable[[int], Reply]
    failing: Sequence[Use]
    opening: Callable[..., Reply]
    first_word: list[dict[str, Any]]
    first_words: list[dict[str, Any]]
    breaking: Sequence[Use]
    tool_reply: Callable[[bool], Reply]
    internals: Sequence[tuple[Any, str]]
    abandon: Sequence[Use] = ()
    abandon_async: Sequence[Use] = ()
    stream_forever: Callable[[Any, Any], Any] | None = None
    open_stream: Use | None = None
    same_requests: bool = True
    own_client: bool = True
    marks: Sequence[Any] = ()
