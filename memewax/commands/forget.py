"""`memewax forget`: erase posts everywhere, and check for remnants of them."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from connectors.chosen_endpoints import Destinations, sources_of
from connectors.control.control_log import FOLDER, ControlLog
from connectors.control.flow_note import noted_folder, noted_taps
from connectors.control.request_kinds import COMPACT, FORGET, MOST_DELETES, deletes_in
from connectors.folder import Folder
from connectors.remnants import LookedFor, Remnant, in_files, in_lines
from connectors.sources.removal_form import delete_of_account, tombstone
from connectors.store.conditions import in_batches
from connectors.stored_dead_letters import forget_dead_letters
from connectors.writer_locks import ANSWERS, all_locked, lock_files
from core.endings import plural
from core.errors import BusyError, SettingsError
from core.status import FOLDER as STATUS
from core.untrusted_text import one_line
from dataflows.all_settings import Settings
from memewax.commands.corpus_output import AsJson, ReadStore, opened_store, print_rows, write_json
from memewax.commands.recovery import lock_recovery
from memewax.commands.stopped_flow import do_requests, recovery_of, settings_of
from memewax.commands.store_command import done

if TYPE_CHECKING:
    from connectors.store.interface import Store

_NOT_SEARCHED: Final = "not searched: sources, backups, and topics except that of dead letters"
_DEAD_LETTERS_UNTIL: Final = "until `memewax forget` blanks it"
_LINES_UNTIL: Final = "as long as the file exists: lines of an output are never rewritten"


def forget(
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Id of an image or a post; repeat it for several.")
    ] = None,
    author: Annotated[
        str | None, typer.Option(help="With --source: name of an account, to erase all of its posts.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="With --author: service of the account, such as bluesky or reddit.")
    ] = None,
    urls: Annotated[list[str] | None, typer.Option("--url", help="URL of an image; repeat it for several.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="With --check: also search for this text, such as a caption.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; list remnants, with exit code 1 if there are any.")
    ] = False,
    store: ReadStore = None,
    recovery: Annotated[
        Path | None, typer.Option(help="Recovery folder of the flow; by default beside the store.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Erase posts: rows, embeddings, thumbnails, clusters, answers, retries, dead letters, old versions.

    A running flow does this at its next snapshot. If none is running, this command does it at once.
    """
    opened = opened_store(store)
    folder = opened.state
    names = [*(ids or ()), *(urls or ())]
    if check:
        wanted = (*names, *(text or ()), *([author] if author else []))
        _check(opened, recovery_of(folder, recovery), wanted, as_json)
        return
    if text:
        raise SettingsError("--text works only with --check: name posts to erase by --id, --url or --author")
    if (author is None) != (source is None):
        raise SettingsError("an account needs both --author and --source")
    deletes = [orjson.loads(tombstone(it.encode(errors="surrogatepass"), None)) for it in ids or ()]
    deletes += [{"url": it, "deleted": True} for it in urls or ()]
    if author is not None and source is not None:
        deletes.append(delete_of_account(author, source, datetime.now(UTC).isoformat()))
    if not deletes:
        raise SettingsError("nothing to erase: name it with --id, --url, or --author and --source")
    outcome = _forgotten(opened, recovery_of(folder, recovery), deletes)
    if as_json:
        write_json({"store": str(opened), "done": outcome})
    else:
        print(f"memewax: {opened}: {outcome}; `memewax forget --check` lists remnants", file=sys.stderr)


def _forgotten(opened: "Store", recovery: Path, deletes: list[dict[str, Any]]) -> str:
    """Request the deletes and wait until they are done; return a line on who did them."""
    from connectors.store.lance_tables import LanceTables
    from connectors.store.quoting_answers import compact_answers
    from operators.recovery_remnants import scrub

    store = opened.state
    opened.check_there()
    named = opened.matching_ids(deletes_in({"deletes": deletes}))
    log = ControlLog(store / FOLDER)
    ids = [{"global_id": it, "deleted": True} for it in named]  # clusters refer to posts only by id
    for some in in_batches([*deletes, *ids], MOST_DELETES):
        log.add(FORGET.name, {"deletes": some})
    last = log.add(COMPACT.name, {})
    settings = _settings(store, recovery)
    by = "forgotten by the running flow; its recovery folder keeps remnants until it ends"
    with suppress(BusyError):
        if settings is not None:
            do_requests(recovery, settings)
            by = "forgotten"
    done(log, last, opened, by_flow=settings is not None and not opened.has_lock)
    if settings is None:
        by = "forgotten in the store; no recovery folder of a flow was found: if there is one, name it with --recovery"
    if opened.has_lock:
        with suppress(BusyError), all_locked(lock_files([Folder.at(store)], ANSWERS), wait=0):
            compact_answers(LanceTables.at(store))
    forget_dead_letters(_dead_letters(store, settings), deletes_in({"deletes": deletes}))
    if settings is not None and by == "forgotten":
        with lock_recovery(recovery):
            scrub(recovery, settings.cluster_log or recovery / "clusters")
    return by


