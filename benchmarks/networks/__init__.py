"""Networks the benchmarks press."""
