"""Answers from leaflets with LangChain: what was retrieved travels with the call, so its grounding can be judged."""

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
    """Finds the leaflets of the drugs that a question names. Yours is a vector store; the handler sees either."""

    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
        named = [name for name in LEAFLETS if name in query.lower()]
        return [Document(LEAFLETS[name], id=name, metadata={"source": f"leaflets/{name}"}) for name in named]


PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from these leaflets only:\n{leaflets}"), ("user", "{question}")]
)


def together(documents: list[Document]) -> str:
    """Put the passages into the prompt."""
    return "\n".join(document.page_content for document in documents)


streamgauge.configure(tenant="clinic", app="leaflets")  # where to: STREAMGAUGE_URL
chain = (
    {"leaflets": Leaflets() | together, "question": RunnablePassthrough()}
    | PROMPT
    | ChatOpenAI(model="gpt-5.2")
    | StrOutputParser()
).with_config(callbacks=[StreamgaugeHandler()])


def answer(question: str) -> str:
    """Answer from the leaflets."""
    with streamgauge.context("leaflets", version="v2"):
        return chain.invoke(question)


if __name__ == "__main__":
    print(answer(sys.argv[1]))
