"""Cluster suspicious prompts over users, and tell when a cluster is a campaign."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.base import AgentOutput, ChangePoint, Chunk, Role, State
from agents.campaign.cluster import Cluster, Prompt, from_row
from agents.campaign.config import CampaignConfig
from agents.campaign.minhash import LANES, nearest, sign, similarity
from agents.campaign.signal import CampaignSignal
from agents.common.hashing import FOLD, KIND
from agents.common.state_validation import expect_at_most, expect_counts, strict_restore
from agents.common.tenant_map import TenantLru
from agents.injection import InjectionSignal
from schemas.errors import StateError
from schemas.event import LLMEvent
from schemas.feedback import Feedback

_LENGTH = {"tool": 320, "document": 320}
_USUAL_LENGTH = 1000
"""Characters that are signed, from where the injection agent saw an attack begin: fewer where a host surrounds it."""
_USER, _RESPONSE = int(Role.USER), int(Role.RESPONSE)
_LEAST_FEATURES = 24
"""Character n-grams and words below which a text says too little to be like another ("ok", "why?")."""


class CampaignAgent:
    """Leader clustering of suspicious prompts by MinHash, within a tenant, in bounded memory.

    Suspicious is what the injection agent flagged or nearly flagged; only that is signed, so other prompts cost
    nothing. A prompt joins the cluster whose first member it is most similar to, or begins one. When enough users have
    joined within the window, the cluster is a campaign and is told (`ChangePoint`
    ``campaign.prompts``); what joins later is told too, so that the alert stays up and ends with the final counts.

    A signature is compared with the whole of a bounded table (20 microseconds at most): an index by bands (LSH) would
    have to be bounded and restored beside it.

    Users are told apart by ``user_id``, else by ``conversation_id``; calls that have neither count as one user. A
    passage or a tool's answer counts as a user of its own, however many are given it: one order planted in many
    documents is a campaign, one document that many retrieve is not.

    Parameters
    ----------
    config
        See `CampaignConfig`.

    References
    ----------
    Broder, A. (1997). On the resemblance and containment of documents. SEQUENCES.
    Manku, G. S., Jain, A. and Das Sarma, A. (2007). Detecting near-duplicates for web crawling. WWW.
    Hartigan, J. A. (1975). Clustering algorithms, chapter 3 (the leader algorithm). Wiley.
    """

    name: ClassVar[str] = "campaign"
    version: ClassVar[int] = 4
    requires: ClassVar[tuple[str, ...]] = ("injection",)

    def __init__(self, config: CampaignConfig | None = None) -> None:
        self.config = config or CampaignConfig()
        self._rows = TenantLru[str, int](self.config.max_clusters)
        self._free: list[int] = []
        self._clusters: list[Cluster] = []
        self._signatures = np.zeros((self.config.max_clusters, LANES), np.uint8)
        self._tenants = np.zeros(self.config.max_clusters, np.uint64)

    @property
    def evicted(self) -> int:
        """Clusters forgotten because there were more than ``max_clusters``."""
        return self._rows.evicted

    def score(self, chunk: Chunk) -> AgentOutput:
        """Place each suspicious prompt; None for all others."""
        signals: list[CampaignSignal | None] = [None] * len(chunk)
        changes: list[ChangePoint] = []
        least = self.config.min_score
        for i, said in enumerate(chunk.signals.get("injection", ())):
            if said is not None and said.score >= least:
                signals[i] = self._place(chunk, i, said, changes)
        return AgentOutput(signals, changes)

    def _place(self, chunk: Chunk, i: int, said: InjectionSignal, changes: list[ChangePoint]) -> CampaignSignal | None:
        place = suspicious_place(chunk, i, said)
        if place is None:
            return None
        event, edge = chunk.events[i], int(chunk.now[i]) - self.config.window_ms
        at = min(int(chunk.times[i]), int(chunk.now[i]))
        whole: str = chunk.texts.strings[place]
        # Where it was encoded, the place is one in the decoded text.
        begin = 0 if said.segment_start is None or said.obfuscation else said.segment_start
        text = whole[begin : begin + _LENGTH.get(said.role or "", _USUAL_LENGTH)]
        raw = text.encode("utf-8", "replace")
        signature = np.empty(LANES, np.uint8)
        if sign(np.frombuffer(raw, np.uint8), FOLD, KIND, signature) < _LEAST_FEATURES:
            return None
        cluster = self._cluster(event, (at, edge), int(chunk.offsets[i]), signature)
        cluster.forget_before(edge)
        user = _digest(whole if said.role in _LENGTH else event.user_id or event.conversation_id or "")
        family = said.family or ""
        counted = cluster.join(Prompt(user, _digest(text), at, said.flag, event.app, event.event_id, family))
        cluster.is_campaign |= self._is_campaign(cluster)
        if counted and cluster.is_campaign:
            changes.append(told(cluster, i, cluster.users / self.config.min_users))
        return CampaignSignal(cluster.name, cluster.members, cluster.users, cluster.is_campaign)

    def _is_campaign(self, cluster: Cluster) -> bool:
        flagged = cluster.flagged >= self.config.flagged_share * cluster.members
        return flagged and cluster.users >= self.config.min_users

    def _cluster(self, event: LLMEvent, time: tuple[int, int], offset: int, signature: NDArray[np.uint8]) -> Cluster:
        """Return the cluster to join: the most similar one, or a new one; time is the event's and the window's edge."""
        at, edge = time
        whose = _digest(event.tenant)
        n = len(self._clusters)
        k: int
        agree: int
        k, agree = nearest(signature, np.uint64(whose), self._signatures[:n], self._tenants[:n])
        near = k >= 0 and similarity(agree) >= self.config.similarity
        if not near or self._clusters[k].last_ms <= edge:
            name = f"{_digest(f'{event.tenant}/{signature.tobytes().hex()}'):016x}"
            k = self._row(event.tenant, name, self._clusters[k].name if near else None)
            self._clusters[k] = Cluster(name, event.tenant, event.app, at, at, offset)
            self._signatures[k], self._tenants[k] = signature, whose
        self._rows.get(event.tenant, self._clusters[k].name)
        return self._clusters[k]

    def _row(self, tenant: str, name: str, over: str | None) -> int:
        """Return the row of a new cluster: that of one that is over, else an empty one."""
        if over is not None and (ended := self._rows.pop(tenant, over)) is not None:
            self._free.append(ended)
        for _, _, row in self._rows.put(tenant, name, -1):
            self._clusters[row], self._tenants[row] = _NOBODY, 0
            self._free.append(row)
        if not self._free:
            self._free.append(len(self._clusters))
            self._clusters.append(_NOBODY)
        row = self._free.pop()
        self._rows.replace(tenant, name, row)
        return row

    def learn(self, feedback: Feedback) -> bool:  # noqa: ARG002 - every agent has it
        """Return False: nothing here is learned from labels; those of the injection agent change what is suspicious."""
        return False

    def state(self) -> State:
        """Return every cluster and its signature."""
        n = len(self._clusters)
        return {
            "version": self.version,
            "config": asdict(self.config),
            "evicted": self.evicted,
            "clusters": [cluster.as_row() for cluster in self._clusters],
            "signatures": self._signatures[:n].copy(),
            "tenants": self._tenants[:n].copy(),
            "rows": [[name, row] for _, name, row in self._rows.items()],
            "row_tenants": self._rows.tenants(),
            "free": list(self._free),
        }

    @strict_restore
    def restore(self, state: State) -> None:
        """Continue from `state`; the agent is unchanged if it does not fit."""
        fresh = CampaignAgent(self.config)
        try:
            if (state["version"], state["config"]) != (self.version, asdict(self.config)):
                raise StateError(
                    "campaign: made by another version or with other settings; start cold",
                    part="campaign",
                    code="settings",
                )
            fresh._fill(state)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StateError(f"campaign: {error!r}; start cold", part="campaign") from error
        self.__dict__ = fresh.__dict__

    def _fill(self, state: Mapping[str, Any]) -> None:
        expect_counts(state["evicted"])
        expect_at_most(state["clusters"], self.config.max_clusters, "clusters")
        self._clusters = [from_row(row) for row in state["clusters"]]
        n = len(self._clusters)
        for name in ("signatures", "tenants"):
            ours, theirs = getattr(self, f"_{name}"), np.asarray(state[name])
            if theirs.shape != (n, *ours.shape[1:]) or theirs.dtype != ours.dtype:
                raise ValueError(f"{name} of shape {theirs.shape}, {theirs.dtype}, for {n} clusters")
            ours[:n] = theirs
        names, rows = ([row[k] for row in state["rows"]] for k in (0, 1))
        if sorted([*rows, *state["free"]]) != list(range(n)):
            raise ValueError(f"rows that are not those of {n} clusters")
        self._rows.restore(state["row_tenants"], names, rows)
        self._rows.evicted, self._free = state["evicted"], list(state["free"])


_NOBODY = Cluster("", "", "", 0, 0, 0)


def suspicious_place(chunk: Chunk, i: int, said: InjectionSignal) -> int | None:
    """Return which of a chunk's texts is signed; None where users have no part in it.

    Of a flagged text, what follows the place from which it reads worst. A prompt that is only near the threshold is
    signed whole; a passage that is only near it is not, as its place is not known. A system prompt is the app's own.
    """
    passage = said.flag and said.role in _LENGTH and said.text_index is not None
    if said.role != "user" and not passage:
        return None
    texts = chunk.texts
    first, last = texts.event.searchsorted((i, i + 1)).tolist()
    if said.text_index is None:  # it took several turns: this is the last of them
        role = texts.role[first:last]
        users, read = np.flatnonzero(role == _USER), np.flatnonzero(role != _RESPONSE)
        at = first + int((users if len(users) else read)[-1]) if len(read) else -1
    else:
        at = first + said.text_index
    return at if first <= at < last else None


def told(cluster: Cluster, index: int, score: float) -> ChangePoint:
    """Put a campaign into words and figures: none of its texts, which an alert would carry to everybody."""
    minutes = (cluster.last_ms - cluster.first_ms) / 60_000
    apps = {app: round(n / cluster.members, 4) for app, n in cluster.apps.items()}
    return ChangePoint(
        index,
        "campaign.prompts",
        {"tenant": cluster.tenant, "app": cluster.app, "campaign": cluster.name},
        cluster.first_offset,
        cluster.first_ms,
        0.0,
        float(cluster.members),
        score,
        slices={f"app={app}": (0.0, share) for app, share in apps.items()},
        event_ids=tuple(cluster.examples),
        summary=f"{cluster.members} suspicious prompts of one wording from {cluster.users} users or passages"
        f" and {len(apps)} apps in {minutes:.0f} min"
        + (f", tactic {cluster.family}" if cluster.family else "")
        + "; read them by the event ids of the evidence",
        facts={
            "members": cluster.members,
            "flagged": cluster.flagged,
            "users": cluster.users,
            "apps": len(apps),
            "minutes": round(minutes, 1),
            "family": cluster.family,
        },
    )


def _digest(text: str) -> int:
    """Return 64 bits that stand for a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "little")
