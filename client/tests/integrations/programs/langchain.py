"""A LangChain RAG chain on ChatOpenAI; see `common` for how programs are run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])

import openai  # noqa: E402
from langchain_core.callbacks import CallbackManagerForRetrieverRun  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_core.output_parsers import StrOutputParser  # noqa: E402
from langchain_core.prompts import ChatPromptTemplate  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from langchain_core.runnables import Runnable, RunnablePassthrough  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import openai as api  # noqa: E402
from streamgauge.integrations.langchain import StreamgaugeHandler  # noqa: E402

MODEL = "gpt-4o-mini"
SEEN: dict[str, Any] = {"model": MODEL, "provider": "openai"}
ANSWERED: dict[str, Any] = {**SEEN, "response": api.ANSWER, "input_tokens": 19, "output_tokens": 12}


class Shelf(BaseRetriever):
    """Finds the same leaflet for every question."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("Take two tablets a day.", id="leaflet-1")]


def chain(model: ChatOpenAI) -> Runnable[Any, str]:
    """Return a chain that looks a question up and asks."""
    template = ChatPromptTemplate.from_messages([("system", "Answer from: {leaflet}"), ("user", "{question}")])
    found: Any = {"leaflet": Shelf(), "question": RunnablePassthrough()}
    answering: Runnable[Any, str] = found | template | model | StrOutputParser()
    return answering


def calls(stage: Stage) -> None:
    """Make one call each way."""
    watched: Any = {"callbacks": [StreamgaugeHandler(stage.publisher)]}
    with api.serve() as server:
        model = ChatOpenAI(
            model=MODEL, base_url=f"{server.url}/v1", api_key=lambda: "key", max_retries=0, stream_usage=True
        )
        with stage.prompt("plain"):
            chain(model).invoke("How much?", watched)
        stage.expect("plain", request="How much?", **ANSWERED)
        with stage.prompt("streamed"):
            list(chain(model).stream("How often?", watched))
        stage.expect("streamed", request="How often?", streamed=True, **ANSWERED)
        server.will(api.error(429))
        with stage.prompt("failing"), contextlib.suppress(openai.RateLimitError):
            chain(model).invoke("And now?", watched)
        stage.expect("failing", request="And now?", error_type="OpenAIRateLimitError", **SEEN)


if __name__ == "__main__":
    main("langchain", calls)
