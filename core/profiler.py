"""Profiles this process: on request from this machine, or for as long as its flow runs."""

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
"""Environment variable: folder in which the parent wants a profile of the whole run."""
_LONGEST_SECONDS: Final = 600.0
_USUAL_SECONDS: Final = "10"


class Profiler:
    """Profiles this process, one profile at a time.

    Args:
        flow: Name of the flow.
        process: Index of the process.
        pid: Operating-system process id.
    """

    def __init__(self, flow: str, process: int, pid: int) -> None:
        self._who = flow, process, pid
        self._busy = threading.Lock()
        self._over = threading.Event()
        self._writing: threading.Thread | None = None

    def profile(self, seconds: float | None) -> ProcessProfile | None:
        """Profile for `seconds`, or until `stop` if None; returns None if a profile is already running."""
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
        """Profile from now until `stop`, and write the profile into a folder; does nothing if that is None."""
        if not folder:
            return

        def write() -> None:
            result = self.profile(None)
            if result is not None:
                try:
                    with atomic_write(Path(folder) / f"{result.process}.json") as file:
                        file.write(result.model_dump_json().encode())
                except OSError as error:
                    log.warning("the profile cannot be written", folder=folder, error=error.strerror)

        self._writing = threading.Thread(target=write, name="profile", daemon=True)
        self._writing.start()

    def stop(self) -> bool:
        """End running profiles, and allow none afterwards; returns whether one was running."""
        was_running = self._busy.locked()
        self._over.set()
        with self._busy:
            pass
        if self._writing is not None:
            self._writing.join()
        return was_running


def profile_page(profiler: Profiler) -> HttpPage:
    """Return the page that profiles for some seconds; for this machine only, since profiling costs time."""

    def page(request: PageRequest) -> PageAnswer:
        if not request.is_local:
            return PageAnswer.of(403, "a profile is served to this machine only: ask from here, or by a port-forward")
        seconds = -1.0
        with suppress(ValueError):
            seconds = float(request.query.get("seconds", _USUAL_SECONDS))
        if not isfinite(seconds) or not 0 < seconds <= _LONGEST_SECONDS:
            return PageAnswer.of(400, f"expected ?seconds=, more than 0 and at most {_LONGEST_SECONDS:g}")
        result = profiler.profile(seconds)
        if result is None:
            return PageAnswer.of(409, "a profile is already running: wait for its end")
        return PageAnswer(200, result.model_dump_json().encode(), "application/json")

    return page
