"""One simulated LLM call: what was asked, what was found, what was answered, what it took."""

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
class Draft:
    """The texts of a call before it is costed."""

    user: str
    answer: str
    documents: list[dict[str, Any]] = field(default_factory=list)
    tool: str = ""


@dataclass(slots=True)
class Conversation:
    """A conversation that may go on."""

    id: str
    user: str
    turns: int = 0
    last: tuple[str, str] = ("", "")


class Caller:
    """Makes the calls of one app, one after the other, from one seeded generator.

    Parameters
    ----------
    app
        Whose calls.
    rng
        Where all chance comes from.
    """

    def __init__(self, app: App, rng: random.Random) -> None:
        self.app = app
        self._rng = rng
        self._open: deque[Conversation] = deque(maxlen=64)
        self._made = 0

    def call(self, at_ms: int, version: str, kind: Kind | None) -> dict[str, Any]:
        """Return the next call; ``kind`` names the incident that touches it."""
        draft = self._draft(self.app.versions[version], kind)
        talk = self._conversation(new=kind is not None)
        messages = self._messages(version, draft, talk)
        talk.turns, talk.last = talk.turns + 1, (draft.user, draft.answer)
        name = f"{self.app.name}-{self._made:06d}"
        self._made += 1
        return self._origin(name, at_ms, version, talk) | {
            "parameters": {"temperature": 0.2, "max_tokens": 1024},
            "messages": messages,
            "documents": draft.documents,
            **self._outcome(version, draft, messages),
        }

    def _origin(self, name: str, at_ms: int, version: str, talk: Conversation) -> dict[str, Any]:
        return {
            "event_id": name,
            "call_id": name,
            "time": iso(at_ms),
            "tenant": self.app.tenant,
            "app": self.app.name,
            "conversation_id": talk.id,
            "user_id": talk.user,
            "prompt_name": self.app.name,
            "prompt_version": version,
            "provider": self.app.provider,
            "request_model": self.app.model,
            "response_model": self.app.snapshot,
        }

    def _draft(self, version: Version, kind: Kind | None) -> Draft:
        rng = self._rng
        if kind == "injection":
            return self._attack(rng.choice(attacks()))
        if rng.random() < self.app.lookups:
            return self._lookup(_BENIGN_FIELD)
        asked = rng.choice(questions(self.app.name))
        answer = _elaborate(asked.passage, version.elaborate)
        if kind == "hallucination":
            answer = asked.passage.unsupported
        # Retrievers find something for every question, and models answer from it: off topic, only the questions change.
        text = rng.choice(off_topic()) if kind == "topic" else asked.text
        return Draft(rng.choice(self.app.greetings) + text, answer, self._retrieve(asked.passage))

    def _attack(self, text: str) -> Draft:
        """Half of them come from the user, half hide in what a tool returns; most of both are declined."""
        draft = Draft(text, _REFUSAL) if self._rng.random() < 0.5 else self._lookup(text)
        if self._rng.random() < 0.7:
            draft.answer = _REFUSAL
        return draft

    def _lookup(self, value: str) -> Draft:
        record = self._rng.choice(whois()).replace(INJECTION_MARKER, value)
        said = [line.strip() for line in record.split("\n") if ": " in line][:3]
        return Draft(self._rng.choice(_LOOKUPS), "The record says: " + "; ".join(said) + ".", tool=record)

    def _retrieve(self, passage: Passage) -> list[dict[str, Any]]:
        found = [passage]
        if self._rng.random() < 0.3:
            found.append(self._rng.choice(questions(self.app.name)).passage)
        return [{"text": p.document, "score": round(self._rng.uniform(0.6, 0.95), 3)} for p in found]

    def _conversation(self, *, new: bool) -> Conversation:
        rng = self._rng
        if not new and self._open and rng.random() < 0.3:
            talk = rng.choice(self._open)
            if talk.turns < _TURNS_MAX:
                return talk
        talk = Conversation(f"{self.app.name}-c{rng.getrandbits(40):010x}", f"user-{rng.randrange(400)}")
        if not new:
            self._open.append(talk)
        return talk

    def _messages(self, version: str, draft: Draft, talk: Conversation) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.app.versions[version].system}]
        if talk.turns:
            messages += [
                {"role": "user", "content": talk.last[0]},
                {"role": "assistant", "content": talk.last[1]},
            ]
        messages.append({"role": "user", "content": draft.user})
        if draft.tool:
            asked = {"id": "t1", "name": "whois", "arguments": "{}"}
            messages.append({"role": "assistant", "tool_calls": [asked]})
            messages.append({"role": "tool", "content": draft.tool, "tool_call_id": "t1"})
        return messages

    def _outcome(self, version: str, draft: Draft, messages: list[dict[str, Any]]) -> dict[str, Any]:
        rng, app = self._rng, self.app
        read = sum(tokens(m.get("content", "")) + 4 for m in messages) + sum(tokens(d["text"]) for d in draft.documents)
        first = app.ttft_ms * rng.lognormvariate(0.0, 0.35)
        if rng.random() < 0.006:
            return {"error": {"type": "timeout", "status": 504}, "latency_ms": 30_000.0}
        written = tokens(draft.answer)
        whole = first + written * app.versions[version].ms_per_token * rng.lognormvariate(0.0, 0.25)
        cached = (tokens(app.versions[version].system) // 16) * 16 if rng.random() < 0.5 else 0
        return {
            "choices": [{"content": draft.answer, "finish_reason": "stop"}],
            "usage": {"input_tokens": read, "output_tokens": written, "cached_tokens": cached},
            "cost_usd": round((read * app.usd_in + written * app.usd_out) / 1e6, 9),
            "latency_ms": round(whole, 1),
            "ttft_ms": round(first, 1),
        }


def tokens(text: str) -> int:
    """Return about how many tokens a text has.

    Examples
    --------
    >>> tokens("What is aphasia?")
    4
    """
    return -(-len(text) // 4)


def iso(ms: int) -> str:
    """Return milliseconds since 1970 as ISO 8601.

    Examples
    --------
    >>> iso(0)
    '1970-01-01T00:00:00.000Z'
    """
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _elaborate(passage: Passage, sentences: int) -> str:
    """Add sentences of the passage that the short answer leaves out: longer, and still supported."""
    if not sentences:
        return passage.answer
    lines = [line.lstrip("-# ").strip() for line in passage.document.split("\n")]
    more = [line for line in lines if len(line) > 30 and line not in passage.answer][:sentences]
    return " ".join([passage.answer, *more])
