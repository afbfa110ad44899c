"""Runs a stopped flow for pending requests only, such as replays, with its own settings; it reads nothing else."""

from pathlib import Path
from typing import Any, Final

from connectors.chosen_endpoints import Destinations
from connectors.control.flow_note import noted_flow, noted_folder
from connectors.writer_locks import all_locked, lock_files
from core.errors import SettingsError
from dataflows.all_settings import Settings, load_settings
from memewax.commands.flow_run import run_flow
from memewax.commands.supervise import Ended

_SNAPSHOT_SECONDS: Final = 10.0
STATE: Final = ".state"
"""Suffix of the state folder of a flow without a store; its stem is that of the recovery folder."""


def recovery_of(state: Path, named: Path | None) -> Path:
    """Return the recovery folder of a store's flow: that named, in the settings, noted, or beside it."""
    chosen = named or load_settings().recovery
    if chosen is None and (noted := noted_folder(state)) is not None and noted.is_dir():
        chosen = noted
    return chosen or state.with_name(f"{state.name.removesuffix(STATE)}.recovery")


def settings_of(state: Path, recovery: Path) -> Settings:
    """Load the settings saved in a recovery folder; raises `SettingsError` if its flow does not write to `state`."""
    noted = _noted(recovery)
    settings = load_settings(**noted)
    states = Destinations.of(settings).states(settings.state_dir)
    if state.resolve() not in [it.resolve() for it in states]:
        raise SettingsError(f"the flow of {recovery} does not write to {state}: name the right folder with --recovery")
    return settings


def do_requests(recovery: Path, settings: Settings) -> Ended:
    """Run the flow of a recovery folder on its pending requests, to the end; raises `BusyError` if it is running."""
    with all_locked(lock_files(Destinations.of(settings).all()), wait=0):
        pass
    ended, _ = run_flow({**_noted(recovery), "requests_only": True, "processes": 1}, recovery, _SNAPSHOT_SECONDS)
    return ended


def _noted(recovery: Path) -> dict[str, Any]:
    noted = noted_flow(recovery)
    if noted is None:
        raise SettingsError(f"{recovery} has no note of its flow: name another folder with --recovery")
    return noted
