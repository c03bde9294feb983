"""Settings of conversation tracking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConversationConfig:
    """Settings of `agents.injection.conversation.Conversations`.

    Attributes
    ----------
    max_conversations
        Maximum number of conversations, with a fair share for each tenant. The least recently active conversations are
        evicted, and counted.
    max_turns
        Number of last prompts of a conversation that are combined.
    turn_chars
        Characters kept of each prompt.
    decay
        Factor of a turn's surprisal per later turn.
    turns_threshold
        Minimum decayed surprisal of all turns for a flag. One turn at the threshold has 4.6, the maximum per turn.
    join_from
        Minimum decayed surprisal of all turns for joining them into one text.
    joined_threshold
        Minimum surprisal of the joined text for a flag.
    joined_min_rise
        Minimum rise of the joined text over the worst turn, in logits.
    max_apps
        Maximum number of apps with a baseline of scores, with a fair share for each tenant. The least recently active
        apps are evicted.
    suspect_threshold
        Minimum surprisal of a suspect passage, which is watched for an echo.
    watched_calls
        Number of later calls of the conversation in which a suspect passage is watched.
    """

    max_conversations: int = 8192
    max_turns: int = 4
    turn_chars: int = 320
    decay: float = 0.8
    turns_threshold: float = 7.5
    join_from: float = 4.5
    joined_threshold: float = 6.0
    joined_min_rise: float = 1.0
    max_apps: int = 4096
    suspect_threshold: float = 3.2
    watched_calls: int = 3
