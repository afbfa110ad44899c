"""Profiles this process: when somebody on this machine asks, or for as long as its flow runs."""

import threading
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Final

from core.atomic_file import atomic_write
from core.counts import counts_in, metrics_here
from core.http_pages import HttpPage, PageAnswer, PageRequest
from core.profiled import ProcessProfile, profiled
from core.sampler import Sampler
from core.telemetry import log

PROFILES: Final = "_MEMEWAX_PROFILES"
"""Variable with a folder that whoever started the process wants its profile in, of all the time that its flow runs."""
_LONGEST_SECONDS: Final = 600.0
_USUAL_SECONDS: Final = "10"


class Profiler:
    """Profiles this process, once at a time.

    Args:
        flow: Its name.
        process: Number of the process.
        pid: The system's.
    """

    def __init__(self, flow: str, process: int, pid: int) -> None:
        self._who = flow, process, pid
        self._busy = threading.Lock()
        self._over = threading.Event()
        self._writing: threading.Thread | None = None

    def profile(self, seconds: float | None) -> ProcessProfile | None:
        """Look for so long, or until `stop` where that is None; None where another is looking."""
        if not self._busy.acquire(blocking=False):
            return None
        try:
            before, sampler = counts_in(metrics_here()), Sampler()
            sampler.start()
            self._over.wait(seconds)
            sampler.stop()
            return profiled(sampler, before, counts_in(metrics_here()), *self._who)
        finally:
            self._busy.release()

    def write_to(self, folder: str | None) -> None:
        """Look from now until `stop`, and write what was seen into a folder; does nothing where that is None."""
        if not folder:
            return

        def write() -> None:
            seen = self.profile(None)
            if seen is not None:
                try:
                    with atomic_write(Path(folder) / f"{seen.process}.json") as file:
                        file.write(seen.model_dump_json().encode())
                except OSError as error:
                    log.warning("the profile cannot be written", folder=folder, error=error.strerror)

        self._writing = threading.Thread(target=write, name="profile", daemon=True)
        self._writing.start()

    def stop(self) -> bool:
        """Let whoever looks end now; whether anybody did. Nobody looks for long after that."""
        did = self._busy.locked()
        self._over.set()
        with self._busy:
            pass
        if self._writing is not None:
            self._writing.join()
        return did


def profile_page(profiler: Profiler) -> HttpPage:
    """The page that profiles for some seconds; only for who asks from this machine, since it costs some time."""

    def page(request: PageRequest) -> PageAnswer:
        if not request.is_local:
            return PageAnswer.of(403, "a profile is for this machine only: ask from here, or by a port-forward")
        seconds = -1.0
        with suppress(ValueError):
            seconds = float(request.query.get("seconds", _USUAL_SECONDS))
        if not isfinite(seconds) or not 0 < seconds <= _LONGEST_SECONDS:
            return PageAnswer.of(400, f"expected ?seconds=, more than 0 and at most {_LONGEST_SECONDS:g}")
        seen = profiler.profile(seconds)
        if seen is None:
            return PageAnswer.of(409, "it is being profiled already: wait for the end of that")
        return PageAnswer(200, seen.model_dump_json().encode(), "application/json")

    return page
