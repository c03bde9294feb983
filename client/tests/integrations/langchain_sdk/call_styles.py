"""Models and retrievers of LangChain for the local server."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_openai import ChatOpenAI
from servers import openai as server
from servers.local import Server
from streamgauge.integrations.langchain import StreamgaugeHandler

MODEL = "gpt-4o-mini"
USAGE = {"input_tokens": 19, "output_tokens": 12, "cached_tokens": 8, "reasoning_tokens": 5}
ANSWERED = [{"content": server.ANSWER, "finish_reason": "stop"}]
ABANDONED = "abandoned"
LEAFLET = Document("Two tablets a day.", id="d1", metadata={"source": "leaflet.pdf", "score": 0.75})
LETTER = Document("Allergic to nuts.", id="d2")
FOUND = [
    {"id": "d1", "text": "Two tablets a day.", "score": 0.75, "source": "leaflet.pdf"},
    {"id": "d2", "text": "Allergic to nuts.", "score": None, "source": None},
]


def chat(api: Server, handler: StreamgaugeHandler | None = None, **more: Any) -> ChatOpenAI:
    callbacks = {"callbacks": [handler]} if handler else {}
    settings = {"model": MODEL, "max_retries": 0, "stream_usage": True, **callbacks, **more}
    return ChatOpenAI(base_url=f"{api.url}/v1", api_key=lambda: "key", **settings)


class Shelf(BaseRetriever):
    """Finds what it was given."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self.documents


class Shelves(BaseRetriever):
    """Asks several retrievers, and returns the first document of each."""

    shelves: list[BaseRetriever]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [shelf.invoke(query, {"callbacks": run_manager.get_child()})[0] for shelf in self.shelves]


def rag(model: ChatOpenAI, *retrievers: BaseRetriever) -> Runnable[Any, str]:
    found: dict[str, Any] = {f"context{n}": retriever for n, retriever in enumerate(retrievers)}
    names = " ".join(f"{{{name}}}" for name in found)
    template = ChatPromptTemplate.from_messages([("system", f"Use {names}"), ("user", "{question}")])
    template.metadata = {"lc_hub_repo": "leaflets", "lc_hub_commit_hash": "9f2c"}
    chain = {**found, "question": RunnablePassthrough()} | template | model | StrOutputParser()
    return chain.with_config(run_name="rag")


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("ours")
