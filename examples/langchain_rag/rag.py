"""Question answering over leaflets with LangChain: the retrieved passages are published with the call."""

from __future__ import annotations

import sys

import streamgauge
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI
from streamgauge.integrations.langchain import StreamgaugeHandler

LEAFLETS = {
    "ibuprofen": "Ibuprofen: adults take 200 mg to 400 mg up to three times a day, with food.",
    "aspirin": "Aspirin: adults take 300 mg to 900 mg every four to six hours. Not for children under 16.",
    "paracetamol": "Paracetamol: adults take 500 mg to 1 g up to four times a day.",
}


class Leaflets(BaseRetriever):
    """Retriever of the leaflets of the drugs in a question; a vector store works the same way."""

    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
        named = [name for name in LEAFLETS if name in query.lower()]
        return [Document(LEAFLETS[name], id=name, metadata={"source": f"leaflets/{name}"}) for name in named]


PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these leaflets only:\n{leaflets}"), ("user", "{question}")]
)


def join(documents: list[Document]) -> str:
    """Join the passages for the prompt."""
    return "\n".join(document.page_content for document in documents)


streamgauge.configure(tenant="clinic", app="leaflets")  # reads STREAMGAUGE_URL
chain = (
    {"leaflets": Leaflets() | join, "question": RunnablePassthrough()}
    | PROMPT
    | ChatOpenAI(model="gpt-5.2")
    | StrOutputParser()
).with_config(callbacks=[StreamgaugeHandler()])


def answer(question: str) -> str:
    """Answer a question from the leaflets."""
    with streamgauge.context("leaflets", version="v2"):
        return chain.invoke(question)


if __name__ == "__main__":
    print(answer(sys.argv[1]))
