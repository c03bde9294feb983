"""State of a conversation: its last turns and its suspect passages, packed into columns for a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from agents.base import Role
from agents.common.state_validation import expect_array, expect_at_most
from agents.injection.conversation_config import ConversationConfig

MAX_SUSPECTS = 4
"""Suspect passages of a conversation that are watched at a time: the newest ones."""


class Turn(NamedTuple):
    """A prompt: its length and head, which identify it, its logit and its surprisal."""

    length: int
    head: str
    logit: float
    surprisal: float


class SuspectPassage(NamedTuple):
    """A passage that reads like an order and is watched for an echo.

    Attributes
    ----------
    surprisal
        Surprisal of its worst window.
    role
        Role of the passage.
    indicators
        Addresses and quotations that an obeying model would repeat.
    calls_left
        Number of calls for which the passage is still watched.
    reported
        True once an echo was reported.
    """

    surprisal: float
    role: int
    indicators: tuple[str, ...]
    calls_left: int
    reported: bool


class Conversation:
    """Last turns and suspect passages of one conversation."""

    __slots__ = ("suspects", "turns")

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.suspects: list[SuspectPassage] = []


def pack(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Return conversations as columns, because there are thousands of them."""
    turns = list(chain.from_iterable([conversation.turns for conversation in conversations]))
    return {
        "turns": np.array([len(conversation.turns) for conversation in conversations], np.int64),
        "lengths": np.array([turn.length for turn in turns], np.int64),
        "heads": "".join([turn.head for turn in turns]),
        "logits": np.array([turn.logit for turn in turns], np.float64),
        "evidence": np.array([turn.surprisal for turn in turns], np.float64),
        "planted": [
            [i, [list(suspect) for suspect in conversation.suspects]]
            for i, conversation in enumerate(conversations)
            if conversation.suspects
        ],
    }


def unpack(state: Mapping[str, Any], config: ConversationConfig) -> list[Conversation]:
    """Return the conversations that `pack` packed.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the columns do not fit together or exceed the limits of ``config``.
    """
    turn_counts = expect_array(state["turns"], np.int64, None)
    expect_at_most(turn_counts, config.max_conversations, "conversations")  # type: ignore[arg-type] # has a length
    turns = _unpack_turns(state, config)
    if int(turn_counts.sum()) != len(turns):
        raise ValueError(f"conversations: {len(turns)} turns in total, expected {turn_counts.sum()}")
    if len(turn_counts) and not 0 <= turn_counts.min() <= turn_counts.max() <= config.max_turns:
        raise ValueError(
            f"conversations: {turn_counts.max()} turns in one of them, expected at most {config.max_turns}"
        )
    conversations: list[Conversation] = []
    remaining = iter(turns)
    suspects_of = {int(i): suspects for i, suspects in state["planted"]}
    for i, count in enumerate(turn_counts.tolist()):
        conversations.append(conversation := Conversation())
        conversation.turns = list(islice(remaining, count))
        conversation.suspects = [
            SuspectPassage(float(surprisal), int(Role(role)), tuple(map(str, indicators)), int(left), bool(reported))
            for surprisal, role, indicators, left, reported in suspects_of.pop(i, ())
        ]
        expect_at_most(conversation.suspects, MAX_SUSPECTS, "suspect passages of a conversation")
    if suspects_of:
        raise ValueError(f"conversations: suspect passages of the unknown conversations {sorted(suspects_of)[:5]}")
    return conversations


def _unpack_turns(state: Mapping[str, Any], config: ConversationConfig) -> list[Turn]:
    lengths = expect_array(state["lengths"], np.int64, None)
    logits, surprisals = (expect_array(state[name], np.float64, len(lengths)) for name in ("logits", "evidence"))
    heads, start = str(state["heads"]), 0
    turns: list[Turn] = []
    for length, logit, surprisal in zip(lengths.tolist(), logits.tolist(), surprisals.tolist(), strict=True):
        end = start + min(length, config.turn_chars)
        turns.append(Turn(length, heads[start:end], logit, surprisal))
        start = end
    if start != len(heads):
        raise ValueError(f"conversations: {len(heads)} characters of prompts, expected {start}")
    if (lengths < 0).any():
        raise ValueError(f"conversations: a prompt of {lengths.min()} characters, expected at least 0")
    return turns
