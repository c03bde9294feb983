"""Settings of the campaign agent."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CampaignConfig:
    """Settings of `CampaignAgent`.

    Attributes
    ----------
    window_ms
        Window of event time in which the users must appear, in event_time_ms. A cluster ends after a window without a
        new prompt.
    min_users
        Minimum number of users, or of different passages, in the window that makes a cluster a campaign.
    min_score
        Minimum injection score of a suspicious prompt. Below 0.5 the prompt is near the threshold and not flagged.
    flagged_share
        Minimum share of flagged prompts in a campaign. A question that many users ask and that only comes near the
        threshold is no attack.
    similarity
        Minimum Jaccard similarity of two near-identical prompts.
    max_clusters
        Maximum number of clusters, with a fair share for each tenant. The least recently joined clusters are evicted,
        and counted.
    """

    window_ms: int = 3_600_000
    min_users: int = 5
    min_score: float = 0.2
    flagged_share: float = 0.3
    similarity: float = 0.4
    max_clusters: int = 1024
