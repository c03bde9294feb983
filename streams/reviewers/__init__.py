"""Reviewers: slower and more expensive models that review few events, outside the scoring path."""
