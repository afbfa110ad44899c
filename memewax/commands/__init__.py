"""What people type: the `memewax` command, above everything else."""
