"""The benchmarks, one per file: each has `run(options, console) -> BenchmarkResult`, and `UNUSED_OPTIONS` without effect on it."""
