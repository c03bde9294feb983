"""Dialects, one module each: reading of prompt and response from the attributes and events of a span."""
