"""One process of a running flow: what `memewax run` starts, as many times as it is told.

`python -m memewax.commands.worker FLOW RECOVERY SNAPSHOT_SECONDS [INDEX ADDRESS…]`
"""

import sys
import traceback
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from memewax.errors import MemewaxError


def main(arguments: list[str]) -> int:
    """Run the flow to its end or until it is drained; the exit code of what went wrong, or 0."""
    flow_name, recovery, seconds, *place = arguments
    flow = import_module(f"dataflows.{flow_name}").flow()
    cluster: dict[str, Any] = {"process_id": int(place[0]), "addresses": place[1:]} if place else {}
    try:
        cli_main(  # type: ignore[no-untyped-call]
            flow,
            epoch_interval=timedelta(seconds=float(seconds)),
            recovery_config=RecoveryConfig(Path(recovery), timedelta(0)),  # type: ignore[no-untyped-call]
            **cluster,
        )
    except BaseException as error:  # Bytewax raises what is no Exception where a peer is gone
        return _told(error)
    return 0


def _told(error: BaseException) -> int:
    """One line where we know what happened, a traceback where we do not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemewaxError):
            print(f"memewax: {cause}", file=sys.stderr)
            return cause.exit_code
        cause = cause.__cause__ or cause.__context__
    if type(error).__name__ == "PanicException":  # how Bytewax says that a peer is gone
        print("memewax: another process of the flow is gone; start the flow again and it goes on", file=sys.stderr)
    else:
        traceback.print_exception(error)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
