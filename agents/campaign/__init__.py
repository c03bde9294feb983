"""Campaign detection: clusters of near-identical suspicious prompts from many users within a time window."""

from agents.campaign.agent import CampaignAgent
from agents.campaign.config import CampaignConfig
from agents.campaign.signal import CampaignSignal

__all__ = ["CampaignAgent", "CampaignConfig", "CampaignSignal"]
