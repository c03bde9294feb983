"""Building blocks that agents and stream operators share."""
