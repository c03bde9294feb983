"""Judge how much each prompt, document and tool answer reads like an injection, and watch the rate of those that do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import AgentOutput, ChangePoint, Chunk, Role, State, Texts
from agents.common.flag_rate import FlagRateMonitor, RateConfig
from agents.common.logistic import sigmoid
from agents.common.refusal import is_refusal
from agents.common.state_validation import strict_restore
from agents.injection.attack_family import family_of
from agents.injection.auxiliary_fields import ROLE_OF, FieldText, Place, field_texts, is_long
from agents.injection.concept_prefilter import heads, worth_reading
from agents.injection.conversation import ConversationConfig, Conversations, with_context
from agents.injection.deobfuscation import unmasked
from agents.injection.obfuscation_prefilter import suspects_of
from agents.injection.signal import GRADES, NOTHING, InjectionSignal
from agents.injection.system_prompt_cache import Known
from agents.injection.text_scores import GROUP_OF, Candidates, Look, Unmasked, joined, laid_out, look_at
from agents.injection.use_mention import MOST, rest_of
from agents.injection.weights import Shipped, shipped
from agents.injection.window_scan import FIRST_CELL, WIDTH, worst_of
from agents.learning import FeatureSpec, Learner, LearningConfig, ScoredEvents
from schemas.errors import StateError
from schemas.feedback import Feedback

NEAR = 0.2
"""Score from which a signal says whose text it is, though it is not flagged."""
_NEAR_LOGIT = math.log(NEAR / (1.0 - NEAR))
_HIDDEN_LEAST = 4
"""Hidden characters that make a disguise: fewer come with an emoji or a pasted word."""
_LEARNED_SIZE = 1 << 15
"""Entries of the tables of what labels moved: a few thousand labels touch as many words and pairs."""
_ROLE_NAMES = [role.name.lower() for role in Role]
_ROLE_OF = np.array([ROLE_OF[place] for place in Place], np.uint8)
_PLACE_OF = {int(Role.ASSISTANT): Place.ASSISTANT, int(Role.RESPONSE): Place.RESPONSE}
_SAID = np.array([place in {Place.ASSISTANT, Place.RESPONSE} for place in Place])
"""Places of what a model said."""
_CAUTION = np.array(
    [0.5 if place in {Place.ASSISTANT, Place.RESPONSE} else 0.0 if place is Place.TOOL_CALL else 1.0 for place in Place]
)
"""Log odds by which a text must exceed the threshold of its role: answers explain and quote what they read, and
metadata, of which there is most, is rarely an order to anybody."""
_DECLINED = 1.0
"""Log odds more where an answer declines: a refusal names what it refuses."""


@dataclass(frozen=True, slots=True)
class InjectionConfig:
    """Settings of `InjectionAgent`.

    Attributes
    ----------
    cusum
        How the rate of flags is watched; each of three grades rises by less than all of them.
    conversation
        What is made of the turns of a conversation.
    """

    cusum: RateConfig = field(default_factory=lambda: RateConfig(odds_ratio=1.5))
    conversation: ConversationConfig = field(default_factory=ConversationConfig)


class InjectionAgent:
    """Linear odds over n-grams and over named concepts of every window of a text, weighed by what the others say.

    The text is as bad as its worst window; small trees move that by what is known of the rest of it (`evidence`). An
    event is as bad as its worst text. It sees how attacks are worded, in any of the languages of the lexicon
    (`concepts`) and behind common disguises; it does not see one that reads like an ordinary request
    (``docs/models/injection.md`` tells how often).

    Parameters
    ----------
    config
        See `InjectionConfig`.
    base
        Weights other than those that ship.
    learning
        See `LearningConfig`.

    Attributes
    ----------
    threshold
        Score from which an event is flagged.
    learner
        What labels taught.

    References
    ----------
    Weinberger, K. et al. (2009). Feature hashing for large scale multitask learning. ICML.
    Andrews, S. et al. (2002). Support vector machines for multiple-instance learning. NIPS. (A text is as bad as its
    worst window, in training as in use.)
    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29.
    """

    name: ClassVar[str] = "injection"
    version: ClassVar[int] = 9
    threshold: ClassVar[float] = 0.5

    def __init__(
        self,
        config: InjectionConfig | None = None,
        base: Shipped | None = None,
        learning: LearningConfig | None = None,
    ) -> None:
        self.config = config or InjectionConfig()
        self._base = base or shipped()
        self.learner = Learner("injection", _space(learning), _digest(self._base), learning)
        self._rate = FlagRateMonitor(self.config.cusum, GRADES)
        self._conversations = Conversations(self.config.conversation)
        self._known, self._known_fields = Known(), Known()

    @property
    def evicted(self) -> int:
        """Apps whose rate, or usual logits, were forgotten for others."""
        return self._rate.evicted + self._conversations.evicted_apps

    def score(self, chunk: Chunk) -> AgentOutput:
        """Judge each event; remember its worst window for a label to come."""
        look = self.look(chunk.texts)
        others = self._look_at_fields(chunk)
        chosen, every = look.chosen, joined(look.found, others.found if others else None)
        tenants = [chunk.events[i].tenant for i in every.event.tolist()]
        unverified = self.learner.apply(every.rows[:, FIRST_CELL:], tenants, every.margin)
        best = np.empty(len(chunk), np.int64)
        worst_of(every.event, every.margin, best)
        logits = self._base.gain * every.margin
        # Summed over turns, what unverified labels move would exceed the bound that holds for one text.
        sure = (logits - self._base.gain * unverified)[: len(chosen)]
        context = self._conversations.judge(chunk, chosen, sure, every.spans, self._read)
        signals = [NOTHING] * len(chunk)
        read = np.flatnonzero(best >= 0)
        worst = best[read]
        size = len(look.found.event)
        for i, k, logit in zip(read.tolist(), worst.tolist(), logits[worst].tolist(), strict=True):
            signals[i] = (
                self._signal(look, k, logit) if k < size or not others else self._signal(others, k - size, logit)
            )
        for i, told in context.items():
            signals[i] = with_context(signals[i], told)
        index = read.tolist()
        rows, flags = np.ascontiguousarray(every.rows[worst, FIRST_CELL:]), [signals[i].flag for i in index]
        self.learner.observe(chunk, ScoredEvents(index, rows, every.odds[worst], logits[worst], flags))
        return AgentOutput(signals, self._watch(chunk, signals))

    def look(self, texts: Texts) -> Look:
        """Judge every text that the model is given, as it stands and as decoded, by the weights that do not change."""
        chosen = np.flatnonzero(GROUP_OF[texts.role] >= 0)
        hints, plain = self._plain(texts, chosen, self._known)
        self._allow_for_mentions(texts, chosen, plain)
        tricks, variants = self._unmask(texts, chosen, hints)
        return Look(texts, chosen, tricks, joined(plain, variants))

    def _look_at_fields(self, chunk: Chunk) -> Look | None:
        """Judge the texts beside messages and documents that name concepts of an attack, or wear a disguise."""
        fields = sorted(_answers(chunk.texts) + field_texts(chunk.events), key=itemgetter(0))
        if not fields:
            return None
        events, places, strings = zip(*fields, strict=True)
        start, buffer = laid_out(strings)
        place, hints = np.array(places, np.uint8), np.empty(len(fields), np.int64)
        worth, said = np.empty(len(fields), np.bool_), _SAID[place]
        every = np.arange(len(fields))
        worth_reading(buffer, start, every, *heads(), worth)
        suspects_of(buffer, start, every, hints)
        chosen = np.flatnonzero(worth | ~said | (hints != 0))
        if not len(chosen):
            return None
        texts = Texts(np.array(events, np.int64), _ROLE_OF[place], start, buffer, strings)
        hints, plain = self._plain(texts, chosen, self._known_fields)
        self._allow_for_mentions(texts, chosen, plain)
        tricks, variants = self._unmask(texts, chosen, hints)
        found = joined(plain, variants)
        owners = np.concatenate([chosen, np.array([one.of for one in tricks], np.int64)])
        found.margin[:] -= _CAUTION[place[owners]]
        for k in np.flatnonzero(said[owners] & (found.margin > 0)).tolist():
            found.margin[k] -= _DECLINED * is_refusal(strings[owners[k]])
        # An event is remembered by its messages and documents, unless something else in it looks like an attack.
        found.margin[self._base.gain * found.margin < _NEAR_LOGIT] = -np.inf
        if not np.isfinite(found.margin).any():
            return None
        return Look(texts, chosen, tricks, found, fields)

    def _allow_for_mentions(self, texts: Texts, chosen: NDArray[np.int64], found: Candidates) -> None:
        """Lower the margin of texts that quote an attack and tell of it; a system prompt gives orders."""
        flagged = np.flatnonzero((found.margin >= 0) & (found.role != Role.SYSTEM)).tolist()
        rests = [(k, rest.text) for k in flagged if (rest := rest_of(texts.strings[chosen[k]])) and rest.reports]
        if not rests:
            return
        places = [k for k, _ in rests]
        start, buffer = laid_out([text for _, text in rests])
        left = look_at(buffer, start, np.arange(len(rests)), found.event[places], found.role[places], self._base)
        for k, margin in zip(places, left.margin.tolist(), strict=True):
            if margin < 0:
                found.margin[k] = max(margin, found.margin[k] - MOST)

    def _plain(self, texts: Texts, chosen: NDArray[np.int64], known: Known) -> tuple[NDArray[np.int64], Candidates]:
        """Return which disguises a text may wear and what was found in it as it stands, of each."""
        system = texts.role[chosen] == Role.SYSTEM
        prompts = np.flatnonzero(system)

        def read(places: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
            which = chosen[prompts[places]]
            hints, found = self._read_texts(texts, which)
            known.hints[slots], known.odds[slots], known.margin[slots] = hints, found.odds, found.margin
            known.hidden[slots], known.rows[slots] = found.hidden, found.rows
            known.spans[slots] = found.spans - texts.start[which, None]

        slots = known.slots([texts.strings[k] for k in chosen[prompts].tolist()], read) if len(prompts) else None
        if slots is None:
            return self._read_texts(texts, chosen)
        others = np.flatnonzero(~system)
        order = np.argsort(np.concatenate([others, prompts]), kind="stable")
        hints, found = self._read_texts(texts, chosen[others])
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [
            (hints, known.hints[slots]),
            (found.odds, known.odds[slots]),
            (found.margin, known.margin[slots]),
            (found.hidden, known.hidden[slots]),
            (found.spans, known.spans[slots] + texts.start[chosen[prompts], None]),
            (found.rows, known.rows[slots]),
        ]
        hints, *columns = (np.concatenate(pair)[order] for pair in pairs)
        return hints, Candidates(texts.event[chosen], texts.role[chosen], *columns)

    def _read_texts(self, texts: Texts, which: NDArray[np.int64]) -> tuple[NDArray[np.int64], Candidates]:
        hints = np.empty(len(which), np.int64)
        suspects_of(texts.buffer, texts.start, which, hints)
        return hints, look_at(texts.buffer, texts.start, which, texts.event[which], texts.role[which], self._base)

    def _unmask(
        self, texts: Texts, chosen: NDArray[np.int64], hints: NDArray[np.int64]
    ) -> tuple[list[Unmasked], Candidates | None]:
        """Decode what is disguised; return it and what was found in it."""
        found: list[tuple[str, str, int]] = []
        for k in np.flatnonzero(hints).tolist():
            of = int(chosen[k])
            begin, end = texts.start[of : of + 2].tolist()
            found += [(trick, text, of) for trick, text in unmasked(texts.buffer, begin, end, int(hints[k]))]
        if not found:
            return [], None
        start, buffer = laid_out([text for _, text, _ in found])
        tricks = [Unmasked(*one, at) for one, at in zip(found, start[:-1].tolist(), strict=True)]
        every, parents = np.arange(len(tricks)), [one.of for one in tricks]
        return tricks, look_at(buffer, start, every, texts.event[parents], texts.role[parents], self._base, 1)

    def _read(self, prompts: Sequence[str]) -> Sequence[float]:
        """Return the logit of each of some prompts."""
        start, buffer = laid_out(prompts)
        every, user = np.arange(len(prompts)), np.full(len(prompts), Role.USER, np.uint8)
        found = look_at(buffer, start, every, every, user, self._base)
        logits: list[float] = (self._base.gain * found.margin).tolist()
        return logits

    def _signal(self, look: Look, k: int, logit: float) -> InjectionSignal:
        score = round(sigmoid(logit), 6)
        if score < NEAR:
            return InjectionSignal(score, flag=False)
        texts, chosen, tricks, found, fields = look
        of = int(chosen[k]) if k < len(chosen) else tricks[k - len(chosen)].of
        role = fields[of][1].name.lower() if fields else _ROLE_NAMES[found.role[k]]
        index = None if fields else of - int(texts.event.searchsorted(found.event[k]))
        if score < self.threshold:
            return InjectionSignal(score, flag=False, role=role, text_index=index)
        family = family_of(found.rows[k], self._base.table)
        begin = int(found.spans[k, 0])
        if k >= len(chosen):
            trick, text, _, start = tricks[k - len(chosen)]
            at = len(text.encode("utf-8", "replace")[: begin - start].decode("utf-8", "replace"))
            return InjectionSignal(score, True, role, trick, at, family, index)
        at = len(texts.buffer[texts.start[of] : begin].tobytes().decode("utf-8", "replace"))
        trick_or_none = "hidden" if found.hidden[k] >= _HIDDEN_LEAST else None
        return InjectionSignal(score, True, role, trick_or_none, at, family, index)

    def _watch(self, chunk: Chunk, signals: Sequence[InjectionSignal]) -> list[ChangePoint]:
        changes: list[ChangePoint] = []
        columns = zip(chunk.events, chunk.scopes, chunk.offsets.tolist(), chunk.times.tolist(), signals, strict=True)
        for i, (event, key, offset, time_ms, signal) in enumerate(columns):
            found = self._rate.update(key, signal.grade, offset, time_ms, event.event_id)
            if found is not None:
                changes.append(found.as_change_point(i, "injection.rate", key))
            changes += self.learner.quality_changes(i, event, offset, time_ms)
        return changes

    def learn(self, feedback: Feedback) -> bool:
        """Take in a label of a remembered event, see `Learner`."""
        return feedback.signal == self.name and self.learner.learn(feedback)

    def state(self) -> State:
        """Return what was learned, with the events that wait for labels, and the rate's sums."""
        return {
            "version": self.version,
            "config": asdict(self.config),
            "learner": self.learner.state(),
            "rate": dict(self._rate.state()),
            "conversations": self._conversations.state(),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = InjectionAgent(self.config, self._base, self.learner.config)
        try:
            if (state["version"], state["config"]) != (self.version, asdict(self.config)):
                raise StateError("made by another version or with other settings", code="settings")
            fresh.learner.restore(state["learner"])
            fresh._rate.restore(state["rate"])  # type: ignore[arg-type]
            fresh._conversations.restore(state["conversations"])  # type: ignore[arg-type]
        except (StateError, KeyError, TypeError, ValueError) as error:
            code = error.code if isinstance(error, StateError) else "damaged"
            raise StateError(f"injection: {error!r}; start cold", part="injection", code=code) from error
        self.learner, self._rate = fresh.learner, fresh._rate
        self._conversations = fresh._conversations


def _digest(base: Shipped) -> str:
    """Tell one set of shipped weights from another: what was learned is relative to it."""
    parts = (base.table, base.thresholds, *base.trees)
    return hashlib.blake2b(b"".join(part.tobytes() for part in parts), digest_size=8).hexdigest()


def _space(learning: LearningConfig | None) -> FeatureSpec:
    """Return words, word pairs and concepts of the worst window as features to learn from."""
    limit = np.array([(learning or LearningConfig()).limit])
    return FeatureSpec(_LEARNED_SIZE, WIDTH - FIRST_CELL, -limit, limit, hashed=True)


def _answers(texts: Texts) -> list[FieldText]:
    """Return what a model wrote that names concepts of an attack or may wear a disguise; most answers do neither."""
    said = np.flatnonzero(texts.role >= Role.ASSISTANT)
    worth, hints = np.empty(len(said), np.bool_), np.empty(len(said), np.int64)
    worth_reading(texts.buffer, texts.start, said, *heads(), worth)
    suspects_of(texts.buffer, texts.start, said, hints)
    kept = [k for k in said[worth | (hints != 0)].tolist() if is_long(texts.strings[k])]
    return [(int(texts.event[k]), _PLACE_OF[int(texts.role[k])], texts.strings[k]) for k in kept]
