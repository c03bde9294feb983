"""The detectors: pure, online, bounded."""
