"""A flow that is not running, and does what it was asked all the same: with its own settings, and nothing else read."""

from pathlib import Path
from typing import Any, Final

from connectors.chosen_endpoints import Destinations
from connectors.control.flow_note import noted_flow
from connectors.writer_locks import all_locked, lock_files
from core.errors import SettingsError
from dataflows.all_settings import Settings, load_settings
from memewax.commands.flow_run import run_flow
from memewax.commands.supervise import Ended

_SNAPSHOT_SECONDS: Final = 10.0
STATE: Final = ".state"
"""What the folder of state is called after its recovery folder, where a flow has no store."""


def recovery_of(state: Path, named: Path | None) -> Path:
    """The recovery folder of the flow that writes a store: the named one, that of the settings, or the one beside."""
    return named or load_settings().recovery or state.with_name(f"{state.name.removesuffix(STATE)}.recovery")


def settings_of(state: Path, recovery: Path) -> Settings:
    """The settings of the flow that a recovery folder notes; raises `SettingsError` where it is not that of a store."""
    noted = _noted(recovery)
    settings = load_settings(**noted)
    states = Destinations.of(settings).states(settings.state_dir)
    if state.resolve() not in [it.resolve() for it in states]:
        raise SettingsError(f"{recovery} is of a flow that does not write to {state} (name another with --recovery)")
    return settings


def do_requests(recovery: Path, settings: Settings) -> Ended:
    """Let the flow of a recovery folder do what it is asked, and end; raises `BusyError` where it runs."""
    with all_locked(lock_files(Destinations.of(settings).all()), wait=0):
        pass
    ended, _ = run_flow({**_noted(recovery), "requests_only": True, "processes": 1}, recovery, _SNAPSHOT_SECONDS)
    return ended


def _noted(recovery: Path) -> dict[str, Any]:
    noted = noted_flow(recovery)
    if noted is None:
        raise SettingsError(f"{recovery} does not say of which flow it is (name another with --recovery)")
    return noted
