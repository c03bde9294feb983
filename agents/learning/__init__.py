"""Online learning from labels, shared by every agent that learns (ADR 0010)."""

from agents.learning.config import LearningConfig
from agents.learning.deltas import FeatureSpec
from agents.learning.learner import Learner, ScoredEvents

__all__ = ["FeatureSpec", "Learner", "LearningConfig", "ScoredEvents"]
