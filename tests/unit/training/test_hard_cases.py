from __future__ import annotations

from collections import Counter

from training.hard_cases import cases, sentences


def test_equal_seeds_give_equal_rows() -> None:
    assert cases(40, 3) == cases(40, 3)
    assert cases(40, 3) != cases(40, 4)


def test_every_language_has_attacks_and_harmless_rows_in_equal_number() -> None:
    count = Counter((row["lang"], row["label"]) for row in cases(3000, 0))
    assert {language for language, _ in count} == set(sentences())
    assert all(count[language, 0] == count[language, 1] > 0 for language in sentences())


def test_every_placeholder_is_filled() -> None:
    assert not [row["text"] for row in cases(500, 1) if "{w}" in row["text"] or "{q}" in row["text"]]
