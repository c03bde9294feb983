"""The grounding kernel equals its plain Python reference for any text and any chunk boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.base import Chunk
from agents.hallucination import HallucinationAgent
from agents.hallucination.uncertainty import SKETCH, jaccard, sketch_of
from evaluation.adapters.hallucination import as_event, feature_rows
from tests.oracles import hallucination
from tests.oracles.hallucination import measure

WORDS = "The bridge not never opened Sydney Paris in 1932 1,932.50 7% 25th two thousand don't a-b 3. .5 1.,2 x U.S. EU"
NUMBERS = "5 km 5000 m 5km 1.2 million 1,234,567 1k 2bn 0 0.0 [3] [1.2.3] 1930s 1934 March 03 1932-03-19 12.10.2020"
MORE = '99999999999999999999 increase fell before after all only " “ ” 않 아니다 안 0.05 123 120 137.5 hundred May'
OTHERS = "Ünïcode Привет 결과 서울시 보고서 東京 。 ！ “quoted” 😀 http://a.b/c) me@x.org @ :// . ! ? , \x00 \u0301"
PIECES = [*WORDS.split(" "), *NUMBERS.split(" "), *MORE.split(" "), *OTHERS.split(" "), "\n"]
PROSE = st.lists(st.sampled_from([*PIECES, " ", ". "]), max_size=40).map(" ".join)
TEXT = PROSE | st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=60)
ROW = st.fixed_dictionaries({"context": st.lists(TEXT, min_size=1, max_size=3), "question": TEXT, "response": TEXT})


@settings(max_examples=200, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=4))
def test_kernel_equals_reference(rows: list[dict[str, Any]]) -> None:
    for row, actual in zip(rows, feature_rows(rows), strict=True):
        context = [c for c in row["context"] if c]
        question = [row["question"]] if row["question"] else []
        expected = measure(context, question, [row["response"]]) if context and row["response"] else None
        if expected is None:
            assert np.isnan(actual).all()
        else:
            assert actual.tolist() == [*expected, 0.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=6), st.data())
def test_signals_do_not_depend_on_chunk_boundaries(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    events = [as_event(row, i) for i, row in enumerate(rows)]
    cut = data.draw(st.integers(0, len(events)))
    whole = HallucinationAgent().score(Chunk(events)).signals
    parts = HallucinationAgent()
    first, second = parts.score(Chunk(events[:cut])).signals, parts.score(Chunk(events[cut:])).signals
    assert [*first, *second] == list(whole)


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT)
def test_the_jaccard_index_of_small_sketches_is_exact(left: str, right: str) -> None:
    sets = []
    for text in (left[:200], right[:200]):
        words = [w for w in hallucination._analyse([text]).words if w.content]
        sets.append({w.number.whole if w.number else w.stem for w in words})
    union = sets[0] | sets[1]
    if len(union) <= SKETCH:
        expected = len(sets[0] & sets[1]) / len(union) if union else 1.0
        assert jaccard(sketch_of(left[:200]), sketch_of(right[:200])) == expected


@settings(max_examples=100, deadline=None)
@given(ROW)
def test_every_feature_is_between_0_and_1(row: dict[str, Any]) -> None:
    features = feature_rows([row])
    assert np.isnan(features).all() or ((features >= 0) & (features <= 1)).all()
