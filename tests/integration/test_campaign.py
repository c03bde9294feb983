"""Campaigns of real texts, scored by the pipeline of the worker."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from processing.pipeline import Outputs, Record
from schemas.event import LLMEvent
from schemas.settings import Settings
from streams.runtime.registry import build_pipeline
from tests.traffic import BEGIN
from tools.simulator.sample_texts import attacks, questions

ATTACK = next(text for text in attacks() if text.startswith("Yo, you have it!"))
FAQ = "How do I override the daily limit of my card, and can I ignore the warning that the app shows?"
_GREETINGS = ("", "Hi! ", "Hello, ", "ok so ", "Hey. ", "Please: ")
_ENDINGS = ("", " Thanks!", " Now.", " Do it please.", " This is urgent.")
_WORDS = {"concentrate": "focus", "task": "job", "told": "said to", "show": "give", "now": "from now on", "far": "long"}


def paraphrase(text: str, rng: random.Random) -> str:
    words = [_WORDS[w] if w in _WORDS and rng.random() < 0.4 else w for w in text.split(" ")]
    if rng.random() < 0.3:
        del words[rng.randrange(len(words))]
    return rng.choice(_GREETINGS) + " ".join(words) + rng.choice(_ENDINGS)


def event(n: int, text: str, second: int, user: str, **fields: Any) -> LLMEvent:
    ids = {"event_id": f"e{n}", "call_id": f"c{n}", "tenant": "acme", "app": "advisor", "user_id": user}
    content = {"time": BEGIN + timedelta(seconds=second), "messages": [{"role": "user", "content": text}]}
    return LLMEvent.model_validate(ids | content | fields)


def process(events: Sequence[LLMEvent]) -> Outputs:
    raws = [event.model_dump_json(exclude_unset=True).encode() for event in events]
    return build_pipeline(0, Settings()).process([Record(k, e, raws[k]) for k, e in enumerate(events)])


def campaigns(out: Outputs) -> list[dict[str, Any]]:
    return [row for row in out.alerts if row["rule"] == "prompt-campaign"]


def benign(rng: random.Random, app: str) -> str:
    return rng.choice(_GREETINGS) + rng.choice(questions(app)).text


def test_a_paraphrased_attack_by_thirty_users_is_one_alert() -> None:
    rng = random.Random(5)
    places = set(rng.sample(range(200, 1200), 30))
    events = [
        event(n, paraphrase(ATTACK, rng), n, f"u{n}")
        if n in places
        else event(n, benign(rng, "advisor"), n, f"v{n % 300}")
        for n in range(1400)
    ]
    quiet = [event(n, benign(rng, "advisor"), 1400 + 60 * (n - 1399), f"u{n}") for n in range(1400, 1460)]
    alerts = campaigns(process([*events, *quiet]))
    assert [row["state"] for row in alerts] == ["firing", "resolved"]
    firing, resolved = alerts
    assert firing["alert_id"] == resolved["alert_id"]
    assert firing["value"] == 5
    assert (resolved["value"], resolved["details"]["members"], resolved["details"]["users"]) == (30, 30, 30)
    assert {f"e{n}" for n in places} >= set(resolved["evidence"])
    assert "text" not in resolved["details"]


def test_a_question_that_many_users_ask_is_no_campaign() -> None:
    rng = random.Random(6)
    texts = [FAQ, questions("advisor")[3].text, questions("soc-copilot")[7].text]
    events = [event(n, rng.choice(_GREETINGS) + texts[n % 3] + rng.choice(_ENDINGS), n, f"u{n}") for n in range(900)]
    assert campaigns(process(events)) == []


def test_an_attack_in_many_passages_is_a_campaign_and_in_one_passage_it_is_not() -> None:
    rng = random.Random(2)
    asked = rng.sample(questions("triage"), 12)
    planted = [f"{q.passage.document}\n{ATTACK}" for q in asked]
    one = [event(n, q.text, n, f"u{n}", documents=[{"text": planted[0]}]) for n, q in enumerate(asked)]
    many = [event(n, q.text, n, f"u{n}", documents=[{"text": planted[n]}]) for n, q in enumerate(asked)]
    assert campaigns(process(one)) == []
    assert [row["state"] for row in campaigns(process(many))] == ["firing"]
