"""One cluster: who joined it and how their prompts attack. No text is kept: an alert goes to many, texts to few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from agents.common.state_validation import expect_at_most, expect_counts, expect_texts, expect_times_ms
from agents.common.tenant_map import OTHER

USERS_MAX = 256
"""Users told apart in one cluster; of more, the one who wrote longest ago is forgotten, and new if they come again."""
APPS_MAX = 16
EXAMPLES_MAX = 10
FAMILIES_MAX = 16


@dataclass(slots=True)
class Visit:
    """What one user sent to a cluster.

    Attributes
    ----------
    first_ms, last_ms
        Event times of the first and the last prompt.
    last
        Digest of the last prompt: the same again is a retry, or history that was sent along.
    members, flagged
        Prompts, and those of them that are flagged.
    """

    first_ms: int
    last_ms: int
    last: int
    members: int = 0
    flagged: int = 0


@dataclass(slots=True)
class Cluster:
    """Prompts of one wording.

    Attributes
    ----------
    name
        Digest of tenant and wording.
    tenant, app
        Whose it is; where it began.
    first_ms, last_ms, first_offset
        Event times of the first and the last member; offset of the first.
    members, flagged, users
        Of the campaign since it began; of a cluster that is none yet, within the window.
    is_campaign
        Whether it was told.
    apps
        Members by app; at most `APPS_MAX` entries, of which `OTHER` counts the apps beyond.
    families
        Flagged members by tactic, as the injection agent names it; at most `FAMILIES_MAX`.
    examples
        Event ids of the first members.
    visits
        By digest of the user; the one who wrote longest ago first.
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
    visits: dict[int, Visit] = field(default_factory=dict)

    def join(self, prompt: Prompt) -> bool:
        """Count a prompt; False where its user sent the very same the last time."""
        visit = self.visits.pop(prompt.user, None)
        known = visit is not None
        if visit is None:
            if len(self.visits) >= USERS_MAX:
                del self.visits[next(iter(self.visits))]
            visit = Visit(prompt.at, prompt.at, prompt.digest)
        self.visits[prompt.user] = visit
        self.last_ms = max(self.last_ms, prompt.at)
        visit.last_ms = max(visit.last_ms, prompt.at)
        if known and visit.last == prompt.digest:
            return False
        visit.last = prompt.digest
        visit.members += 1
        visit.flagged += prompt.flag
        self.members += 1
        self.flagged += prompt.flag
        self.users += not known
        self._note(prompt)
        return True

    def _note(self, prompt: Prompt) -> None:
        app, family = prompt.app, prompt.family
        name = app if app in self.apps or len(self.apps) < APPS_MAX - 1 else OTHER
        self.apps[name] = self.apps.get(name, 0) + 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(prompt.event_id)
        if family and (family in self.families or len(self.families) < FAMILIES_MAX):
            self.families[family] = self.families.get(family, 0) + 1

    def forget_before(self, edge: int) -> None:
        """Leave out users who wrote nothing since; of a campaign, which was told, nobody."""
        if self.is_campaign or all(visit.last_ms > edge for visit in self.visits.values()):
            return
        self.visits = {user: visit for user, visit in self.visits.items() if visit.last_ms > edge}
        self.members = sum(visit.members for visit in self.visits.values())
        self.flagged = sum(visit.flagged for visit in self.visits.values())
        self.users = len(self.visits)
        self.first_ms = min((visit.first_ms for visit in self.visits.values()), default=self.last_ms)

    @property
    def family(self) -> str:
        """The tactic of most flagged members, the first in the alphabet of several; empty where none is known."""
        return min(self.families, key=lambda name: (-self.families[name], name), default="")

    def as_row(self) -> dict[str, Any]:
        """Return all of it as JSON-able values, copied."""
        visits = [[user, *(getattr(visit, name) for name in _VISIT)] for user, visit in self.visits.items()]
        return {name: getattr(self, name) for name in _PLAIN} | {
            "apps": dict(self.apps),
            "families": dict(self.families),
            "examples": list(self.examples),
            "visits": visits,
        }


_VISIT = tuple(f.name for f in fields(Visit))
_ALL = frozenset(f.name for f in fields(Cluster))
_PLAIN = tuple(f.name for f in fields(Cluster) if f.name not in {"apps", "families", "examples", "visits"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """A suspicious prompt.

    Attributes
    ----------
    user, digest
        64 bits that stand for the user and for what of the text was signed.
    at
        Event time in milliseconds.
    """

    user: int
    digest: int
    at: int
    flag: bool
    app: str
    event_id: str
    family: str = ""


def from_row(row: Mapping[str, Any]) -> Cluster:
    """Return the cluster of a row of `Cluster.as_row`; raises KeyError, TypeError or ValueError if it is none."""
    if row.keys() != _ALL:
        raise ValueError(f"a cluster of {sorted(map(str, row))[:20]}")
    plain = {name: row[name] for name in _PLAIN}
    expect_texts(
        [*(plain[name] for name in ("name", "tenant", "app")), *row["apps"], *row["families"], *row["examples"]]
    )
    expect_times_ms(plain["first_ms"], plain["last_ms"])
    expect_counts(*(plain[name] for name in ("first_offset", "members", "flagged", "users")), *row["apps"].values())
    expect_counts(*row["families"].values())
    for name, most in (
        ("apps", APPS_MAX),
        ("examples", EXAMPLES_MAX),
        ("visits", USERS_MAX),
        ("families", FAMILIES_MAX),
    ):
        expect_at_most(row[name], most, name)
    visits: dict[int, Visit] = {}
    for user, *numbers in row["visits"]:
        visit = visits[int(user)] = Visit(*map(int, numbers))
        expect_times_ms(visit.first_ms, visit.last_ms)
        expect_counts(visit.members, visit.flagged)
    if type(plain["is_campaign"]) is not bool or (plain["is_campaign"] and not plain["members"]):
        raise ValueError("a campaign without members")
    return Cluster(
        **plain, apps=dict(row["apps"]), families=dict(row["families"]), examples=list(row["examples"]), visits=visits
    )
