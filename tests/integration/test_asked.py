"""What agents ask labels of is told in the scored event, where the judge finds it."""

from __future__ import annotations

import orjson

from processing.pipeline import Record
from schemas.outputs import Scored
from schemas.settings import Settings
from streams.reviewers.review_request import review_requests
from streams.reviewers.selection import Selection
from streams.runtime.decode import decode_event
from streams.runtime.registry import build_pipeline
from tests.traffic import lines


def test_a_scored_event_tells_that_and_how_probably_its_label_was_asked_for() -> None:
    records: list[Record] = [Record(i, decode_event(raw), raw) for i, raw in enumerate(lines(600))]
    out = build_pipeline(0, Settings.model_validate({"learning": {"requests_per_hour": 2000.0}})).process(records)
    requested = {(r["event_id"], r["signal"]): r["probability"] for r in out.label_requests}
    assert requested
    scored = [Scored.model_validate_json(row) for row in out.scored]
    told = {(s.event["event_id"], signal): p for s in scored for signal, p in s.label_request_probability.items()}
    assert told == requested
    assert any(not s.label_request_probability for s in scored)
    name = "label_request_probability"
    assert all(name.encode() not in row for row in out.scored if not orjson.loads(row).get(name))
    judge = Selection("judge", ("injection", "hallucination"), 2.0, 0.0, requested=True)
    asked = [q for row in out.scored for q in review_requests(row, judge) if q.reason == "requested"]
    assert {(q.event.event_id, q.signal): q.probability for q in asked}.items() <= requested.items()
    assert asked
