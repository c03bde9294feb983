"""Is a prompt, a document or a tool answer an attempt to take over the model: hashed n-grams, learned online."""

from agents.injection.agent import InjectionAgent, InjectionConfig
from agents.injection.signal import InjectionSignal

__all__ = ["InjectionAgent", "InjectionConfig", "InjectionSignal"]
