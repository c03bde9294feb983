"""Do many users send one attack: near-duplicate clusters of suspicious prompts over users, in a window of time."""

from agents.campaign.agent import CampaignAgent
from agents.campaign.config import CampaignConfig
from agents.campaign.signal import CampaignSignal

__all__ = ["CampaignAgent", "CampaignConfig", "CampaignSignal"]
