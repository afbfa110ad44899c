"""`python -m memewax` is the `memewax` command."""

from memewax.commands.app import main

main()