def _check(opened: "Store", recovery: Path, wanted: tuple[str, ...], as_json: bool) -> None:
    if not wanted:
        raise SettingsError("nothing to search for: name it with --id, --url, --author or --text")
    store = opened.state
    found = list(_remnants(opened, recovery, LookedFor(wanted)))
    topics = list(_topics(_settings(store, recovery), noted_taps(recovery)))
    unsearched = _NOT_SEARCHED if recovery.is_dir() else f"{_NOT_SEARCHED}; {_unfound(store, recovery)}"
    if as_json:
        left, unread = ([asdict(it) for it in those] for those in (found, topics))
        write_json({"store": str(opened), "left": left, "topics": unread, "not_searched": unsearched})
    elif found:
        print_rows(["where", "why", "until"], [[it.place, it.why, it.until] for it in found])
    if not as_json:
        for it in topics:
            print(one_line(f"memewax: {it.place}: {it.why}; a message is kept {it.until}"), file=sys.stderr)
        summary = f"{plural(len(found), 'place')} with remnants" if found else "nothing is left"
        print(one_line(f"memewax: {opened}: {summary}; {unsearched}"), file=sys.stderr)
    if found:
        raise typer.Exit(1)


def _unfound(store: Path, recovery: Path) -> str:
    """Say that the recovery folder of a store's flow, and so its outputs, could not be searched."""
    return (
        f"no recovery folder was found at {noted_folder(store) or recovery}: if there is one, name it with --recovery"
    )


def _remnants(opened: "Store", recovery: Path, names: LookedFor) -> Iterator[Remnant]:
    from connectors.caching.cache_remnants import in_cache
    from operators.item_memory import CACHE
    from operators.recovery_remnants import in_recovery

    store = opened.state
    yield from opened.remnants(names)
    settings = _settings(store, recovery)
    if recovery.is_dir():
        yield from in_recovery(recovery, names)
    for folder in (FOLDER, STATUS):
        for file in sorted((store / folder).glob("*")):
            if in_lines(file, names) or names.in_file(file):
                yield Remnant(str(file), "a pending request, or a status", "until the flow has done it")
    yield from in_files(_others(store), names, "until the next run with a new recovery folder")
    yield from in_cache((settings and settings.cache_folder) or store / CACHE, names)
    dead_letters = _dead_letters(store, settings)
    for file, until in [(dead_letters, _DEAD_LETTERS_UNTIL), *((it, _LINES_UNTIL) for it in _outputs(settings))]:
        if file.is_file() and (lines := in_lines(file, names)):
            yield Remnant(str(file), f"{plural(lines, 'line')} with it", until)
    if settings is not None:
        from connectors.topics.topic_remnants import in_dead_letters

        yield from in_dead_letters(Destinations.of(settings).dead_letters, names, settings)


def _topics(settings: Settings | None, taps: list[str]) -> Iterator[Remnant]:
    """Yield the topics that the flow reads and writes, including its taps, except that of its dead letters."""
    if settings is not None:
        from connectors.topics.topic_remnants import kept_in_taps, kept_in_topics

        chosen = Destinations.of(settings)
        events = [chosen.cluster_events] if chosen.cluster_events else []
        yield from kept_in_topics([*sources_of(settings), *chosen.sinks, *events], settings)
        yield from kept_in_taps(taps, settings)


def _others(store: Path) -> Iterator[Path]:
    """Yield the files of a store other than tables, control log and status: the cache and notes of runs."""
    seen = {FOLDER, STATUS}
    for file in sorted(store.rglob("*")):
        first = file.relative_to(store).parts[0]
        if file.is_file() and first not in seen and not first.endswith(".lance"):
            yield file


def _settings(store: Path, recovery: Path) -> Settings | None:
    """Load the settings of the flow that writes a store; None if its recovery folder does not exist."""
    return settings_of(store, recovery) if recovery.is_dir() else None


def _dead_letters(store: Path, settings: Settings | None) -> Path:
    beside = store.with_name(f"{store.name}.dead-letters.jsonl")
    found = None if settings is None else Destinations.of(settings).dead_letters.path
    return found or beside


def _outputs(settings: Settings | None) -> list[Path]:
    if settings is None:
        return []
    chosen = Destinations.of(settings)
    events = [chosen.cluster_events] if chosen.cluster_events else []
    return [it.path for it in (*chosen.sinks, *events) if it.path is not None and not it.takes_rows]
