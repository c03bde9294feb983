"""What an alarm is put down to: each kind of incident, and what is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from agents.base import ChangePoint, Chunk
from agents.drift import DriftAgent
from agents.drift.causes import Moved, is_provider, rank
from agents.drift.layout import SIGNALS
from processing.alerting.engine import watches
from schemas.event import CallError, Choice, LLMEvent, Message, Usage
from schemas.rules import load_rules

BANK = ("account", "balance", "card", "transfer", "limit", "fee", "loan", "rate", "branch", "payment", "deposit")
FOOD = ("olive", "bread", "oven", "recipe", "flour", "butter", "onion", "garlic", "pasta", "sauce", "roast", "basil")
Edit: TypeAlias = Callable[[dict[str, Any], np.random.Generator], None]
BEGIN, END = 1_000, 1_300


def call(i: int, edit: Edit | None) -> LLMEvent:
    rng = np.random.default_rng((3, i))
    parts: dict[str, Any] = {
        "prompt": "how do I " + " ".join(rng.choice(BANK, 6)),
        "words": int(rng.integers(15, 40)),
        "form": rng.choice(["", "- "], p=[0.85, 0.15]),
        "opening": str(rng.choice(["You", "The", "Go"])),
        "slow": float(rng.lognormal(0, 0.3)),
        "refused": rng.random() < 0.02,
        "version": "v1",
        "model": "m1",
        "error": None,
    }
    if edit is not None and i >= BEGIN:
        edit(parts, rng)
    said = parts["form"] + parts["opening"] + " " + " ".join(rng.choice(BANK, parts["words"]))
    answer = "I'm sorry, but I can't help with that." if parts["refused"] else said
    return LLMEvent(
        event_id=f"e{i}", call_id=f"c{i}", time=f"2026-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z",
        tenant="acme", app="bank", request_model=parts["model"], prompt_version=parts["version"], error=parts["error"],
        messages=(Message(role="user", content=parts["prompt"]),),
        choices=(Choice(content=answer, finish_reason="stop"),),
        usage=Usage(input_tokens=100 + len(parts["prompt"]) // 4, output_tokens=max(len(answer) // 5, 1)),
        latency_ms=(100 + 10 * parts["words"]) * parts["slow"], ttft_ms=80 * parts["slow"], cost_usd=1e-5 * len(answer),
    )  # fmt: skip


def first(edit: Edit) -> ChangePoint:
    changes = DriftAgent().score(Chunk([call(i, edit) for i in range(END)])).changes
    return next(change for change in changes if change.index >= BEGIN)


def topic(parts: dict[str, Any], rng: np.random.Generator) -> None:
    parts["prompt"] = "how do I " + " ".join(rng.choice(FOOD, 6))


def language(parts: dict[str, Any], _: np.random.Generator) -> None:
    parts["prompt"] = "계좌 이체 한도를 어떻게 바꾸나요"


def prompt_version(parts: dict[str, Any], rng: np.random.Generator) -> None:
    if rng.random() < 0.7:
        parts["version"], parts["words"] = "v2", 2 * parts["words"]


def model(parts: dict[str, Any], _: np.random.Generator) -> None:
    parts["model"], parts["words"], parts["form"] = "m2", parts["words"] // 2, "- "


def provider(parts: dict[str, Any], rng: np.random.Generator) -> None:
    parts["words"] = parts["words"] * 2 // 3
    parts["slow"] *= 0.7
    if rng.random() < 0.6:
        parts["form"], parts["opening"] = "- ", "Certainly"


def latency(parts: dict[str, Any], _: np.random.Generator) -> None:
    parts["slow"] *= 1.8


def refusal(parts: dict[str, Any], rng: np.random.Generator) -> None:
    parts["refused"] = parts["refused"] or rng.random() < 0.3


def error(parts: dict[str, Any], rng: np.random.Generator) -> None:
    parts["error"] = CallError(type="timeout") if rng.random() < 0.3 else None


def length(parts: dict[str, Any], _: np.random.Generator) -> None:
    parts["words"] *= 2


RIGHT: dict[str, tuple[Edit, str]] = {
    "topic": (topic, "topic"),
    "language": (language, "language"),
    "prompt version": (prompt_version, "prompt version"),
    "model": (model, "model"),
    "provider": (provider, "provider"),
    "latency": (latency, "latency"),
    "refusal": (refusal, "refusal"),
    "error": (error, "error"),
    "length": (length, "answer length"),
}


@pytest.mark.parametrize("incident", RIGHT)
def test_the_right_cause_comes_first(incident: str) -> None:
    edit, right = RIGHT[incident]
    change = first(edit)
    assert change.causes[0].split(":")[0] == right
    assert (change.signal == "drift.provider") == (right == "provider")


def test_a_provider_change_says_what_moved_and_how_much_of_it() -> None:
    change = first(provider)
    assert change.before == 0.0
    assert change.after >= 2.0
    assert change.event_ids[-1] == f"e{change.index}"
    assert "latency_ms" in change.causes[0]


def moved(name: str, far: float = 8.0, before: float = 1.0, after: float = 2.0) -> dict[str, Moved]:
    return {name: Moved(name, far, before, after)}


OUTPUT = moved("response_chars") | moved("format", before=0.9, after=0.4)


@pytest.mark.parametrize("name", ["text", "novelty", "prompt_chars", "language", "unfamiliar", "input_tokens"])
def test_where_the_input_moved_it_is_not_the_provider(name: str) -> None:
    assert is_provider(OUTPUT, {}, "format")
    assert not is_provider(OUTPUT | moved(name), {}, "format")


def test_a_deployment_is_not_a_silent_change() -> None:
    assert not is_provider(OUTPUT, {"request_model=m2": (0.0, 0.5)}, "format")
    assert is_provider(OUTPUT, {"request_model=m1": (0.95, 1.0)}, "format")


def test_longer_answers_that_take_longer_are_one_change_and_quicker_ones_are_two() -> None:
    longer = moved("response_chars")
    assert not is_provider(longer | moved("latency_ms"), {}, "response_chars")
    assert is_provider(longer | moved("latency_ms", after=0.5), {}, "response_chars")


def test_a_new_fingerprint_is_the_provider() -> None:
    fingerprint = moved("fingerprint", before=1.0, after=0.6)
    assert rank(fingerprint, {}, "fingerprint")[0] == "provider: usual fingerprint 100% to 60%"


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal_has_one_rule_and_the_provider_its_own(signal: str) -> None:
    rules = [r.name for r in load_rules().rules if r.type == "change" and watches(r, f"drift.{signal}")]
    assert len(rules) == 1
    assert (rules == ["provider-change"]) == (signal == "provider")
