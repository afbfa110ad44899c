"""One process of a running flow: what `memewax run` starts, as many times as it is told.

`python -m memewax.commands.worker FLOW RECOVERY SNAPSHOT_SECONDS [INDEX ADDRESS…]`

FLOW is a module of `dataflows`, or any other by its whole name. Where stdin is a pipe, its end means that whoever
started the process is gone.
"""

import os
import stat
import sys
import threading
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from connectors.fetching.poison_items import forget_what_is_decoded
from core import drain
from core.errors import MemewaxError, WorldError
from core.telemetry import log
from core.untrusted_text import one_line
from dataflows.observing import report_end
from memewax.commands.processes import PEER_GONE
from operators.recovery_check import check_recovery, check_room
from operators.steps import FAILURES


def main(arguments: list[str]) -> int:
    """Run the flow to its end or until it is drained; the exit code of what went wrong, or 0."""
    flow_name, recovery, seconds, *place = arguments
    drain.on_signals()
    _end_with_parent()
    os.environ["BYTEWAX_RECOVERY_DIRECTORY"] = recovery  # where flows look, as Bytewax's own command does
    if place:
        os.environ["BYTEWAX_PROCESS_ID"], os.environ["BYTEWAX_ADDRESSES"] = place[0], ";".join(place[1:])
    flow = import_module(flow_name if "." in flow_name else f"dataflows.{flow_name}").flow()
    cluster: dict[str, Any] = {"process_id": int(place[0]), "addresses": place[1:]} if place else {}
    try:
        cli_main(  # type: ignore[no-untyped-call]
            flow,
            epoch_interval=timedelta(seconds=float(seconds)),
            recovery_config=RecoveryConfig(Path(recovery), timedelta(0)),  # type: ignore[no-untyped-call]
            **cluster,
        )
    except BaseException as error:  # Bytewax raises what is no Exception where a peer is gone
        report_end(error)
        return _told(error, Path(recovery))
    return 0


def _end_with_parent() -> None:
    """Do not live on as an orphan: the same command may come again and write the same outputs."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def wait() -> None:
        while os.read(0, 1):
            pass
        forget_what_is_decoded()
        os._exit(1)  # as if killed too: what there is to go on from is in the recovery folder

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _told(error: BaseException, recovery: Path) -> int:
    """One line where we know what happened, a traceback where we do not; the exit code."""
    if (reported := FAILURES.first) is not None:
        return reported.exit_code if isinstance(reported, MemewaxError) else 1
    try:
        check_recovery(recovery, thorough=True)
        check_room(recovery)
    except WorldError as broken:
        print(one_line(f"memewax: {broken}"), file=sys.stderr)
        return WorldError.exit_code
    if type(error).__name__ == "PanicException":  # how Bytewax says that a peer is gone
        print(f"memewax: {PEER_GONE}", file=sys.stderr)
    else:
        log.error("the flow ended with an error", exc_info=error)
    return 1


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    if exit_code:  # threads of Bytewax may still run, and would abort a slower end
        sys.stderr.flush()
        forget_what_is_decoded()
        os._exit(exit_code)
