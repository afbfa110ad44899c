"""Benchmarks of `memewax bench`, one module per subcommand and its helpers."""
