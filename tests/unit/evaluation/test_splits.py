"""Splits of the quality report: families stay together, near-duplicates are removed, folds are deterministic."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from evaluation.families import FAMILIES, NOT_TESTED, NOT_TRAINED, family_of
from evaluation.near_duplicates import MIN_SIMILARITY, jaccard, near_duplicates
from evaluation.splits import assign_folds, leave_family_out, leave_language_out, text_of

WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=6)) for i in range(4000)]
SOURCES = ("cyberseceval_pi", "cyberseceval_pi_multi", "deepset", "shire_llama3", "banking77", "bbh", "hh_harmless")


def sentence(rng: random.Random, words: int = 30) -> str:
    return " ".join(rng.choices(WORDS, k=words))


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    rng = random.Random(3)
    return [
        {
            "text": sentence(rng),
            "label": int(source not in {"banking77", "bbh", "hh_harmless"}),
            "src": source,
            "lang": rng.choice(["en", "ko", "ru"]),
            "role": "user",
        }
        for source in (*SOURCES, *NOT_TESTED)
        for _ in range(40)
    ]


def test_a_source_is_in_one_family_and_each_family_has_a_reason() -> None:
    sources = [source for family in FAMILIES for source in family.sources]
    assert max(Counter(sources).values()) == 1
    assert all(family.reason for family in FAMILIES)
    assert not {family.name for family in FAMILIES} & set(sources)
    assert family_of("cyberseceval_pi") == family_of("cyberseceval_pi_multi")


def test_every_family_is_tested_once_and_not_trained_on_in_that_fold(rows: list[dict[str, Any]]) -> None:
    tested: list[int] = []
    for fold in leave_family_out(rows, folds=3):
        trained = {family_of(rows[i]["src"]) for i in fold.train}
        assert not trained & {family_of(rows[i]["src"]) for i in fold.test}
        assert len(fold.train)
        tested += fold.test.tolist()
    assert sorted(tested) == [i for i, row in enumerate(rows) if row["src"] not in NOT_TESTED]


def test_sources_related_to_every_fold_are_never_trained_on(rows: list[dict[str, Any]]) -> None:
    for fold in leave_family_out(rows, folds=3):
        assert not {rows[i]["src"] for i in fold.train} & set(NOT_TRAINED)


def test_near_duplicates_of_test_rows_are_not_trained_on(rows: list[dict[str, Any]]) -> None:
    rng = random.Random(5)
    copies = [row for row in rows if row["src"] == "deepset"][:10]
    text = [f"{row['text']} {rng.choice(WORDS)}!" for row in copies]
    assert all(jaccard(row["text"], t) >= MIN_SIMILARITY for row, t in zip(copies, text, strict=True))
    rows += [{**row, "text": t, "src": "banking77"} for row, t in zip(copies, text, strict=True)]
    dropped = 0
    for fold in leave_family_out(rows, folds=3):
        dropped += fold.dropped
        pairs = zip((row["text"] for row in copies), text, strict=True)
        train, test = ({rows[i]["text"] for i in side} for side in (fold.train, fold.test))
        assert not any((a in train and b in test) or (b in train and a in test) for a, b in pairs)
    assert dropped == 20  # the ten and their ten originals, each where the other is tested


def test_pairs_equal_an_exhaustive_search() -> None:
    rng = random.Random(11)
    texts = [sentence(rng, 40) for _ in range(30)]
    for changes in (1, 2, 3, 4, 5, 8, 20):
        for text in texts[:10]:
            words = text.split()
            for k in rng.sample(range(len(words)), changes):
                words[k] = rng.choice(WORDS)
            texts.append(" ".join(words))
    families = [f"f{i % 7}" for i in range(len(texts))]
    found = near_duplicates(texts, families)
    nodes = {node: i for i, node in enumerate(found.node.tolist())}
    pairs = {tuple(sorted((nodes[a], nodes[b]))) for a, b in found.pairs.tolist()}
    every = {
        (i, j)
        for i in range(len(texts))
        for j in range(i)
        if families[i] != families[j] and jaccard(texts[i], texts[j]) >= MIN_SIMILARITY
    }
    assert every
    assert pairs == {tuple(sorted(pair)) for pair in every}


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["a", "A!"], ["！", "ab"]])
def test_texts_too_short_for_a_shingle_are_handled(texts: list[str]) -> None:
    found = near_duplicates(texts, [f"f{i}" for i in range(len(texts))])
    assert len(found.pairs) == (texts == ["a", "A!"])


def test_the_same_rows_give_the_same_folds(rows: list[dict[str, Any]]) -> None:
    once, again = list(leave_family_out(rows, 3)), list(leave_family_out([dict(row) for row in rows], 3))
    for a, b in zip(once, again, strict=True):
        assert np.array_equal(a.train, b.train)
        assert np.array_equal(a.test, b.test)


def test_a_held_out_language_and_its_families_are_in_no_training_row(rows: list[dict[str, Any]]) -> None:
    folds = list(leave_language_out(rows, ("ko",), 3))
    assert folds
    for fold in folds:
        assert {rows[i]["lang"] for i in fold.test} == {"ko"}
        assert "ko" not in {rows[i]["lang"] for i in fold.train}
        assert not {family_of(rows[i]["src"]) for i in fold.train} & {family_of(rows[i]["src"]) for i in fold.test}


def test_families_are_balanced_over_folds(rows: list[dict[str, Any]]) -> None:
    assigned = assign_folds([row for row in rows if row["src"] not in NOT_TESTED], 3)
    assert set(assigned.values()) == {0, 1, 2}
    assert assigned["cyberseceval"] != assigned["deepset_and_paraphrases"]


def test_an_answer_is_compared_with_its_context() -> None:
    assert text_of({"context": ["a", "b"], "response": "c"}) == "a b\nc"
