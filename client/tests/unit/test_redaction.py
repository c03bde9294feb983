"""Built-in redaction: matches, texts without a match, and run time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamgauge.redaction import redact
from streamgauge.redaction.chunks import CHUNK_CHARS, map_in_chunks
from streamgauge.redaction.numbers import luhn

MATCHES = [
    ("mail jane.doe@example.org now", "mail [email] now"),
    ("<jane+tag@sub.example.co.uk>", "<[email]>"),
    ("jürgen@bücher.example", "[email]"),
    ("mailto:a@b.io, c@d.io.", "mailto:[email], [email]."),
    ("see jane@example.org.", "see [email]."),
    ("call +49 30 901820", "call [phone]"),
    ("call +1 (415) 555-2671!", "call [phone]!"),
    ("(415) 555-2671", "[phone]"),
    ("415-555-2671 or 415.555.2671", "[phone] or [phone]"),
    ("06 12 34 56 78", "[phone]"),
    ("020 7946 0958", "[phone]"),
    ("card 4111 1111 1111 1111", "card [card]"),
    ("4111-1111-1111-1111, exp 12/29", "[card], exp 12/29"),
    ("4111111111111111 123", "[card] 123"),
    ("378282246310005", "[card]"),
    ("6011111111111117", "[card]"),
    ("DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"),
    ("GB29NWBK60161331926819", "[iban]"),
    ("gb29 nwbk 6016 1331 9268 19.", "[iban]."),
    ("key sk-proj-abcdefghijklmnopqrstuvwxyz0123", "key [key]"),
    ("sk-ant-api03-AAAAAAAAAAAAAAAAAAAAAAAA", "[key]"),
    ("AKIAIOSFODNN7EXAMPLE", "[key]"),
    ("ghp_" + "a1" * 18, "[key]"),
    ("xoxb-1234567890-abcdef", "[key]"),
    ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "Bearer [key]"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "[key] end"),
    ("-----BEGIN PRIVATE KEY-----\nMIIE", "[key]"),
]

UNCHANGED = [
    "on 2026-11-24 at 12:34:56.789",
    "version 1.2.3-rc4 and 10.20.30.40",
    "order 4111111111111112 is no card",  # invalid check digit
    "id 123456789012345678901234567890",
    "uuid 123e4567-e89b-12d3-a456-426614174000",
    "isbn 978-3-16-148410-0",
    "epoch 1795551662788 ms",
    "price 1 234 567 890 123",
    "DE89 3704 0044 0532 0130 01",  # invalid check digits
    "decorators: @property @app.get",
    "user@localhost",
    "a @ b, 5 @ 3.20",
    "mask-sk-ant is a word, sk-short too",
    "the task-oriented-dialogue-system-benchmark-of-2026",
    "3.14159265358979323846",
    "hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "coordinates 52.520008, 13.404954",
    "section 123-456-789",
    "",
]


@pytest.mark.parametrize(("text", "redacted"), MATCHES)
def test_matches_are_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize("text", UNCHANGED)
def test_other_texts_are_unchanged(text: str) -> None:
    assert redact(text) == text


@given(st.text(alphabet="a1@.-+ ()/_\nsk4é-eyJ.DE8", max_size=300))
def test_redaction_is_idempotent(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.integers(0, 10**15 - 1))
def test_exactly_one_check_digit_is_valid(number: int) -> None:
    assert sum(luhn(f"{number}{digit}") for digit in range(10)) == 1


HARD = [
    "a", "1", "@", "1 ", "1-", "+1", "+1 ", "a@", "@a.", "a.", "a@a.", "0 ", "sk-", "eyJ", "eyJaaaaaaaaaaa.", "DE89",
    "DE89 ",    "(", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "AKIA", "4111 1111 1111 1112 ", "é@é.", "%", "é",
    "020 7946 ", "xoxb-",
]  # fmt: skip


@pytest.mark.parametrize("unit", HARD)
def test_run_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        best = 9.0
        for _ in range(3):
            start = time.thread_time()
            redact(text)
            best = min(best, time.thread_time() - start)
        return best

    # A quadratic pattern takes 64 times as long for 8 times the text.
    assert seconds(80_000) < 24 * seconds(10_000) + 0.005


@given(
    st.lists(
        st.sampled_from([*(text for text, _ in MATCHES if "PRIVATE" not in text), *UNCHANGED]), min_size=1, max_size=40
    )
)
def test_a_chunked_redaction_equals_that_of_the_whole_text(sentences: list[str]) -> None:
    text = "\n".join(sentences * (CHUNK_CHARS // 200))
    pauses: list[None] = []
    assert map_in_chunks(text, redact, lambda: pauses.append(None)) == redact(text)
    assert bool(pauses) == (len(text) > CHUNK_CHARS)
