"""Refusals are detected, although most texts are ruled out by a search for a few words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.common.refusal import _PHRASES, is_refusal

_ASCII = st.characters(max_codepoint=127)


@given(st.from_regex(_PHRASES, fullmatch=True), st.text(_ASCII, max_size=40), st.text(_ASCII, max_size=40))
def test_each_phrase_is_detected_at_any_position(phrase: str, before: str, after: str) -> None:
    assert is_refusal(f"{before} {phrase.upper()} {after}")
    assert is_refusal(f"{before} {phrase} {after}")
