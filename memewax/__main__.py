"""Entry point of `memewax` and of `python -m memewax`."""

import sys

from core.errors import MemewaxError
from core.extras import needs_extra
from core.untrusted_text import sanitized


def main() -> None:
    """Run the command; Ctrl-C during its imports ends it without a traceback too."""
    try:
        with needs_extra("commands", "the command"):
            from memewax.commands.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    except MemewaxError as error:
        print(sanitized(f"memewax: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    run()


if __name__ == "__main__":
    main()
