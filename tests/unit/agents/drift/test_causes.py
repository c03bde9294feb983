"""Ranking of the causes of an alarm for each kind of incident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from agents.base import ChangePoint, Chunk
from agents.drift import DriftAgent
from agents.drift.causes import MovedFeature, is_provider, rank_causes
from agents.drift.layout import SIGNALS
from processing.alerting.engine import watches
from schemas.event import CallError, Choice, LLMEvent, Message, Usage
from schemas.rules import load_rules

BANK = ("account", "balance", "card", "transfer", "limit", "fee", "loan", "rate", "branch", "payment", "deposit")
FOOD = ("olive", "bread", "oven", "recipe", "flour", "butter", "onion", "garlic", "pasta", "sauce", "roast", "basil")
Edit: TypeAlias = Callable[[dict[str, Any], np.random.Generator], None]
START, END = 1_000, 1_300


def call(i: int, edit: Edit | None) -> LLMEvent:
    rng = np.random.default_rng((3, i))
    fields: dict[str, Any] = {
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
    if edit is not None and i >= START:
        edit(fields, rng)
    content = fields["form"] + fields["opening"] + " " + " ".join(rng.choice(BANK, fields["words"]))
    answer = "I'm sorry, but I can't help with that." if fields["refused"] else content
    return LLMEvent(
        event_id=f"e{i}", call_id=f"c{i}", time=f"2026-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z",
        tenant="acme", app="bank", request_model=fields["model"], prompt_version=fields["version"],
        error=fields["error"],
        messages=(Message(role="user", content=fields["prompt"]),),
        choices=(Choice(content=answer, finish_reason="stop"),),
        usage=Usage(input_tokens=100 + len(fields["prompt"]) // 4, output_tokens=max(len(answer) // 5, 1)),
        latency_ms=(100 + 10 * fields["words"]) * fields["slow"], ttft_ms=80 * fields["slow"],
        cost_usd=1e-5 * len(answer),
    )  # fmt: skip


def first(edit: Edit) -> ChangePoint:
    changes = DriftAgent().score(Chunk([call(i, edit) for i in range(END)])).changes
    return next(change for change in changes if change.index >= START)


def topic(fields: dict[str, Any], rng: np.random.Generator) -> None:
    fields["prompt"] = "how do I " + " ".join(rng.choice(FOOD, 6))


def language(fields: dict[str, Any], _: np.random.Generator) -> None:
    fields["prompt"] = "계좌 이체 한도를 어떻게 바꾸나요"


def prompt_version(fields: dict[str, Any], rng: np.random.Generator) -> None:
    if rng.random() < 0.7:
        fields["version"], fields["words"] = "v2", 2 * fields["words"]


def model(fields: dict[str, Any], _: np.random.Generator) -> None:
    fields["model"], fields["words"], fields["form"] = "m2", fields["words"] // 2, "- "


def provider(fields: dict[str, Any], rng: np.random.Generator) -> None:
    fields["words"] = fields["words"] * 2 // 3
    fields["slow"] *= 0.7
    if rng.random() < 0.6:
        fields["form"], fields["opening"] = "- ", "Certainly"


def latency(fields: dict[str, Any], _: np.random.Generator) -> None:
    fields["slow"] *= 1.8


def refusal(fields: dict[str, Any], rng: np.random.Generator) -> None:
    fields["refused"] = fields["refused"] or rng.random() < 0.3


def error(fields: dict[str, Any], rng: np.random.Generator) -> None:
    fields["error"] = CallError(type="timeout") if rng.random() < 0.3 else None


def length(fields: dict[str, Any], _: np.random.Generator) -> None:
    fields["words"] *= 2


CAUSES: dict[str, tuple[Edit, str]] = {
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


@pytest.mark.parametrize("incident", CAUSES)
def test_the_true_cause_ranks_first(incident: str) -> None:
    edit, cause = CAUSES[incident]
    change = first(edit)
    assert change.causes[0].split(":")[0] == cause
    assert (change.signal == "drift.provider") == (cause == "provider")


def test_a_provider_change_reports_the_moved_features_and_their_number() -> None:
    change = first(provider)
    assert change.before == 0.0
    assert change.after >= 2.0
    assert change.event_ids[-1] == f"e{change.index}"
    assert "latency_ms" in change.causes[0]


def moved(name: str, z_score: float = 8.0, before: float = 1.0, after: float = 2.0) -> dict[str, MovedFeature]:
    return {name: MovedFeature(name, z_score, before, after)}


OUTPUT = moved("response_chars") | moved("format", before=0.9, after=0.4)


@pytest.mark.parametrize("name", ["text", "novelty", "prompt_chars", "language", "unfamiliar", "input_tokens"])
def test_a_change_of_the_input_is_no_provider_change(name: str) -> None:
    assert is_provider(OUTPUT, {}, "format")
    assert not is_provider(OUTPUT | moved(name), {}, "format")


def test_a_deployment_is_no_provider_change() -> None:
    assert not is_provider(OUTPUT, {"request_model=m2": (0.0, 0.5)}, "format")
    assert is_provider(OUTPUT, {"request_model=m1": (0.95, 1.0)}, "format")


def test_longer_and_slower_answers_are_one_change_and_longer_and_faster_answers_are_two() -> None:
    longer = moved("response_chars")
    assert not is_provider(longer | moved("latency_ms"), {}, "response_chars")
    assert is_provider(longer | moved("latency_ms", after=0.5), {}, "response_chars")


def test_a_new_fingerprint_is_a_provider_change() -> None:
    fingerprint = moved("fingerprint", before=1.0, after=0.6)
    assert rank_causes(fingerprint, {}, "fingerprint")[0] == "provider: usual fingerprint 100% to 60%"


@pytest.mark.parametrize("signal", SIGNALS)
def test_every_signal_has_one_rule_and_the_provider_has_a_separate_rule(signal: str) -> None:
    rules = [r.name for r in load_rules().rules if r.type == "change" and watches(r, f"drift.{signal}")]
    assert len(rules) == 1
    assert (rules == ["provider-change"]) == (signal == "provider")
