"""`memewax`, and `python -m memewax`."""

import sys


def main() -> None:
    """Run the command; who presses Ctrl-C while it is still being imported sees no traceback either."""
    try:
        from memewax.commands.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
