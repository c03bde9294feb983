"""Simulated LLM calls: prompt, retrieved documents, answer, usage and latency."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tools.simulator.apps import App, Version
from tools.simulator.incidents import Kind
from tools.simulator.sample_texts import INJECTION_MARKER, Passage, attacks, off_topic, questions, whois

_REFUSAL = "I'm sorry, but I can't help with that."
_LOOKUPS = ("Who registered the domain in this alert?", "Whois for the sender's domain, please.", "Who owns this host?")
_BENIGN_FIELD = "Example Holdings"
_TURNS_MAX = 4


@dataclass(slots=True)
class CallDraft:
    """Texts of a call, before usage and latency are computed."""

    user: str
    answer: str
    documents: list[dict[str, Any]] = field(default_factory=list)
    tool: str = ""


@dataclass(slots=True)
class Conversation:
    """Open conversation."""

    id: str
    user: str
    turns: int = 0
    last: tuple[str, str] = ("", "")


class CallGenerator:
    """Generator of one app's calls from a seeded random number generator.

    Parameters
    ----------
    app
        App that makes the calls.
    rng
        Source of all randomness.
    """

    def __init__(self, app: App, rng: random.Random) -> None:
        self.app = app
        self._rng = rng
        self._conversations: deque[Conversation] = deque(maxlen=64)
        self._count = 0

    def call(self, at_ms: int, version: str, kind: Kind | None) -> dict[str, Any]:
        """Return the next call; ``kind`` is the kind of incident that affects it."""
        draft = self._draft(self.app.versions[version], kind)
        conversation = self._conversation(new=kind is not None)
        messages = self._messages(version, draft, conversation)
        conversation.turns, conversation.last = conversation.turns + 1, (draft.user, draft.answer)
        name = f"{self.app.name}-{self._count:06d}"
        self._count += 1
        return self._identity(name, at_ms, version, conversation) | {
            "parameters": {"temperature": 0.2, "max_tokens": 1024},
            "messages": messages,
            "documents": draft.documents,
            **self._outcome(version, draft, messages),
        }

    def _identity(self, name: str, at_ms: int, version: str, conversation: Conversation) -> dict[str, Any]:
        return {
            "event_id": name,
            "call_id": name,
            "time": iso(at_ms),
            "tenant": self.app.tenant,
            "app": self.app.name,
            "conversation_id": conversation.id,
            "user_id": conversation.user,
            "prompt_name": self.app.name,
            "prompt_version": version,
            "provider": self.app.provider,
            "request_model": self.app.model,
            "response_model": self.app.snapshot,
        }

    def _draft(self, version: Version, kind: Kind | None) -> CallDraft:
        rng = self._rng
        if kind == "injection":
            return self._attack(rng.choice(attacks()))
        if rng.random() < self.app.lookups:
            return self._lookup(_BENIGN_FIELD)
        question = rng.choice(questions(self.app.name))
        answer = _elaborate(question.passage, version.elaborate)
        if kind == "hallucination":
            answer = question.passage.unsupported
        # A retriever returns a passage for every question, and the model answers from it. Topic drift therefore changes
        # the questions only.
        text = rng.choice(off_topic()) if kind == "topic" else question.text
        return CallDraft(rng.choice(self.app.greetings) + text, answer, self._retrieve(question.passage))

    def _attack(self, text: str) -> CallDraft:
        """Return an attack: half come from the user, half hide in a tool result. The model refuses most attacks."""
        draft = CallDraft(text, _REFUSAL) if self._rng.random() < 0.5 else self._lookup(text)
        if self._rng.random() < 0.7:
            draft.answer = _REFUSAL
        return draft

    def _lookup(self, value: str) -> CallDraft:
        record = self._rng.choice(whois()).replace(INJECTION_MARKER, value)
        fields = [line.strip() for line in record.split("\n") if ": " in line][:3]
        answer = "The record says: " + "; ".join(fields) + "."  # language: ok
        return CallDraft(self._rng.choice(_LOOKUPS), answer, tool=record)

    def _retrieve(self, passage: Passage) -> list[dict[str, Any]]:
        passages = [passage]
        if self._rng.random() < 0.3:
            passages.append(self._rng.choice(questions(self.app.name)).passage)
        return [{"text": p.document, "score": round(self._rng.uniform(0.6, 0.95), 3)} for p in passages]

    def _conversation(self, *, new: bool) -> Conversation:
        rng = self._rng
        if not new and self._conversations and rng.random() < 0.3:
            conversation = rng.choice(self._conversations)
            if conversation.turns < _TURNS_MAX:
                return conversation
        conversation = Conversation(f"{self.app.name}-c{rng.getrandbits(40):010x}", f"user-{rng.randrange(400)}")
        if not new:
            self._conversations.append(conversation)
        return conversation

    def _messages(self, version: str, draft: CallDraft, conversation: Conversation) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.app.versions[version].system}]
        if conversation.turns:
            messages += [
                {"role": "user", "content": conversation.last[0]},
                {"role": "assistant", "content": conversation.last[1]},
            ]
        messages.append({"role": "user", "content": draft.user})
        if draft.tool:
            tool_call = {"id": "t1", "name": "whois", "arguments": "{}"}
            messages.append({"role": "assistant", "tool_calls": [tool_call]})
            messages.append({"role": "tool", "content": draft.tool, "tool_call_id": "t1"})
        return messages

    def _outcome(self, version: str, draft: CallDraft, messages: list[dict[str, Any]]) -> dict[str, Any]:
        rng, app = self._rng, self.app
        input_tokens = sum(tokens(m.get("content", "")) + 4 for m in messages) + sum(
            tokens(d["text"]) for d in draft.documents
        )
        ttft_ms = app.ttft_ms * rng.lognormvariate(0.0, 0.35)
        if rng.random() < 0.006:
            return {"error": {"type": "timeout", "status": 504}, "latency_ms": 30_000.0}
        output_tokens = tokens(draft.answer)
        latency_ms = ttft_ms + output_tokens * app.versions[version].ms_per_token * rng.lognormvariate(0.0, 0.25)
        cached = (tokens(app.versions[version].system) // 16) * 16 if rng.random() < 0.5 else 0
        return {
            "choices": [{"content": draft.answer, "finish_reason": "stop"}],
            "usage": {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached},
            "cost_usd": round((input_tokens * app.usd_in + output_tokens * app.usd_out) / 1e6, 9),
            "latency_ms": round(latency_ms, 1),
            "ttft_ms": round(ttft_ms, 1),
        }


def tokens(text: str) -> int:
    """Return the approximate number of tokens in a text.

    Examples
    --------
    >>> tokens("What is aphasia?")
    4
    """
    return -(-len(text) // 4)


def iso(ms: int) -> str:
    """Return a Unix time in milliseconds as ISO 8601.

    Examples
    --------
    >>> iso(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _elaborate(passage: Passage, sentences: int) -> str:
    """Return the answer with further sentences of the passage: longer, but still supported."""
    if not sentences:
        return passage.answer
    lines = [line.lstrip("-# ").strip() for line in passage.document.split("\n")]
    added = [line for line in lines if len(line) > 30 and line not in passage.answer][:sentences]
    return " ".join([passage.answer, *added])
