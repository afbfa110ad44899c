"""A worker process of a flow; `memewax run` starts as many as it has processes.

`python -m memewax.commands.worker FLOW RECOVERY SNAPSHOT_SECONDS [INDEX ADDRESS…]`

FLOW is a module of `dataflows`, or the full name of any other module. If stdin is a pipe, end of file means that the
parent process is gone.
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

from connectors.fetching.poison_items import clear_own_slots
from core import drain
from core.errors import MemewaxError, WorldError
from core.telemetry import log
from core.untrusted_text import one_line
from dataflows.observing import report_end
from memewax.commands.processes import PEER_GONE
from operators.recovery_check import check_recovery, check_room
from operators.steps import FAILURES


def main(arguments: list[str]) -> int:
    """Run the flow until it ends or is drained; return the exit code."""
    flow_name, recovery, seconds, *place = arguments
    drain.on_signals()
    _end_with_parent()
    os.environ["BYTEWAX_RECOVERY_DIRECTORY"] = recovery  # flows read this variable, as with Bytewax's own command
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
    except BaseException as error:  # Bytewax raises a BaseException when a peer is gone
        report_end(error)
        return _report(error, Path(recovery))
    return 0


def _end_with_parent() -> None:
    """Exit with the parent: an orphan would write the same outputs as a rerun of the command."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return

    def wait() -> None:
        while os.read(0, 1):
            pass
        clear_own_slots()
        os._exit(1)  # as if killed: the flow resumes from the recovery folder

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _report(error: BaseException, recovery: Path) -> int:
    """Report a known error in one line, another with its traceback; return the exit code."""
    if (reported := FAILURES.first) is not None:
        return reported.exit_code if isinstance(reported, MemewaxError) else 1
    try:
        check_recovery(recovery, thorough=True)
        check_room(recovery)
    except WorldError as broken:
        print(one_line(f"memewax: {broken}"), file=sys.stderr)
        return WorldError.exit_code
    if type(error).__name__ == "PanicException":  # Bytewax reports a lost peer this way
        print(f"memewax: {PEER_GONE}", file=sys.stderr)
    else:
        log.error("the flow ended with an error", exc_info=error)
    return 1


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    if exit_code:  # threads of Bytewax may still run and would abort a slower exit
        sys.stderr.flush()
        clear_own_slots()
        os._exit(exit_code)
