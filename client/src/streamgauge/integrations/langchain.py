"""LangChain: one event per call of a chat model or LLM, with the metadata of the chain around it."""

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
from streamgauge.guard import never_raises, suppress_errors
from streamgauge.integrations import langchain_requests as requests
from streamgauge.integrations import langchain_responses as responses
from streamgauge.integrations._accessors import Json
from streamgauge.integrations.langchain_runs import Run, Runs
from streamgauge.publisher import EventPublisher

ABANDONED: Json = {"tags": {"stream": "abandoned"}}


class StreamgaugeHandler(BaseCallbackHandler):
    """Callback handler that publishes each call of a model, in sync and async runs.

    Pass it to a run (``config={"callbacks": [StreamgaugeHandler()]}``), to a model, or register it for the process
    (`install`). An event has the documents of the nearest retriever in the same chain and the path of the enclosing
    chains in its tags. Conversation and prompt come from the run's metadata or `streamgauge.context`.

    Parameters
    ----------
    publisher
        ``None``: the default publisher.
    max_runs
        Maximum number of concurrent runs. A run that never ends is evicted as the oldest beyond this number, or after
        an hour; its partial response is published then.
    """

    run_inline = True  # runs in the caller's context; another thread would not see `streamgauge.context`

    def __init__(self, publisher: EventPublisher | None = None, *, max_runs: int = 10_000) -> None:
        super().__init__()
        self._publisher = publisher
        self._runs = Runs(max_runs, on_evicted=_finish_unended)

    @never_raises("langchain")
    def on_chat_model_start(
        self, serialized: Json, messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Start a call of a chat model."""
        call = self._start_call(serialized, run_id, kwargs)
        call.messages = requests.messages(messages[0])

    @never_raises("langchain")
    def on_llm_start(self, serialized: Json, prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Start a call of a completion model."""
        call = self._start_call(serialized, run_id, kwargs)
        call.messages = [{"role": "user", "content": prompts[0]}]

    def _start_call(self, serialized: Json, run_id: UUID, kwargs: Json) -> Call:
        run = self._start_run("llm", serialized, run_id, kwargs)
        request: Json = {"provider": ""}
        with suppress_errors("langchain"):
            request = requests.request(run, list(self._runs.above(run)), kwargs)
        run.call = Call.start(self._publisher, **request)
        self._watch_task(run)
        return run.call

    def _watch_task(self, run: Run) -> None:
        # LangChain does not report the end of a cancelled call, but its task ends. A normal end of the task is no
        # signal: a stream may continue in another task.
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        if task is not None:
            on_done = functools.partial(self._on_task_done, run.id)
            task.add_done_callback(on_done)
            run.release = functools.partial(task.remove_done_callback, on_done)

    @never_raises("langchain")
    def _on_task_done(self, run_id: UUID, task: asyncio.Task[Any]) -> None:
        if task.cancelled() and (run := self._runs.end(run_id)) is not None:
            _finish_unended(run, asyncio.CancelledError("the task was cancelled"))

    def _start_run(self, kind: str, serialized: Json | None, run_id: UUID, kwargs: Json) -> Run:
        name = kwargs.get("name") or (serialized or {}).get("name") or ""
        run = Run(run_id, kwargs.get("parent_run_id"), kind, str(name))
        self._runs.start(run)
        return run

    @never_raises("langchain")
    def on_llm_new_token(self, token: str | list[Any], *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Record the first token, and keep the text in case the run never ends."""
        if (run := self._runs.get(run_id)) is not None and run.call is not None:
            if token or responses.has_tool_call(chunk):
                run.call.first_token()
            run.append_text(responses.token_text(token))

    @never_raises("langchain")
    def on_stream_event(self, event: Any, *, run_id: UUID, **_: Any) -> None:
        """Record the first token of a model that streams events instead of tokens."""
        if event["event"] == "content-block-delta":
            run = self._runs.get(run_id)
            if run is not None and run.call is not None:
                run.call.first_token()

    @never_raises("langchain")
    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Publish the call."""
        self._finish(run_id, response)

    @never_raises("langchain")
    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Publish the call with its error and the response so far."""
        # Python closes a stream that the caller abandoned; this is not an error of the model.
        outcome = ABANDONED if isinstance(error, GeneratorExit) else {"error": error}
        self._finish(run_id, kwargs.get("response"), **outcome)

    def _finish(self, run_id: UUID, response: LLMResult | None, **outcome: Any) -> None:
        run = self._runs.end(run_id)
        if run is None or run.call is None:
            return
        converted: Json = {}
        with suppress_errors("langchain"):
            converted = responses.llm_result(response) if response is not None else {}
        if outcome is ABANDONED and responses.complete(converted):
            outcome = {}
        run.call.finish(**{**converted, **outcome})

    @never_raises("langchain")
    def on_retriever_start(self, serialized: Json, query: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Start a retriever's run."""
        self._start_run("retriever", serialized, run_id, kwargs)

    @never_raises("langchain")
    def on_retriever_end(self, documents: Sequence[Document], *, run_id: UUID, **_: Any) -> None:
        """Keep the documents for the models later in the chain."""
        run = self._runs.end(run_id)
        if run is not None:
            passages = requests.documents(documents)
            for above in self._runs.above(run):
                above.add_documents(passages)
                if above.kind == "retriever":  # a composite retriever: only its own result counts
                    break

    @never_raises("langchain")
    def on_chain_start(self, serialized: Json | None, inputs: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Start a chain's run, or a prompt template's run, which names the prompt of the models beside it."""
        run = self._start_run("chain", serialized, run_id, kwargs)
        if kwargs.get("run_type") == "prompt":
            above = next(self._runs.above(run), None)
            if above is not None:
                above.prompt = requests.template(kwargs.get("metadata") or {}) or above.prompt

    @never_raises("langchain")
    def on_tool_start(self, serialized: Json, input_str: str, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Start a tool's run; documents of a retriever in it go to the agent around it."""
        self._start_run("tool", serialized, run_id, kwargs)

    @never_raises("langchain")
    def _end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._runs.end(run_id)

    on_chain_end = on_tool_end = on_tool_error = on_retriever_error = _end

    @never_raises("langchain")
    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a chain's run; a model call still running directly inside it ended with the same error."""
        for run in self._runs.end_models_of(run_id):
            _finish_unended(run, error)
        self._runs.end(run_id)


def _finish_unended(run: Run, error: BaseException | None = None) -> None:
    """Publish the partial response of a call without an end."""
    if run.call is not None:
        choices = [{"content": run.text(), "finish_reason": None}] if run.text() else ()
        run.call.finish(choices=choices, error=error, **({} if error else ABANDONED))


def install(publisher: EventPublisher | None = None) -> StreamgaugeHandler:
    """Publish every run of this process from now on, without changes of the chains.

    A run with a `StreamgaugeHandler` of its own uses only that handler.
    """
    handler = StreamgaugeHandler(publisher)
    process_handler: ContextVar[StreamgaugeHandler | None] = ContextVar("streamgauge_langchain", default=handler)
    register_configure_hook(process_handler, inheritable=True, handle_class=StreamgaugeHandler)
    return handler
