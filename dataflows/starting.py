"""Start-up of every flow: settings, logs, signals, recovery and models; a start that fails prints one line."""

import gc
import os
import platform
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from bytewax.dataflow import Dataflow

from connectors.chosen_endpoints import Destinations, check_addresses, check_elsewhere, check_source
from connectors.control.flow_note import note_flow
from connectors.writer_locks import HANDED_ON, keep_locked, lock_files
from core import __version__, drain
from core.endings import run_ending
from core.errors import MemewaxError
from core.launch import Launch
from core.status import FOLDER
from core.status_writer import FlowFacts, shown
from core.telemetry import BUILD_INFO, MODEL_INFO, READY, STARTED, configure_logging, take_in_libraries
from core.traces import TRACES
from core.untrusted_text import one_line
from dataflows.all_settings import Settings, load_settings
from dataflows.exit_report import End, report_exit
from dataflows.observing import Observers, names_of
from models.clusterer import Clusterer
from models.clusterers.choice import make_clusterer
from models.loading import Models, load_models
from operators.first_ids import FirstNumbers, first_numbers
from operators.model_check import check_model_names, check_models
from operators.recovery_check import check_recovery, check_room
from operators.recovery_migration import migrate
from operators.recovery_places import has_snapshots
from operators.recovery_remnants import drop_unknown_rows
from operators.resume_point import prepare_resume
from operators.taps import tap_addresses

Loaded = TypeVar("Loaded")
Build = Callable[[Settings, Models, Callable[[], Clusterer], FirstNumbers], Dataflow]
"""Builds a flow from settings, models, a factory of clusterers, and the first free ids and revisions."""


def started(build: Build) -> Dataflow:
    """Build a flow that uses all models; prints one line and exits with the error's code if that fails.

    Args:
        build: Builds the flow.
    """

    def loaded(settings: Settings) -> Models:
        check_model_names(settings.recovery, settings)
        return load_models(settings)

    def built(settings: Settings, models: Models) -> Dataflow:
        recovery = Launch.of(sys.argv[1:], os.environ).recovery
        for stage, model, engine in models.engines():
            MODEL_INFO.labels(stage, model, engine or "none").set(1)
        flow = continued(build, settings, models, recovery)
        if recovery is not None and not settings.requests_only:
            note_flow(recovery, settings, tap_addresses(settings))
        return flow

    def facts(settings: Settings) -> FlowFacts:
        return facts_of("memes", settings, Destinations.of(settings))

    return started_with(facts, check_and_lock_files, loaded, built, run_ending)


def continued(build: Build, settings: Settings, models: Models, recovery: Path | None) -> Dataflow:
    """Build a flow whose cluster ids and revisions continue above those that its stores hold.

    Args:
        build: Builds the flow.
        settings: Settings of the flow.
        models: Models of all stages.
        recovery: Recovery folder of the flow; None if it takes no snapshots.

    Raises:
        SettingsError: if the clusterer's parameters are invalid.
        WorldError: if a store cannot be read, or holds vectors of other models.
    """
    clusterer = make_clusterer(settings)  # fail early if its parameters are invalid
    stores = Destinations.of(settings).stores(settings)
    check_models(stores, recovery, models.embedders)
    MODEL_INFO.labels(Clusterer.stage, clusterer.name, "none").set(1)
    return build(
        settings, models, partial(make_clusterer, settings), first_numbers(stores, recovery, clusterer.reserve_ids_to)
    )


def check_and_lock_files(settings: Settings) -> Mapping[Path, str]:
    """Check the addresses of a flow of posts; return the files to lock, each with the error where they are in use."""
    check_addresses(settings)
    check_source(settings)
    check_elsewhere(settings)
    return lock_files(Destinations.of(settings).all())


def facts_of(flow: str, settings: Settings, destinations: Destinations) -> FlowFacts:
    """Return the facts about a flow of posts that its status files contain."""
    folders = tuple(it / FOLDER for it in destinations.states(settings.state_dir))
    sources = () if settings.requests_only else shown(settings.source)
    return FlowFacts(flow, folders, sources, shown(settings.to), settings.sample)


def started_with(
    facts: Callable[[Settings], FlowFacts],
    writes: Callable[[Settings], Mapping[Path, str]],
    load: Callable[[Settings], Loaded],
    build: Callable[[Settings, Loaded], Dataflow],
    end: End,
) -> Dataflow:
    """Build a flow from the settings and what `load` returns; fails like `started`.

    Args:
        facts: Returns the facts for the status files, and their folders.
        writes: Returns the files to lock while the flow runs, as `keep_locked` takes them; raises `SettingsError` for
            an invalid address.
        load: Loads models, or whatever else takes time.
        build: Makes the flow.
        end: Makes the last lines of a run.
    """
    launch = Launch.of(sys.argv[1:], os.environ)
    observers = None
    try:
        settings = load_settings()
        configure_logging(settings.log_level, launch.process)
        take_in_libraries()
        STARTED.set_to_current_time()
        TRACES.begin(settings.traces, launch.process)
        drain.on_signals()
        folder = launch.recovery
        recovery = folder or settings.recovery
        log_folder = settings.cluster_log or (recovery and (recovery / "clusters").absolute())
        settings = settings.model_copy(update={"recovery": recovery, "cluster_log": log_folder})
        keep_locked(writes(settings), launch, os.environ)
        observers = Observers(facts(settings), launch, settings)
        observers.start()
        drain.before_end(observers.end)
        if launch.processes > 1 and HANDED_ON not in os.environ:  # `memewax run` stops all of them itself
            drain.end_alone_after(settings.drain_seconds)
        if folder is not None:
            check_recovery(folder, launch.share)
            check_room(folder)
            migrate(folder)
            prepare_resume(folder, launch)
            if launch.process == 0 and log_folder is not None:
                drop_unknown_rows(folder, log_folder)
        gc.disable()  # importing and loading leave no cycles that it could free, and it would take half a second
        loaded = load(settings)
        _spare_the_collector()
        READY.set(1)
        BUILD_INFO.labels(__version__, platform.python_version()).set(1)
        is_first = folder is None or not has_snapshots(folder)
        flow = build(settings, loaded)
    except BaseException as error:
        if observers is not None:
            observers.end(error)
        if not isinstance(error, MemewaxError):
            raise
        print(one_line(f"memewax: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        gc.enable()
    report_exit(end, folder, is_first=is_first)
    observers.ready(names_of(loaded))  # after the line above: `atexit` calls the last registered function first
    return flow


def _spare_the_collector() -> None:
    """Collect garbage cycles less often: flows create none, and what models hold stays for good."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
