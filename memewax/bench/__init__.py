"""Benchmarks: what `memewax bench` measures."""
