"""What only a conversation shows: an attack in pieces over its turns, and an order from a document that was obeyed.

Turns. One prompt after the other stays below the threshold, together they do not. The last few prompts are combined
in two ways: as evidence that fades with each turn, and, where that is suspicious, read as one text, which must read
clearly worse than each of them. Evidence is the logarithm of how rare a prompt as bad as this is, by the shipped
threshold and among the prompts of the same app: where all prompts read a little like orders, none is evidence, or
whole apps would be flagged by their style alone.

Echo. A document or a tool's answer reads like an order, if not enough to be flagged, and then the model writes down an
address or a quotation that only that passage has. That it was obeyed is what tells it from a passage that merely looks
odd; a model that declines is passed over.

All levels are logits of the score: 0 is the threshold, which one harmless text in a hundred passes, and each 3.5 above
is a tenth of those (`agents.injection.weights.Shipped.gain`).

References
----------
Fisher, R. A. (1932). Statistical methods for research workers, 4th ed. (Summed logarithms of tail probabilities.)
Page, E. S. (1954). Continuous inspection schemes. Biometrika 41. (Evidence that starts anew when it has vanished.)
Russinovich, M., Salem, A., Eldan, R. (2024). Great, now write an article about that: the crescendo multi-turn LLM
jailbreak attack. arXiv 2404.01833.
Greshake, K. et al. (2023). Not what you've signed up for: compromising real-world LLM-integrated applications with
indirect prompt injection. AISec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from heapq import nlargest
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk, Role
from agents.common.state_validation import expect_array, expect_at_most, expect_counts
from agents.common.tenant_map import TenantLru
from agents.injection.indicator_echo import BONUS, answers, echo_of, needles_of
from agents.injection.score_baseline import AT_THRESHOLD, SLOPE, Usual
from agents.injection.signal import InjectionSignal
from schemas.event import LLMEvent

Read: TypeAlias = Callable[[Sequence[str]], Sequence[float]]
"""Returns the logit of each of some prompts; -inf where there is nothing to read."""

Judged: TypeAlias = tuple[int, int, str, float]
"""A text that was judged: its place among them, role, itself, logit."""

Key: TypeAlias = tuple[str, str, str]
"""Tenant, app, conversation."""


@dataclass(frozen=True, slots=True)
class ConversationConfig:
    """Settings of `Conversations`.

    Attributes
    ----------
    size
        Conversations remembered, with a fair share for each tenant; those that spoke longest ago are forgotten, and
        counted, when there are more.
    turns
        Prompts of a conversation that are combined.
    turn_chars
        Characters kept of each.
    fade
        What is left of a turn's evidence one turn later.
    together
        Evidence of all turns from which they are flagged; one turn at the threshold is 4.6, and counts for no more.
    read_from
        Evidence from which they are read as one text.
    joined
        Evidence from which that text is flagged.
    rise
        Logits by which it must exceed the worst turn.
    apps
        Apps of which the usual logits are known, with a fair share for each tenant; those that spoke longest ago are
        forgotten when there are more.
    planted
        Evidence from which a passage is watched for being obeyed.
    watched
        Later calls of the conversation in which it is watched for.
    """

    size: int = 8192
    turns: int = 4
    turn_chars: int = 320
    fade: float = 0.8
    together: float = 7.5
    read_from: float = 4.5
    joined: float = 6.0
    rise: float = 1.0
    apps: int = 4096
    planted: float = 3.2
    watched: int = 3


@dataclass(frozen=True, slots=True)
class Context:
    """What the conversation says of an event.

    Attributes
    ----------
    logit
        How sure that is.
    role
        Whose text it was.
    turns
        Prompts that had to be put together; None for an echo.
    echo
        What the model repeated: ``argument`` (in a tool call), ``address`` or ``quotation``; None for turns.
    text_index
        Which of the event's texts the order is in; None if an earlier event brought it.
    """

    logit: float
    role: Role
    turns: int | None = None
    echo: str | None = None
    text_index: int | None = None


class Turn(NamedTuple):
    """A prompt: its length and head, by which it is known again, its logit and its evidence."""

    length: int
    head: str
    logit: float
    evidence: float


class Passage(NamedTuple):
    """Where a document or a tool's answer reads worst: which of the event's texts it is, its role, text, evidence."""

    text_index: int
    role: int
    text: str
    evidence: float


class Planted(NamedTuple):
    """A passage that reads like an order: its evidence, what obeying it would repeat, calls for which it is watched."""

    evidence: float
    role: int
    needles: tuple[str, ...]
    left: int
    told: bool


class Joined(NamedTuple):
    """Prompts put together: of which event, how many, the worst of them, and what is usual in their app."""

    event: int
    turns: int
    worst: float
    usual: Usual
    text: str


class Talk:
    """One conversation."""

    __slots__ = ("planted", "turns")

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.planted: list[Planted] = []


class Conversations:
    """The conversations of a partition, in bounded memory.

    Calls without ``conversation_id`` are judged by the history that they bring along, and nothing of them is kept.
    Chat APIs send the history with every call: what stands before the last prompt that is known is not new. A prompt
    that repeats the last one is not new either.

    Parameters
    ----------
    config
        See `ConversationConfig`.
    """

    def __init__(self, config: ConversationConfig | None = None) -> None:
        self.config = config or ConversationConfig()
        self._planted_from = (self.config.planted - AT_THRESHOLD) / SLOPE
        self._talks = TenantLru[Key, Talk](self.config.size)
        self._usual = TenantLru[tuple[str, str, str], Usual](self.config.apps)

    def __len__(self) -> int:
        return len(self._talks)

    @property
    def evicted(self) -> int:
        """Conversations forgotten because there were more than ``size``."""
        return self._talks.evicted

    @property
    def evicted_apps(self) -> int:
        """Apps whose usual logits were forgotten because there were more than ``apps``."""
        return self._usual.evicted

    def judge(
        self,
        chunk: Chunk,
        chosen: NDArray[np.int64],
        logits: NDArray[np.float64],
        spans: NDArray[np.int64],
        read: Read,
    ) -> dict[int, Context]:
        """Follow each event's conversation.

        Parameters
        ----------
        chosen, logits, spans
            int64[k], float64[k], int64[k, 2]: texts that were judged (of `Chunk.texts`, ascending), the logit of each,
            bytes of its worst window in the chunk's buffer.
        read
            Judges prompts that were put together.

        Returns
        -------
        dict[int, Context]
            By index of the event, the surest finding at or above the threshold.
        """
        found: dict[int, Context] = {}
        joined: list[Joined] = []
        for i, texts in _by_event(chunk, chosen, logits):
            event = chunk.events[i]
            talk = self._talk(event)
            prompts = [(text, logit) for _, role, text, logit in texts if role == _USER]
            if prompts:
                usual = self._usual_of(event, _PROMPTS)
                if len(prompts) == 1 and not event.conversation_id:
                    usual.count(_clipped(prompts[0][1]))  # there is nothing to combine it with, now or later
                elif self._hear(talk, prompts, usual):
                    self._together(talk, i, usual, found, joined)
            planted = self._planted(event, texts) if len(texts) > len(prompts) else ()
            if planted or talk.planted:
                passages = [_passage(chunk, int(chosen[k]), spans[k], e) for k, e in planted]
                self._watch(talk, event, i, passages, found)
        for one, logit in zip(joined, read([one.text for one in joined]) if joined else (), strict=True):
            if logit >= one.worst + self.config.rise:
                more = (one.usual.evidence(min(LOGIT_MAX, logit)) - self.config.joined) / SLOPE
                _keep(found, one.event, Context(more, Role.USER, turns=one.turns))
        return found

    def _talk(self, event: LLMEvent) -> Talk:
        if not event.conversation_id:
            return Talk()
        return self._talks.get_or_create(event.tenant, (event.tenant, event.app, event.conversation_id), Talk)

    def _planted(self, event: LLMEvent, texts: Sequence[Judged]) -> list[tuple[int, float]]:
        """Count the passages of an event; return the place and the evidence of those that read like an order."""
        passages = [(k, logit) for k, role, _, logit in texts if role in _PLACES]
        if not passages:
            return []
        usual = self._usual_of(event, _PASSAGES)
        # No evidence is more than the shipped: most passages need no look at what is usual.
        near = [(k, usual.evidence(logit)) for k, logit in passages if logit >= self._planted_from]
        for _, logit in passages:
            usual.count(logit)
        if not near:
            return []
        planted = [(k, found) for k, found in near if found >= self.config.planted]
        return sorted(nlargest(PASSAGES_MAX, planted, key=itemgetter(1)))

    def _usual_of(self, event: LLMEvent, kind: str) -> Usual:
        return self._usual.get_or_create(event.tenant, (event.tenant, event.app, kind), Usual)

    def _hear(self, talk: Talk, prompts: list[tuple[str, float]], usual: Usual) -> bool:
        """Append what is new of an event's prompts; say whether anything is."""
        known = {turn[:2] for turn in talk.turns} if talk.turns else ()
        new: list[Turn] = []
        for text, found in reversed(prompts[-self.config.turns :]):
            head = text[: self.config.turn_chars]
            if (len(text), head) in known:
                break
            logit = _clipped(found)
            new.append(Turn(len(text), head, logit, usual.evidence(logit)))
        if new:
            usual.count(new[0].logit)
            talk.turns = [*talk.turns, *reversed(new)][-self.config.turns :]
        return bool(new)

    def _together(self, talk: Talk, i: int, usual: Usual, found: dict[int, Context], joined: list[Joined]) -> None:
        """Combine the last turns, as evidence and as one text."""
        turns = talk.turns
        if len(turns) < 2 or turns[-1].logit >= 0:
            return
        total = 0.0
        for turn in turns:
            total = self.config.fade * total + min(AT_THRESHOLD, turn.evidence)
        _keep(found, i, Context((total - self.config.together) / SLOPE, Role.USER, turns=len(turns)))
        if total >= self.config.read_from:
            worst = max(turn.logit for turn in turns)
            joined.append(Joined(i, len(turns), worst, Usual(usual.counts), "\n".join(turn.head for turn in turns)))

    def _watch(
        self, talk: Talk, event: LLMEvent, i: int, passages: Iterable[Passage], found: dict[int, Context]
    ) -> None:
        """Watch for what new passages ask for, and tell what of all that are watched was repeated."""
        asked = "\n".join(m.content for m in event.messages if m.role != "tool").casefold()
        places: dict[tuple[str, ...], int] = {}
        for passage in passages:
            if needles := needles_of(passage.text, asked):
                places[needles] = passage.text_index
                told = any(p.needles == needles and p.told for p in talk.planted)
                kept = [p for p in talk.planted if p.needles != needles]
                planted = Planted(passage.evidence, passage.role, needles, self.config.watched, told)
                talk.planted = [*kept, planted][-PLANTED_MAX:]
        if not talk.planted:
            return
        written, called = answers(event)
        for k, planted in enumerate(talk.planted):
            echo = None if planted.told else echo_of(planted.needles, written, called)
            if echo is not None:
                logit = (planted.evidence + BONUS[echo] - AT_THRESHOLD) / SLOPE
                _keep(found, i, Context(logit, Role(planted.role), echo=echo, text_index=places.get(planted.needles)))
                talk.planted[k] = planted._replace(told=logit >= 0)
        talk.planted = [p._replace(left=p.left - 1) for p in talk.planted if p.left > 0]

    def state(self) -> dict[str, Any]:
        """Return every conversation in the order of `TenantLru.items`, by columns: there are thousands of them."""
        talks = list(self._talks.values())
        turns = list(chain.from_iterable([talk.turns for talk in talks]))
        return {
            "config": asdict(self.config),
            "evicted": self.evicted,
            "keys": list(chain.from_iterable(self._talks)),
            "tenants": self._talks.tenants(),
            "turns": np.array([len(talk.turns) for talk in talks], np.int64),
            "lengths": np.array([turn.length for turn in turns], np.int64),
            "heads": "".join([turn.head for turn in turns]),
            "logits": np.array([turn.logit for turn in turns], np.float64),
            "evidence": np.array([turn.evidence for turn in turns], np.float64),
            "planted": [[i, [list(p) for p in talk.planted]] for i, talk in enumerate(talks) if talk.planted],
            "apps": [list(key) for key in self._usual],
            "app_tenants": self._usual.tenants(),
            "usual": [list(usual.counts) for usual in self._usual.values()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises KeyError, TypeError or ValueError if it does not fit."""
        if state["config"] != asdict(self.config):
            raise ValueError("conversations made with other settings")
        of_each = expect_array(state["turns"], np.int64, None)
        expect_at_most(of_each, self.config.size, "conversations")  # type: ignore[arg-type] # has a length
        expect_at_most(state["apps"], self.config.apps, "apps")
        lengths = expect_array(state["lengths"], np.int64, None)
        logits, evidence = (expect_array(state[name], np.float64, len(lengths)) for name in ("logits", "evidence"))
        heads, at = str(state["heads"]), 0
        turns: list[Turn] = []
        for length, *levels in zip(lengths.tolist(), logits.tolist(), evidence.tolist(), strict=True):
            end = at + min(length, self.config.turn_chars)
            turns.append(Turn(length, heads[at:end], *levels))
            at = end
        if (at, len(state["keys"])) != (len(heads), 3 * len(of_each)) or int(of_each.sum()) != len(turns):
            raise ValueError("conversations whose columns are of unequal length")
        if len(of_each) and not 0 <= of_each.min() <= of_each.max() <= self.config.turns:
            raise ValueError(f"conversations of up to {of_each.max()} turns, at most {self.config.turns}")
        if (lengths < 0).any():
            raise ValueError("a turn of negative length")
        talks: list[Talk] = []
        parts, following = iter(map(str, state["keys"])), iter(turns)
        held = {int(i): planted for i, planted in state["planted"]}
        for i, count in enumerate(of_each.tolist()):
            talks.append(talk := Talk())
            talk.turns = list(islice(following, count))
            talk.planted = [
                Planted(float(logit), int(Role(role)), tuple(map(str, needles)), int(left), bool(told))
                for logit, role, needles, left, told in held.pop(i, ())
            ]
            expect_at_most(talk.planted, PLANTED_MAX, "passages of a conversation")
        if held:
            raise ValueError(f"passages of conversations that are not there: {sorted(held)[:5]}")
        expect_counts(int(state["evicted"]), *(n for bins in state["usual"] for n in bins))
        apps = ((str(tenant), str(app), str(kind)) for tenant, app, kind in state["apps"])
        self._usual.restore(state["app_tenants"], apps, map(Usual, state["usual"]))
        self._talks.restore(state["tenants"], zip(parts, parts, parts, strict=True), talks)
        self._talks.evicted = int(state["evicted"])


def with_context(signal: InjectionSignal, context: Context) -> InjectionSignal:
    """Return what is said of an event when its conversation is taken into account."""
    score = round(1.0 / (1.0 + math.exp(-min(LOGIT_MAX, context.logit))), 6)
    if signal.flag:
        return replace(signal, score=max(score, signal.score), echo=context.echo)
    role = context.role.name.lower()
    return InjectionSignal(score, True, role, text_index=context.text_index, turns=context.turns, echo=context.echo)


LOGIT_MAX = 30.0
PLANTED_MAX = 4
"""Passages of a conversation that are watched at a time; the newest ones."""
PASSAGES_MAX = 16
"""Passages of an event of which it is asked what obeying them would repeat; those that read worst."""
_USER, _PLACES = int(Role.USER), (int(Role.TOOL), int(Role.DOCUMENT))
_PROMPTS, _PASSAGES = "prompts", "passages"
_AROUND = 160
"""Bytes."""


def _clipped(logit: float) -> float:
    """Return a logit that is finite."""
    return logit if -LOGIT_MAX < logit < LOGIT_MAX else math.copysign(LOGIT_MAX, logit)


def _by_event(
    chunk: Chunk, chosen: NDArray[np.int64], logits: NDArray[np.float64]
) -> Iterable[tuple[int, list[Judged]]]:
    """Yield each event's judged texts."""
    texts = chunk.texts
    owners, roles = texts.event[chosen].tolist(), texts.role[chosen].tolist()
    strings = [texts.strings[k] for k in chosen.tolist()]
    columns = list(zip(range(len(owners)), roles, strings, logits.tolist(), strict=True))
    begin = 0
    for end in range(1, len(owners) + 1):
        if end == len(owners) or owners[end] != owners[begin]:
            yield owners[begin], columns[begin:end]
            begin = end


def _passage(chunk: Chunk, at: int, span: NDArray[np.int64], found: float) -> Passage:
    """Return the worst window of text ``at`` of a chunk, and what is around it."""
    texts = chunk.texts
    first = int(texts.event.searchsorted(texts.event[at]))
    # What an order asks for often stands just outside of the window that reads worst.
    begin, end = max(texts.start[at], span[0] - _AROUND), min(texts.start[at + 1], span[1] + _AROUND)
    window = texts.buffer[begin:end].tobytes().decode("utf-8", "ignore")
    return Passage(at - first, int(texts.role[at]), window, found)


def _keep(found: dict[int, Context], i: int, context: Context) -> None:
    """Keep the surest finding of an event, if it is one."""
    if context.logit >= 0 and (i not in found or context.logit > found[i].logit):
        found[i] = context
