"""Candidate sources. Each answers `find(batch, ...)` with eligible, unblocked rows [B, quota], best first, padded with 0."""
