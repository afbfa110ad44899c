"""Health pages, profiles and status files of a running flow."""

import atexit
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from core.activity import ACTIVITY
from core.health import FlowHealth, health_pages
from core.http_pages import HttpPage, PageServer
from core.launch import Launch
from core.profiler import PROFILES, Profiler, profile_page
from core.settings import HealthSettings
from core.status_writer import FlowFacts, StatusWriter
from core.telemetry import log
from core.untrusted_text import one_line
from operators.steps import FAILURES

_BYTEWAX_PORT: Final = "BYTEWAX_DATAFLOW_API_PORT"
_BYTEWAX_DEFAULT: Final = 3030
_GRACE_SECONDS: Final = 5.0
"""Time for a client that takes a profile to receive what was collected when the flow ends."""
_APART: Final = 500
"""Larger than the number of processes that a flow has on one machine."""


class Observers:
    """The health server, profiler and status writer of the flow in this process."""

    def __init__(self, facts: FlowFacts, launch: Launch, settings: HealthSettings) -> None:
        self._health = FlowHealth(ACTIVITY, settings.stalled_seconds)
        port = settings.health_port + launch.place_on_host if settings.health_port else 0
        self._profiler = Profiler(facts.flow, launch.process, os.getpid())
        pages = {**health_pages(self._health), "/profile": profile_page(self._profiler)}
        self._server = _serving(pages, settings.health_host, port) if port else None
        served = self._server.port if self._server else 0
        self._status = StatusWriter(facts, launch.process, launch.processes, served, self._health.update)

    def start(self) -> None:
        """Start to observe: the flow is about to load its models."""
        self._status.start()

    def ready(self, models: Mapping[str, str]) -> None:
        """Report that the flow is built, with the models by stage; register `end` for when the process exits."""
        self._health.ready()
        self._status.ready(models)
        self._profiler.write_to(os.environ.get(PROFILES))
        atexit.register(self.end)
        _OF_THIS_PROCESS.append(self)

    def end(self, error: BaseException | None = None) -> None:
        """Report how the flow ended: by the error of a step, by `error`, or normally; only the first call counts."""
        cause = FAILURES.first or error or getattr(sys, "last_value", None)
        was_profiled = self._profiler.stop()
        if self._server is not None:
            self._server.close(_GRACE_SECONDS if was_profiled else 0.0)
        self._status.end(None if cause is None else one_line(str(cause).strip() or type(cause).__name__))


def _serving(pages: Mapping[str, HttpPage], host: str, port: int) -> PageServer | None:
    """Serve the pages if possible; a flow runs without them otherwise."""
    _move_bytewax(port)
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    address = {"auto": "" if in_pod else "127.0.0.1", "0.0.0.0": "", "::": ""}.get(host, host)  # noqa: S104 - asked for
    try:
        return PageServer(pages, address, port)
    except OSError as error:
        advice = "set MEMEWAX_HEALTH_PORT to another port, or to 0"
        log.warning("health is not served", host=host, port=port, error=error.strerror, advice=advice)
        return None


def _move_bytewax(port: int) -> None:
    """Move Bytewax's own server, if it is enabled, to another port than ours."""
    named = os.environ.get(_BYTEWAX_PORT, str(_BYTEWAX_DEFAULT))
    if "BYTEWAX_DATAFLOW_API_ENABLED" in os.environ and named == str(port):
        os.environ[_BYTEWAX_PORT] = str(port + _APART)
        log.info("Bytewax's own server was moved: its port is used for health", port=port + _APART)


_OF_THIS_PROCESS: list[Observers] = []


def report_end(error: BaseException) -> None:
    """Report that the flow of this process has failed: for callers that exit at once."""
    for it in _OF_THIS_PROCESS:
        it.end(error)


def names_of(loaded: Any) -> Mapping[str, str]:
    """Return the model names of what a flow has loaded; empty for flows without models."""
    names: Mapping[str, str] = getattr(loaded, "names", {})
    return names
