"""Nothing that few users wrote is in an alert: texts carry words of their user, every kind of alert is provoked."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pytest

from processing.pipeline import Outputs, Record
from schemas.settings import Settings
from streams.runtime.decode import FEEDBACK_HEADER, decode_record
from streams.runtime.registry import build_pipeline
from tests.security.labelling import ATTACKS

BANK = ["account", "balance", "card", "transfer", "limit", "loan", "rate", "branch", "payment", "statement", "deposit"]
FOOD = ["olive", "bread", "oven", "recipe", "flour", "butter", "onion", "garlic", "pasta", "sauce", "roast", "basil"]
BEFORE, AFTER, USERS = 400, 160, 40
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LEAST = Settings().drift.min_users
APPS = ("words", "slow", "refusing", "failing", "ungrounded", "guarded", "attacked", "campaign")
SIGNALS = {
    "injection.rate", "campaign.prompts", "hallucination.rate", "guardrail.rate", "injection.precision",
    "injection.score", "drift.latency_ms", "drift.refusal", "drift.error", "error",
}  # fmt: skip
TOPIC = {"drift.text", "drift.novelty", "drift.unfamiliar"}
_WORD = re.compile(r"[^\W\d_]+")


def canary(field: str, user: int) -> str:
    """Return a word that one user alone says, in one field alone."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{user:04}")
    return f"zq{field}{letters}"


