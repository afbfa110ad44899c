"""The `memewax` command and its subcommands: the topmost layer."""
