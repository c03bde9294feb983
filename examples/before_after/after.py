"""After: the same chain. Each call goes to the monitor, which scores it, counts it, and raises the alert."""

from __future__ import annotations

import sys

import streamgauge
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from streamgauge.integrations.langchain import StreamgaugeHandler

PROMPT = ChatPromptTemplate.from_messages([("system", "You triage patients. Be brief."), ("user", "{question}")])

streamgauge.configure(tenant="clinic", app="triage")  # where to: STREAMGAUGE_URL=kafka://broker:9092
chain = (PROMPT | ChatOpenAI(model="gpt-5.2") | StrOutputParser()).with_config(callbacks=[StreamgaugeHandler()])


def triage(question: str, user_id: str) -> str:
    """Answer a patient."""
    with streamgauge.context("triage", version="v7", user_id=user_id):
        return chain.invoke({"question": question})


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(triage(asked, user_id="u-9"))
