"""Before: a hand-written pipeline around a chain, with a version string, an audit log and a list of bad words."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

PROMPT_VERSION = "v7"
PROMPT = ChatPromptTemplate.from_messages([("system", "You triage patients. Be brief."), ("user", "{question}")])
SUSPICIOUS = ("ignore previous instructions", "system prompt", "jailbreak", "pretend to be")
AUDIT = Path("audit.jsonl")
REFUSAL = "I cannot help with that."

chain = PROMPT | ChatOpenAI(model="gpt-5.2") | StrOutputParser()


def triage(question: str, user_id: str) -> str:
    """Answer a question of a patient, or refuse it for a bad word; log both."""
    start = time.perf_counter()
    if any(words in question.lower() for words in SUSPICIOUS):
        audit(question, REFUSAL, user_id, start, flagged=True)
        return REFUSAL
    answer = chain.invoke({"question": question})
    audit(question, answer, user_id, start, flagged=False)
    return answer


def audit(question: str, answer: str, user_id: str, start: float, *, flagged: bool) -> None:
    """Append to the log. The request waits for the disk; the log has no tokens, cost and errors."""
    line = {
        "time": datetime.now(UTC).isoformat(),
        "prompt_version": PROMPT_VERSION,
        "user_id": user_id,
        "question": question,
        "answer": answer,
        "latency_ms": (time.perf_counter() - start) * 1e3,
        "flagged": flagged,
    }
    with AUDIT.open("a") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    for question in sys.argv[1:]:
        print(triage(question, user_id="u-9"))
