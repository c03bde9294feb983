"""`observe` and `call`: model calls without an integration."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import pytest
import streamgauge
from published import PROMPT, bare, break_internal, only, whole
from servers import openai as api
from streamgauge.calls import Call
from streamgauge.guard import integration_errors
from streamgauge.integrations import decorator
from streamgauge.testing import Recorder

ANSWER = "Take two tablets."
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much?"}]
EVENT = whole(
    provider="local",
    request_model="llama-3.3",
    response_model="",
    messages=ASKED,
    parameters={"temperature": 0.5},
    choices=[{"content": ANSWER}],
    usage=None,
)
AT = "broken"


def plain(question: str, *, system: str = "", temperature: float = 1.0) -> str:
    if question == AT:
        raise LookupError("no such model")
    return ANSWER


async def coroutine(question: str, *, system: str = "", temperature: float = 1.0) -> str:
    return plain(question)


def generator(question: str, *, system: str = "", temperature: float = 1.0) -> Iterator[str]:
    yield "Take"
    yield plain(question).removeprefix("Take")


async def async_generator(question: str, *, system: str = "", temperature: float = 1.0) -> AsyncIterator[str]:
    yield "Take"
    yield plain(question).removeprefix("Take")


KINDS = [plain, coroutine, generator, async_generator]


async def use(function: Callable[..., Any], question: str = "How much?") -> str:
    given: Any = function(question, system="Be brief.", temperature=0.5)
    if hasattr(given, "__aiter__"):
        return "".join([word async for word in given])
    words: Any = await given if inspect.isawaitable(given) else given
    return "".join(words)


@pytest.mark.parametrize("function", KINDS)
async def test_an_observed_function_is_published_and_unchanged(
    recorder: Recorder, function: Callable[..., Any]
) -> None:
    observed = streamgauge.observe(provider="local", request_model="llama-3.3", publisher=recorder)(function)
    with streamgauge.context("triage", **PROMPT):
        assert await use(observed) == ANSWER
    assert bare(only(recorder), streamed=function in KINDS[2:]) == EVENT
    for kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
        assert kind(observed) == kind(function)
    assert inspect.signature(observed) == inspect.signature(function)
    assert (observed.__name__, observed.__doc__) == (function.__name__, function.__doc__)


@pytest.mark.parametrize("function", KINDS)
async def test_an_error_of_the_function_is_published_and_raised(
    recorder: Recorder, function: Callable[..., Any]
) -> None:
    with pytest.raises(LookupError):
        await use(streamgauge.observe(publisher=recorder)(function), AT)
    event = only(recorder)
    assert event["error"] == {"type": "LookupError", "message": "no such model", "status": None}
    assert [one["content"] for one in event["choices"]] == ["Take"] * (function in KINDS[2:])


async def test_a_cancelled_function_is_published(recorder: Recorder) -> None:
    started = asyncio.Event()

    @streamgauge.observe(publisher=recorder)
    async def wait(question: str) -> None:
        started.set()
        await asyncio.Event().wait()

    waiting = asyncio.create_task(wait("How much?"))
    await started.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert only(recorder)["error"]["type"] == "CancelledError"


async def test_an_abandoned_generator_is_published_so_far(recorder: Recorder) -> None:
    words = streamgauge.observe(publisher=recorder)(generator)("How much?")
    awords: Any = streamgauge.observe(publisher=recorder)(async_generator)("How much?")
    assert next(words) == await anext(awords) == "Take"
    words.close()  # type: ignore[attr-defined]
    await awords.aclose()
    for event in recorder.events:
        assert event["tags"] == {"stream": "abandoned"}
        assert event["choices"] == [{"content": "Take"}]
    assert len(recorder.events) == 2


def test_an_observed_generator_supports_send_throw_and_return(recorder: Recorder) -> None:
    @streamgauge.observe(publisher=recorder)
    def echo(question: str) -> Generator[str, str, str]:
        heard = yield "first"
        try:
            yield heard
        except LookupError as error:
            yield f"caught {error}"
        return "result"

    words = echo("How much?")
    assert next(words) == "first"
    assert words.send("second") == "second"
    assert words.throw(LookupError("third")) == "caught third"
    with pytest.raises(StopIteration) as end:
        next(words)
    assert end.value.value == "result"
    assert only(recorder)["choices"] == [{"content": "firstsecondcaught third"}]


async def test_an_observed_async_generator_supports_send_and_throw(recorder: Recorder) -> None:
    @streamgauge.observe(publisher=recorder)
    async def echo(question: str) -> Any:
        heard = yield "first"
        try:
            yield heard
        except LookupError as error:
            yield f"caught {error}"

    words = echo("How much?")
    assert await anext(words) == "first"
    assert await words.asend("second") == "second"
    assert await words.athrow(LookupError("third")) == "caught third"
    assert [word async for word in words] == []
    assert only(recorder)["choices"] == [{"content": "firstsecondcaught third"}]


def test_observe_without_arguments_and_methods_are_supported(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamgauge.defaults._default", recorder)

    class Model:
        @streamgauge.observe
        def ask(self, question: str) -> str:
            return ANSWER

    assert Model().ask("How much?") == ANSWER
    assert only(recorder)["messages"] == [{"role": "user", "content": "How much?"}]


def test_messages_and_chat_completions_are_converted(recorder: Recorder) -> None:
    @streamgauge.observe(publisher=recorder, provider="gateway")
    def ask(messages: list[dict[str, str]], model: str, top_p: float) -> dict[str, Any]:
        return api.completion(model=model)

    ask(ASKED, "llama-3.3", top_p=0.5)
    event = only(recorder)
    assert event["messages"] == ASKED
    assert event["parameters"] == {"top_p": 0.5}
    assert (event["request_model"], event["response_model"]) == ("llama-3.3", "llama-3.3")
    assert event["choices"][0]["content"] == ANSWER
    assert event["usage"]["output_tokens"] == 12


def test_request_and_response_may_be_read_by_functions(recorder: Recorder) -> None:
    @streamgauge.observe(
        prompt_name="summary",
        prompt_version="v2",
        tags={"team": "ward"},
        request=lambda given: {"messages": [{"role": "user", "content": given["note"].upper()}]},
        response=lambda result: {"choices": [{"content": result[0]}], "usage": {"output_tokens": result[1]}},
        publisher=recorder,
    )
    def summarise(length: int, note: str) -> tuple[str, int]:
        return ANSWER, 4

    with streamgauge.context("triage", **PROMPT):
        summarise(3, "a note")
    event = only(recorder)
    assert (event["prompt_name"], event["prompt_version"], event["conversation_id"]) == ("summary", "v2", "c-1")
    assert event["messages"] == [{"role": "user", "content": "A NOTE"}]
    assert event["choices"] == [{"content": ANSWER}]
    assert event["usage"] == {"output_tokens": 4}
    assert event["tags"] == {"team": "ward"}


def test_a_block_is_published_with_its_responses(recorder: Recorder) -> None:
    more: dict[str, Any] = {"provider": "local", "request_model": "llama-3.3", "publisher": recorder}
    passage = {"text": "A: 200 mg."}
    with (
        streamgauge.context("triage", **PROMPT),
        streamgauge.call(**more, messages=ASKED, parameters={"temperature": 0.5}, documents=[passage]) as asked,
    ):
        asked.first_token()
        asked.answer(ANSWER, finish_reason="stop", usage={"input_tokens": 9, "output_tokens": 4})
        asked.answer("Or one.", finish_reason="length", response_model="llama-3.3-q4")
    assert asked.call_id == only(recorder)["call_id"]
    assert bare(only(recorder), streamed=True) == EVENT | {
        "documents": [passage],
        "response_model": "llama-3.3-q4",
        "choices": [
            {"content": ANSWER, "finish_reason": "stop", "tool_calls": []},
            {"content": "Or one.", "finish_reason": "length", "tool_calls": []},
        ],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }


async def test_a_block_that_fails_is_published_with_its_error(recorder: Recorder) -> None:
    async def fail() -> None:
        async with streamgauge.call(provider="local", messages="How much?", publisher=recorder) as asked:
            asked.answer("Take")
            raise LookupError("no such model")

    with pytest.raises(LookupError):
        await fail()
    event = only(recorder)
    assert event["error"]["type"] == "LookupError"
    assert event["messages"] == [{"role": "user", "content": "How much?"}]
    assert event["choices"][0]["content"] == "Take"


BREAKS = [
    (decorator, "_request"),
    (decorator, "_response"),
    (decorator, "publish"),
    (decorator._YieldAccumulator, "add"),
    (decorator._YieldAccumulator, "result"),
    (Call, "start"),
    (decorator, "StreamTap"),
]


@pytest.mark.parametrize("function", KINDS)
@pytest.mark.parametrize(("home", "name"), BREAKS)
async def test_an_internal_error_never_reaches_the_host(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, home: Any, name: str, function: Callable[..., Any]
) -> None:
    hit = break_internal(monkeypatch, home, name)
    before = integration_errors.value()
    assert await use(streamgauge.observe(publisher=recorder)(function)) == ANSWER
    assert bool(hit) == (integration_errors.value() > before)


def test_internal_errors_around_a_block_never_reach_the_host(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    before = integration_errors.value()
    monkeypatch.setattr(Call, "start", None)
    with streamgauge.call(publisher=recorder) as asked:
        asked.first_token()
        asked.answer("Take", usage={}, nonsense=object())
    assert asked.call_id == ""
    assert integration_errors.value() > before