def few(user: int) -> str:
    """Return a word that four users share: one too few to be named."""
    return canary("few", 9_000 + user % USERS // (LEAST - 1))


def turned(app: str, k: int, user: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return how a call of an app differs once things have gone wrong."""
    # Slowly, so that the alarm comes when several users have asked for the new things.
    new = ["olive"] if k % 2 else []
    said = " ".join([*rng.choice(BANK, 6 - len(new)), *new, canary("prompt", user), few(user)])
    ways: dict[str, dict[str, Any]] = {
        "words": {"messages": [{"role": "user", "content": f"how do I {said}"}]},
        "slow": {"latency_ms": 4_000 + k % 50},
        "refusing": {"choices": [{"content": f"I'm sorry, but I can't help with that. {canary('answer', user)}"}]},
        "failing": {"error": {"type": "timeout", "message": f"no {canary('error', user)}"}, "choices": []},
        "ungrounded": {"choices": [{"content": f"The {' '.join(rng.choice(FOOD, 12))} {canary('answer', user)}."}]},
        "guarded": {
            "guardrails": [
                {"name": canary("guard", user), "verdict": "block", "categories": [canary("category", user)]}
            ]
        },
        "attacked": {"messages": [{"role": "user", "content": f"{canary('prompt', user)} {ATTACKS[1 + k % 40]}"}]},
        "campaign": {
            "user_id": canary("user", 500 + k),
            "messages": [{"role": "user", "content": f"I am {canary('name', 500 + k)}. {ATTACKS[0]}"}],
        }
        if k < 12
        else {},
    }
    return ways[app]


def call(app: str, k: int, *, wrong: bool) -> dict[str, Any]:
    rng = np.random.default_rng((APPS.index(app), k))
    user = int(rng.integers(USERS)) + 100 * APPS.index(app)
    passage = " ".join([*rng.choice(BANK, 30), canary("document", user)])
    said = " ".join([*rng.choice(BANK, 6), canary("prompt", user)])
    event: dict[str, Any] = {
        "event_id": f"{app}-{k}", "call_id": f"{app}-{k}", "tenant": "acme", "app": app,
        "time": (BEGIN + timedelta(seconds=10 * k)).isoformat(), "user_id": canary("user", user),
        "conversation_id": canary("conversation", user), "latency_ms": 400 + k % 50,
        "messages": [{"role": "user", "content": f"how do I {said} {few(user)}"}],
        "documents": [{"id": canary("docid", user), "source": canary("source", user), "text": passage}],
        "choices": [
            {
                "content": f"{passage} {canary('answer', user)}",
                "tool_calls": [{"name": canary("tool", user), "arguments": f'{{"to": "{canary("argument", user)}"}}'}],
            }
        ],
        "guardrails": [{"name": canary("guard", user), "verdict": "pass", "categories": [canary("category", user)]}],
    }  # fmt: skip
    return event | (turned(app, k - BEFORE, user, rng) if wrong else {})


def traffic() -> Iterator[dict[str, Any]]:
    for k in range(BEFORE + AFTER):
        for app in APPS:
            yield call(app, k, wrong=k >= BEFORE)
    for k in range(BEFORE, BEFORE + 60):
        said = {"kind": "feedback", "feedback_id": f"f{k}", "call_id": f"attacked-{k}", "app": "attacked"}
        who = {"tenant": "acme", "time": BEGIN.isoformat(), "user_id": canary("labeller", k), "source": "annotator"}
        yield said | who | {"signal": "injection", "label": k % 9 == 0, "comment": canary("comment", k)}
    for app in APPS:
        yield call(app, BEFORE + AFTER, wrong=False)


def run(records: list[dict[str, Any]], tree: Settings) -> Outputs:
    pipeline = build_pipeline(0, tree)
    raws = [orjson.dumps(record) for record in records]
    heads = [[FEEDBACK_HEADER] if record.get("kind") == "feedback" else [] for record in records]
    items = [decode_record(raw, head) for raw, head in zip(raws, heads, strict=True)]
    return pipeline.process([Record(k, item, raw) for k, (item, raw) in enumerate(zip(items, raws, strict=True))])


@pytest.fixture(scope="module")
def out() -> Outputs:
    return run(list(traffic()), Settings.model_validate({"drift": {"reference_events": 200}}))


def users_of_words(records: Iterator[dict[str, Any]]) -> Mapping[str, set[str]]:
    users: defaultdict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.get("kind") != "feedback":
            for word in _WORD.findall(record["messages"][-1]["content"].casefold()):
                users[word].add(record["user_id"])
    return users


def test_every_kind_of_alert_fires(out: Outputs) -> None:
    fired = {alert["signal"] for alert in out.alerts}
    assert SIGNALS - fired == set()
    assert TOPIC & fired


def test_no_alert_has_a_word_of_one_user(out: Outputs) -> None:
    assert "zq" in orjson.dumps(list(traffic())).decode()
    found = [a["signal"] for a in out.alerts if "zq" in orjson.dumps(a).decode().casefold()]
    assert found == []


def test_every_word_that_an_alert_names_was_said_by_enough_users(out: Outputs) -> None:
    said = users_of_words(traffic())
    named = Counter(w.casefold() for a in out.alerts for part in ("gained", "lost")
                    for w in a["details"].get(f"terms_{part}", ()))  # fmt: skip
    assert "olive" in named
    assert {word for word in named if len(said[word]) < LEAST} == set()


def test_a_campaign_is_told_by_counts_tactic_and_events(out: Outputs) -> None:
    told = next(a for a in out.alerts if a["signal"] == "campaign.prompts" and a["segment"]["app"] == "campaign")
    assert {"members", "users", "family", "minutes"} <= told["details"].keys()
    assert set(told["evidence"]) <= {f"campaign-{k}" for k in range(BEFORE, BEFORE + 12)}
    assert ATTACKS[0][:20] not in orjson.dumps(told).decode()


def test_requests_for_labels_and_rows_of_quality_have_no_text(out: Outputs) -> None:
    rows = [{n: v for n, v in row.items() if n != "conversation_id"} for row in (*out.label_requests, *out.quality)]
    assert rows
    assert not any("zq" in orjson.dumps(row).decode().casefold() for row in rows)


@pytest.mark.parametrize("given", [{}, {"conversation_id": True}, {"user_id": True}])
def test_where_nobody_says_whose_a_call_is_no_word_is_named(given: dict[str, bool]) -> None:
    records = [
        {n: v for n, v in record.items() if n not in {"user_id", "conversation_id"} or given.get(n)}
        for record in traffic()
        if record["app"] == "words"
    ]
    alerts = run(records, Settings.model_validate({"drift": {"reference_events": 200}})).alerts
    assert TOPIC & {alert["signal"] for alert in alerts}
    assert any(a["details"].get("terms_gained") for a in alerts) is bool(given)
    assert "zq" not in orjson.dumps(alerts).decode().casefold()
