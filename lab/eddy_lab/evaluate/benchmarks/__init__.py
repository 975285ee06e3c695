"""What is measured, one protocol a file: each has `run(options, console) -> BenchmarkResult`."""
