"""Benchmarks: what a part does per second, beside a reference in the same run."""
