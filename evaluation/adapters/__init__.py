"""Adapters from plain rows to events, one per agent."""
