"""Signal of the campaign agent for one event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CampaignSignal:
    """The cluster of a suspicious prompt. Other prompts have no signal.

    Attributes
    ----------
    cluster
        Name of the cluster. The name is the same in every replay, and the same in every partition for the same text.
    members
        Number of different suspicious prompts in the cluster so far, including this prompt.
    users
        Number of users, or passages, that sent them. A cluster keeps at most `agents.campaign.cluster.MAX_SOURCES`
        apart.
    flag
        True if the cluster is a campaign by now.
    """

    cluster: str
    members: int
    users: int
    flag: bool
