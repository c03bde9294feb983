"""What the agent says of one event."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CampaignSignal:
    """The cluster that a suspicious prompt belongs to; prompts that are not suspicious have no signal.

    Attributes
    ----------
    cluster
        Its name: the same in every replay, and for the same wording in every partition.
    members
        Different suspicious prompts in it so far, this one included.
    users
        Users, or passages, that they came from; at most `agents.campaign.cluster.USERS_MAX` are told apart.
    flag
        Whether the cluster is a campaign by now.
    """

    cluster: str
    members: int
    users: int
    flag: bool
