"""LangChain: every call of a chat model or LLM as an event, with what the chain around it knows."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.tracers.context import register_configure_hook

from streamgauge.calls import Call
from streamgauge.guard import quiet, quietly
from streamgauge.integrations import langchain_answers as answers
from streamgauge.integrations import langchain_requests as requests
from streamgauge.integrations._reading import Json
from streamgauge.integrations.langchain_runs import Run, Runs
from streamgauge.publisher import EventPublisher

ABANDONED: Json = {"tags": {"stream": "abandoned"}}


class StreamgaugeHandler(BaseCallbackHandler):
    """A callback handler that publishes each call of a model; for sync and async runs alike.

    Give it to a run (``config={"callbacks": [StreamgaugeHandler()]}``), to a model, or to the process (`install`). An
    event has the documents of the nearest retriever in the same chain, the path of chains above the model in its
    tags, and the conversation and prompt from the run's metadata or `streamgauge.context`.

    Parameters
    ----------
    publisher
        ``None``: the default one.
    max_runs
        How many runs are remembered at once. A run whose end never comes is forgotten when it is the oldest of more
        than these, or after an hour; what a model had answered in it is published then.
    """

    run_inline = True  # in the caller's own context: on another thread, `streamgauge.context` would not be seen

    def __init__(self, publisher: EventPublisher | None = None, *, max_runs: int = 10_000) -> None:
        super().__init__()
        self._publisher = publisher
        self._runs = Runs(max_runs, on_lost=_leave)

    @quietly("langchain")
    def on_chat_model_start(
        self, serialized: Json, messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Begin a call of a chat model."""
        call = self._begin(serialized, run_id, kwargs)
        call.messages = requests.messages(messages[0])

    @quietly("langchain")
    def on_llm_start(self, serialized: Json, prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Begin a call of a completion model."""
        call = self._begin(serialized, run_id, kwargs)
        call.messages = [{"role": "user", "content": prompts[0]}]

    def _begin(self, serialized: Json, run_id: UUID, kwargs: Json) -> Call:
        run = self._start("llm", serialized, run_id, kwargs)
        request: Json = {"provider": ""}
        with quiet("langchain"):
            request = requests.request(run, list(self._runs.above(run)), kwargs)
        run.call = Call.begin(self._publisher, **request)
        self._follow_task(run)
        return run.call

    def _follow_task(self, run: Run) -> None:
        # LangChain does not tell of the end of a model's call that is cancelled; its task does. A task that ends well
        # says nothing: a stream may go on in another one.
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        if task is not None:
            over = functools.partial(self._task_over, run.id)
            task.add_done_callback(over)
            run.release = functools.partial(task.remove_done_callback, over)

    @quietly("langchain")
    def _task_over(self, run_id: UUID, task: asyncio.Task[Any]) -> None:
        if task.cancelled() and (run := self._runs.end(run_id)) is not None:
            _leave(run, asyncio.CancelledError("the task was cancelled"))

    def _start(self, kind: str, serialized: Json | None, run_id: UUID, kwargs: Json) -> Run:
        name = kwargs.get("name") or (serialized or {}).get("name") or ""
        run = Run(run_id, kwargs.get("parent_run_id"), kind, str(name))
        self._runs.start(run)
        return run

    @quietly("langchain")
    def on_llm_new_token(self, token: str | list[Any], *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Note the first token, and what came, in case the end never does."""
        if (run := self._runs.get(run_id)) is not None and run.call is not None:
            if token or answers.has_tool_call(chunk):
                run.call.first_token()
            run.say(answers.spoken(token))

    @quietly("langchain")
    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:
        """Note the first token of a model that streams events and no tokens."""
        if event["event"] == "content-block-delta":
            run = self._runs.get(run_id)
            if run is not None and run.call is not None:
                run.call.first_token()

    @quietly("langchain")
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Publish the call."""
        self._finish(run_id, response)

    @quietly("langchain")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Publish the call with its error, and with what was answered before it."""
        # A stream that the caller left is closed by Python; that is no error of the model's.
        end = ABANDONED if isinstance(error, GeneratorExit) else {"error": error}
        self._finish(run_id, kwargs.get("response"), **end)

    def _finish(self, run_id: UUID, response: LLMResult | None, **end: Any) -> None:
        run = self._runs.end(run_id)
        if run is None or run.call is None:
            return
        found: Json = {}
        with quiet("langchain"):
            found = answers.answer(response) if response is not None else {}
        if end is ABANDONED and answers.complete(found):
            end = {}
        run.call.finish(**{**found, **end})

    @quietly("langchain")
    def on_retriever_start(self, serialized: Json, query: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin a retriever's run."""
        self._start("retriever", serialized, run_id, kwargs)

    @quietly("langchain")
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_: Any) -> None:
        """Keep what was found for the models that come after it in the chain."""
        run = self._runs.end(run_id)
        if run is not None:
            found = requests.documents(documents)
            for above in self._runs.above(run):
                above.found(found)
                if above.kind == "retriever":  # made of several: what it returns in the end counts
                    break

    @quietly("langchain")
    def on_chain_start(self, serialized: Json | None, inputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin a chain's run, or a prompt template's, which names the prompt for the models beside it."""
        run = self._start("chain", serialized, run_id, kwargs)
        if kwargs.get("run_type") == "prompt":
            above = next(self._runs.above(run), None)
            if above is not None:
                above.prompt = requests.template(kwargs.get("metadata") or {}) or above.prompt

    @quietly("langchain")
    def on_tool_start(self, serialized: Json, input_str: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Begin a tool's run: a retriever in it finds for the agent around it."""
        self._start("tool", serialized, run_id, kwargs)

    @quietly("langchain")
    def _end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._runs.end(run_id)

    on_chain_end = on_tool_end = on_tool_error = on_retriever_error = _end

    @quietly("langchain")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a chain's run; a model still under way directly inside it was cut off by the same error."""
        for run in self._runs.end_models_of(run_id):
            _leave(run, error)
        self._runs.end(run_id)


def _leave(run: Run, error: BaseException | None = None) -> None:
    """Publish what is known of a call whose end never came."""
    if run.call is not None:
        choices = [{"content": run.said(), "finish_reason": None}] if run.said() else ()
        run.call.finish(choices=choices, error=error, **({} if error else ABANDONED))


def install(publisher: EventPublisher | None = None) -> StreamgaugeHandler:
    """Watch every run of this process from now on, without a word in any chain.

    A run that was given a handler of its own keeps to that one.
    """
    handler = StreamgaugeHandler(publisher)
    everywhere: ContextVar[StreamgaugeHandler | None] = ContextVar("streamgauge_langchain", default=handler)
    register_configure_hook(everywhere, inheritable=True, handle_class=StreamgaugeHandler)
    return handler
