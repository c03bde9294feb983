"""After: the same chain. The monitor scores and counts each call, and raises alerts."""

from __future__ import annotations

import sys

import streamgauge
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from streamgauge.integrations.langchain import StreamgaugeHandler

PROMPT = ChatPromptTemplate.from_messages([("system", "You triage patients. Be brief."), ("user", "{question}")])

streamgauge.configure(tenant="clinic", app="triage")  # reads STREAMGAUGE_URL=kafka://broker:9092
chain = (PROMPT | ChatOpenAI(model="gpt-5.2") | StrOutputParser()).with_config(callbacks=[StreamgaugeHandler()])


def triage(question: str, user_id: str) -> str:
    """Answer a question of a patient."""
    with streamgauge.context("triage", version="v7", user_id=user_id):
        return chain.invoke({"question": question})


if __name__ == "__main__":
    for question in sys.argv[1:]:
        print(triage(question, user_id="u-9"))
