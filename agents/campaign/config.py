"""What makes a campaign."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CampaignConfig:
    """Settings of `CampaignAgent`.

    Attributes
    ----------
    window_ms
        Event time within which the users must come; a cluster that nobody joins for as long is over.
    min_users
        Users, or different passages, in the window from which a cluster is a campaign.
    min_score
        Injection score from which a prompt is looked at; below .5 it is near the threshold, not flagged.
    flagged_share
        Share of a cluster's members that must be flagged: what many people ask and is only near the threshold is no
        attack.
    similarity
        Jaccard similarity from which two prompts are one wording.
    max_clusters
        Clusters kept, with a fair share for each tenant; those joined longest ago are forgotten, and counted, when
        there are more.
    """

    window_ms: int = 3_600_000
    min_users: int = 5
    min_score: float = 0.2
    flagged_share: float = 0.3
    similarity: float = 0.4
    max_clusters: int = 1024
