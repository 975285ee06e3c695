"""Research: benchmarks of what is learned and of speed. Nothing here is served."""
