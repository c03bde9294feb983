"""Integrations: one module per library, imported on first use."""
