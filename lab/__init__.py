"""What drives and judges the product on one machine: a broker, data sets, the local stack, replay, baselines, benchmarks."""
