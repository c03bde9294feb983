"""Cluster of near-identical prompts: its sources and its attack families.

A cluster keeps no text, because an alert goes to more people than may read the prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from agents.common.state_validation import expect_at_most, expect_counts, expect_texts, expect_times_ms
from agents.common.tenant_map import OTHER

MAX_SOURCES = 256
"""Sources kept per cluster. Beyond that the source idle for longest is dropped, and counts as new if it returns."""
MAX_APPS = 16
MAX_EXAMPLES = 10
MAX_FAMILIES = 16


@dataclass(slots=True)
class Source:
    """Prompts that one user, or one passage, brought into a cluster.

    Attributes
    ----------
    first_ms, last_ms
        Event times of the first and the last prompt.
    last_digest
        Digest of the last prompt. An equal prompt is a retry, or history sent along with a later call.
    members, flagged
        Number of prompts, and of flagged prompts.
    """

    first_ms: int
    last_ms: int
    last_digest: int
    members: int = 0
    flagged: int = 0


@dataclass(slots=True)
class Cluster:
    """Near-identical prompts of one tenant.

    Attributes
    ----------
    name
        Digest of the tenant and the signature.
    tenant, app
        Tenant, and app of the first prompt.
    first_ms, last_ms, first_offset
        Event times of the first and the last prompt; offset of the first prompt.
    members, flagged, users
        Numbers of prompts, flagged prompts and sources: since the start of a campaign, else within the window.
    is_campaign
        True once the cluster was reported as a campaign.
    apps
        Number of prompts per app; at most `MAX_APPS` entries, in which `OTHER` counts all further apps.
    families
        Number of flagged prompts per attack family of the injection agent; at most `MAX_FAMILIES` entries.
    examples
        Event ids of the first prompts.
    sources
        Sources by digest, the source idle for longest first.
    """

    name: str
    tenant: str
    app: str
    first_ms: int
    last_ms: int
    first_offset: int
    members: int = 0
    flagged: int = 0
    users: int = 0
    is_campaign: bool = False
    apps: dict[str, int] = field(default_factory=dict)
    families: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    sources: dict[int, Source] = field(default_factory=dict)

    def add(self, prompt: SuspiciousPrompt) -> bool:
        """Count a prompt; return False for a repetition of the last prompt of its source."""
        source = self.sources.pop(prompt.source, None)
        is_known = source is not None
        if source is None:
            if len(self.sources) >= MAX_SOURCES:
                del self.sources[next(iter(self.sources))]
            source = Source(prompt.time_ms, prompt.time_ms, prompt.digest)
        self.sources[prompt.source] = source
        self.last_ms = max(self.last_ms, prompt.time_ms)
        source.last_ms = max(source.last_ms, prompt.time_ms)
        if is_known and source.last_digest == prompt.digest:
            return False
        source.last_digest = prompt.digest
        source.members += 1
        source.flagged += prompt.flag
        self.members += 1
        self.flagged += prompt.flag
        self.users += not is_known
        self._count_app_and_family(prompt)
        return True

    def _count_app_and_family(self, prompt: SuspiciousPrompt) -> None:
        app, family = prompt.app, prompt.family
        name = app if app in self.apps or len(self.apps) < MAX_APPS - 1 else OTHER
        self.apps[name] = self.apps.get(name, 0) + 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(prompt.event_id)
        if family and (family in self.families or len(self.families) < MAX_FAMILIES):
            self.families[family] = self.families.get(family, 0) + 1

    def expire_sources(self, cutoff_ms: int) -> None:
        """Drop sources without a prompt after the cutoff. A reported campaign keeps all of its sources."""
        if self.is_campaign or all(source.last_ms > cutoff_ms for source in self.sources.values()):
            return
        self.sources = {digest: source for digest, source in self.sources.items() if source.last_ms > cutoff_ms}
        self.members = sum(source.members for source in self.sources.values())
        self.flagged = sum(source.flagged for source in self.sources.values())
        self.users = len(self.sources)
        self.first_ms = min((source.first_ms for source in self.sources.values()), default=self.last_ms)

    @property
    def family(self) -> str:
        """Attack family of most flagged prompts, the first in the alphabet of a tie; empty if none is known."""
        return min(self.families, key=lambda name: (-self.families[name], name), default="")

    def as_row(self) -> dict[str, Any]:
        """Return a copy of the cluster as JSON-able values."""
        sources = [[digest, *(getattr(source, name) for name in _SOURCE)] for digest, source in self.sources.items()]
        return {name: getattr(self, name) for name in _PLAIN} | {
            "apps": dict(self.apps),
            "families": dict(self.families),
            "examples": list(self.examples),
            "sources": sources,
        }


_SOURCE = tuple(f.name for f in fields(Source))
_ALL = frozenset(f.name for f in fields(Cluster))
_PLAIN = tuple(f.name for f in fields(Cluster) if f.name not in {"apps", "families", "examples", "sources"})


@dataclass(frozen=True, slots=True)
class SuspiciousPrompt:
    """A suspicious prompt, or a passage with an attack in it.

    Attributes
    ----------
    source
        64-bit digest of the user, or of the passage.
    digest
        64-bit digest of the signed text.
    time_ms
        Event time in event_time_ms.
    """

    source: int
    digest: int
    time_ms: int
    flag: bool
    app: str
    event_id: str
    family: str = ""


def from_row(row: Mapping[str, Any]) -> Cluster:
    """Return the cluster of a row that `Cluster.as_row` made.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the row is no cluster.
    """
    if row.keys() != _ALL:
        raise ValueError(f"cluster: fields {sorted(map(str, row))[:20]}, expected {sorted(_ALL)}")
    plain = {name: row[name] for name in _PLAIN}
    expect_texts(
        [*(plain[name] for name in ("name", "tenant", "app")), *row["apps"], *row["families"], *row["examples"]]
    )
    expect_times_ms(plain["first_ms"], plain["last_ms"])
    expect_counts(*(plain[name] for name in ("first_offset", "members", "flagged", "users")), *row["apps"].values())
    expect_counts(*row["families"].values())
    for name, limit in (
        ("apps", MAX_APPS),
        ("examples", MAX_EXAMPLES),
        ("sources", MAX_SOURCES),
        ("families", MAX_FAMILIES),
    ):
        expect_at_most(row[name], limit, name)
    sources: dict[int, Source] = {}
    for digest, *numbers in row["sources"]:
        source = sources[int(digest)] = Source(*map(int, numbers))
        expect_times_ms(source.first_ms, source.last_ms)
        expect_counts(source.members, source.flagged)
    if type(plain["is_campaign"]) is not bool or (plain["is_campaign"] and not plain["members"]):
        raise ValueError(
            f"cluster: is_campaign={plain['is_campaign']!r} with {plain['members']} members, expected a boolean, false"
            " for a cluster without members"
        )
    return Cluster(
        **plain,
        apps=dict(row["apps"]),
        families=dict(row["families"]),
        examples=list(row["examples"]),
        sources=sources,
    )
