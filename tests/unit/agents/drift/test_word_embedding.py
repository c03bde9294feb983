"""The kernel of words, embeddings and languages equals its plain Python reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.base import Chunk
from agents.drift.columns import Columns, extract_columns
from agents.drift.language_id import LANGUAGES
from agents.drift.layout import CATEGORIES
from evaluation.adapters.drift import as_event
from tests.oracles import drift

PIECES = [
    "The bridge",
    "Über",
    "das",
    "¿Cuál",
    "Привет",
    "λόγος",
    "שלום",
    "سلام",
    "नमस्ते",
    "ไทย",
    "도서관",
    "こんにちは",
    "東京",
]
TEXT = st.lists(st.sampled_from([*PIECES, " ", "42", "4x", ". ", "😀", "\x00", "\u0301"]), max_size=30).map("".join)
LIMIT = 1024


def read(*texts: str) -> Columns:
    return extract_columns(Chunk([as_event(t, i) for i, t in enumerate(texts)]), LIMIT)


def language(columns: Columns, i: int = 0) -> str:
    return bytes(columns.names[columns.values[i, CATEGORIES.index("language")]].tobytes()).rstrip(b"\0").decode()


def terms(columns: Columns, i: int) -> list[str]:
    spans = columns.spans[columns.first[i] : columns.first[i + 1]].tolist()
    return [columns.buffer[b : b + n].tobytes().decode() for b, n in spans if n]


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXT | st.text(max_size=60), min_size=1, max_size=4))
def test_kernel_equals_reference(texts: list[str]) -> None:
    columns = read(*texts)
    for i, text in enumerate(texts):
        valid = text.encode("utf-8", "replace").decode()
        assert columns.vectors[i].tolist() == drift.embedding(valid)
        assert language(columns, i) == drift.language(valid)
        assert columns.first[i + 1] - columns.first[i] == len(list(drift.words(valid)))


def test_a_text_is_read_up_to_the_last_whole_character_within_the_limit() -> None:
    assert read("관" * 5000).vectors[0].tolist() == drift.embedding("관" * (LIMIT // 3))
    assert read("word " * 100_000).vectors[0].tolist() == drift.embedding(("word " * 1000)[:LIMIT])


def test_terms_are_content_words() -> None:
    assert terms(read("How do I transfer 500 dollars to the old account?"), 0) == [
        "transfer",
        "dollars",
        "old",
        "account",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I open an account?", "en"),
        ("Wie kann ich das Konto für die Firma schließen?", "de"),
        ("¿Cuál es el saldo de la cuenta?", "es"),
        ("Como é que não recebo o meu dinheiro?", "pt"),
        ("도서관은 몇 시에 닫나요?", "hangul"),
        ("これはペンです 東京", "kana"),
        ("银行什么时候开门", "han"),
        ("Привет, как дела?", "cyrillic"),
        ("xyzzy plugh", "latin"),
        ("12 + 30 = ?", ""),
    ],
)
def test_the_language_of_a_text_is_identified(text: str, expected: str) -> None:
    assert language(read(text)) == expected


def test_languages_are_unique_and_fewer_than_64() -> None:
    assert len(set(LANGUAGES)) == len(LANGUAGES) < 64


def test_similar_texts_have_similar_embeddings() -> None:
    vectors: Any = read(
        "what is the balance of my account", "what is the balance of the account", "bake olive bread"
    ).vectors
    assert vectors[0] @ vectors[1] > 0.8 > vectors[0] @ vectors[2]
    assert np.allclose((vectors**2).sum(1), 1.0)
