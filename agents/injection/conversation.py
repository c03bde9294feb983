"""Conversation tracking: attacks spread over several turns, and orders in passages that the model obeyed.

Turns. Each prompt stays below the threshold, but all prompts together do not. The last few prompts are combined in two
ways. Their surprisals are summed with decay. If the sum is suspicious, the prompts are joined into one text, which must
score clearly higher than each prompt. The surprisal of a score is the negative logarithm of the share of harmless
prompts that reach it: by the shipped threshold, and among the prompts of the same app. An app whose prompts all read a
little like orders has no surprising prompts, so its style alone raises no flag.

Echo. A document or a tool answer reads like an order, but scores too low for a flag. The model then writes an address
or a quotation that only this passage contains. The echo distinguishes an obeyed order from a passage that merely looks
odd. A model that declines echoes nothing.

All levels are logits of the score. Logit 0 is the threshold, which one harmless text in a hundred reaches. Every 3.5
logits above, the share shrinks to a tenth (`agents.injection.weights.InjectionWeights.gain`).

References
----------
Fisher, R. A. (1932). Statistical methods for research workers, 4th ed. (Summed logarithms of tail probabilities.)
Page, E. S. (1954). Continuous inspection schemes. Biometrika 41. (Evidence that restarts after it has vanished.)
Russinovich, M., Salem, A., Eldan, R. (2024). Great, now write an article about that: the crescendo multi-turn LLM
jailbreak attack. arXiv 2404.01833.
Greshake, K. et al. (2023). Not what you've signed up for: compromising real-world LLM-integrated applications with
indirect prompt injection. AISec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from heapq import nlargest
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk, Role
from agents.common.state_validation import expect_at_most, expect_counts
from agents.common.tenant_map import TenantLru
from agents.injection.conversation_config import ConversationConfig
from agents.injection.conversation_finding import MAX_LOGIT, ConversationFinding, keep_strongest
from agents.injection.conversation_state import Conversation, Turn, pack, unpack
from agents.injection.score_baseline import SURPRISAL_AT_THRESHOLD, SURPRISAL_PER_LOGIT, ScoreBaseline
from agents.injection.suspect_passages import extract_passage, watch_passages
from schemas.event import LLMEvent

ScorePrompts: TypeAlias = Callable[[Sequence[str]], Sequence[float]]
"""Callback that returns the logit of each prompt; -inf for a prompt without features."""

ScoredText: TypeAlias = tuple[int, int, str, float]
"""Index among the scored texts, role, text and logit."""

Key: TypeAlias = tuple[str, str, str]
"""Tenant, app and conversation id."""

MAX_PASSAGES = 16
"""Passages per event that are searched for indicators: the passages with the highest scores."""
_USER, _PASSAGE_ROLES = int(Role.USER), (int(Role.TOOL), int(Role.DOCUMENT))
_PROMPTS, _PASSAGES = "prompts", "passages"


class JoinedPrompts(NamedTuple):
    """Prompts joined into one text: event index, number of turns, highest logit of a turn, baseline of the app."""

    event: int
    turns: int
    worst: float
    baseline: ScoreBaseline
    text: str


class Conversations:
    """Conversations of a partition, in bounded memory.

    A call without ``conversation_id`` is scored by the history in the call itself, and leaves no state. Chat APIs send
    the history with every call, so only prompts after the last known prompt are new. A repetition of the last prompt is
    not new.

    Parameters
    ----------
    config
        See `ConversationConfig`.
    """

    def __init__(self, config: ConversationConfig | None = None) -> None:
        self.config = config or ConversationConfig()
        self._suspect_logit = (self.config.suspect_threshold - SURPRISAL_AT_THRESHOLD) / SURPRISAL_PER_LOGIT
        self._conversations = TenantLru[Key, Conversation](self.config.max_conversations)
        self._baselines = TenantLru[tuple[str, str, str], ScoreBaseline](self.config.max_apps)

    def __len__(self) -> int:
        return len(self._conversations)

    @property
    def evicted(self) -> int:
        """Number of conversations evicted because there were more than ``max_conversations``."""
        return self._conversations.evicted

    @property
    def evicted_apps(self) -> int:
        """Number of app baselines evicted because there were more than ``max_apps``."""
        return self._baselines.evicted

    def score(
        self,
        chunk: Chunk,
        chosen: NDArray[np.int64],
        logits: NDArray[np.float64],
        spans: NDArray[np.int64],
        score_prompts: ScorePrompts,
    ) -> dict[int, ConversationFinding]:
        """Update the conversation of each event and report attacks that only the conversation shows.

        Parameters
        ----------
        chosen, logits, spans
            int64[k], float64[k], int64[k, 2]: ascending indices of the scored texts in `Chunk.texts`, their logits, and
            the bytes of their worst windows in the buffer of the chunk.
        score_prompts
            Callback that scores joined prompts.

        Returns
        -------
        dict[int, ConversationFinding]
            By event index, the strongest finding at or above the threshold.
        """
        findings: dict[int, ConversationFinding] = {}
        joined: list[JoinedPrompts] = []
        for i, texts in _by_event(chunk, chosen, logits):
            event = chunk.events[i]
            conversation = self._conversation(event)
            prompts = [(text, logit) for _, role, text, logit in texts if role == _USER]
            if prompts:
                baseline = self._baseline(event, _PROMPTS)
                if len(prompts) == 1 and not event.conversation_id:
                    baseline.add(_clip(prompts[0][1]))  # there is no other prompt to combine it with
                elif self._append_turns(conversation, prompts, baseline):
                    self._combine(conversation, i, baseline, findings, joined)
            suspects = self._suspects(event, texts) if len(texts) > len(prompts) else ()
            if suspects or conversation.suspects:
                passages = [extract_passage(chunk, int(chosen[k]), spans[k], surprisal) for k, surprisal in suspects]
                for finding in watch_passages(conversation, event, passages, self.config.watched_calls):
                    keep_strongest(findings, i, finding)
        joined_logits = score_prompts([prompts.text for prompts in joined]) if joined else ()
        for prompts_of_event, logit in zip(joined, joined_logits, strict=True):
            self._compare(prompts_of_event, logit, findings)
        return findings

    def _compare(self, joined: JoinedPrompts, logit: float, findings: dict[int, ConversationFinding]) -> None:
        """Report joined prompts that score clearly higher than the worst turn."""
        if logit >= joined.worst + self.config.joined_min_rise:
            surprisal = joined.baseline.surprisal(min(MAX_LOGIT, logit))
            excess = (surprisal - self.config.joined_threshold) / SURPRISAL_PER_LOGIT
            keep_strongest(findings, joined.event, ConversationFinding(excess, Role.USER, turns=joined.turns))

    def _conversation(self, event: LLMEvent) -> Conversation:
        if not event.conversation_id:
            return Conversation()
        key = (event.tenant, event.app, event.conversation_id)
        return self._conversations.get_or_create(event.tenant, key, Conversation)

    def _suspects(self, event: LLMEvent, texts: Sequence[ScoredText]) -> list[tuple[int, float]]:
        """Add the passages of an event to the baseline; return index and surprisal of each suspect passage."""
        passages = [(k, logit) for k, role, _, logit in texts if role in _PASSAGE_ROLES]
        if not passages:
            return []
        baseline = self._baseline(event, _PASSAGES)
        # The prior is the maximum of the surprisal, so most passages need no lookup in the baseline.
        candidates = [(k, baseline.surprisal(logit)) for k, logit in passages if logit >= self._suspect_logit]
        for _, logit in passages:
            baseline.add(logit)
        if not candidates:
            return []
        suspects = [(k, surprisal) for k, surprisal in candidates if surprisal >= self.config.suspect_threshold]
        return sorted(nlargest(MAX_PASSAGES, suspects, key=itemgetter(1)))

    def _baseline(self, event: LLMEvent, kind: str) -> ScoreBaseline:
        return self._baselines.get_or_create(event.tenant, (event.tenant, event.app, kind), ScoreBaseline)

    def _append_turns(
        self, conversation: Conversation, prompts: list[tuple[str, float]], baseline: ScoreBaseline
    ) -> bool:
        """Append the new prompts of an event; return False if it has none."""
        known = {turn[:2] for turn in conversation.turns} if conversation.turns else ()
        new: list[Turn] = []
        for text, raw_logit in reversed(prompts[-self.config.max_turns :]):
            head = text[: self.config.turn_chars]
            if (len(text), head) in known:
                break
            logit = _clip(raw_logit)
            new.append(Turn(len(text), head, logit, baseline.surprisal(logit)))
        if new:
            baseline.add(new[0].logit)
            conversation.turns = [*conversation.turns, *reversed(new)][-self.config.max_turns :]
        return bool(new)

    def _combine(
        self,
        conversation: Conversation,
        i: int,
        baseline: ScoreBaseline,
        findings: dict[int, ConversationFinding],
        joined: list[JoinedPrompts],
    ) -> None:
        """Combine the last turns, as a sum of surprisals and as one text."""
        turns = conversation.turns
        if len(turns) < 2 or turns[-1].logit >= 0:
            return
        total = 0.0
        for turn in turns:
            total = self.config.decay * total + min(SURPRISAL_AT_THRESHOLD, turn.surprisal)
        excess = (total - self.config.turns_threshold) / SURPRISAL_PER_LOGIT
        keep_strongest(findings, i, ConversationFinding(excess, Role.USER, turns=len(turns)))
        if total >= self.config.join_from:
            worst = max(turn.logit for turn in turns)
            text = "\n".join(turn.head for turn in turns)
            joined.append(JoinedPrompts(i, len(turns), worst, ScoreBaseline(baseline.counts), text))

    def state(self) -> dict[str, Any]:
        """Return all conversations in the order of `TenantLru.items`, and the baselines of all apps."""
        return {
            "config": asdict(self.config),
            "evicted": self.evicted,
            "keys": list(chain.from_iterable(self._conversations)),
            "tenants": self._conversations.tenants(),
            **pack(list(self._conversations.values())),
            "apps": [list(key) for key in self._baselines],
            "app_tenants": self._baselines.tenants(),
            "usual": [list(baseline.counts) for baseline in self._baselines.values()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the state does not fit.
        """
        if state["config"] != asdict(self.config):
            raise ValueError("conversations: the state was written with other settings")
        expect_at_most(state["apps"], self.config.max_apps, "apps")
        conversations = unpack(state, self.config)
        if len(state["keys"]) != 3 * len(conversations):
            raise ValueError(f"conversations: {len(state['keys'])} parts of keys, expected {3 * len(conversations)}")
        expect_counts(int(state["evicted"]), *(n for bins in state["usual"] for n in bins))
        keys = iter(map(str, state["keys"]))
        apps = ((str(tenant), str(app), str(kind)) for tenant, app, kind in state["apps"])
        self._baselines.restore(state["app_tenants"], apps, map(ScoreBaseline, state["usual"]))
        self._conversations.restore(state["tenants"], zip(keys, keys, keys, strict=True), conversations)
        self._conversations.evicted = int(state["evicted"])


def _clip(logit: float) -> float:
    """Return a finite logit."""
    return logit if -MAX_LOGIT < logit < MAX_LOGIT else math.copysign(MAX_LOGIT, logit)


def _by_event(
    chunk: Chunk, chosen: NDArray[np.int64], logits: NDArray[np.float64]
) -> Iterable[tuple[int, list[ScoredText]]]:
    """Yield the scored texts of each event."""
    texts = chunk.texts
    events, roles = texts.event[chosen].tolist(), texts.role[chosen].tolist()
    strings = [texts.strings[k] for k in chosen.tolist()]
    columns = list(zip(range(len(events)), roles, strings, logits.tolist(), strict=True))
    start = 0
    for end in range(1, len(events) + 1):
        if end == len(events) or events[end] != events[start]:
            yield events[start], columns[start:end]
            start = end
