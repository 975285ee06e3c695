"""Learns from labelled examples as they come, judges what it learned, and releases it."""
