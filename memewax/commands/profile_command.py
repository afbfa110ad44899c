"""`memewax profile`: where the time of a post goes, of a flow that runs or of one that is run for it."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from connectors.endpoints import POSTS_FROM
from core.atomic_file import atomic_write
from core.errors import SettingsError, WorldError
from core.profiled import ProcessProfile
from core.profiler import PROFILES
from core.untrusted_text import one_line, shortened
from memewax.commands.corpus_output import AsJson, print_rows, write_json
from memewax.commands.flow_run import run_flow
from memewax.commands.flow_status import status_in
from memewax.commands.run import COLUMN
from memewax.profiles.bounds import all_sections, shares_of, what_bounds
from memewax.profiles.flame_graph import flame_graph

_FROM: Final = f"{POSTS_FROM.help}: it is run for the profile, and what it makes is thrown away."
_STORE: Final = "Store (or folder of MEMEWAX_STATE_DIR) of a flow that runs on this machine."
_PORT: Final = "Port on which a process of a flow serves its health; as often as you like."
_SECONDS: Final = "How long a flow that runs is looked at."
_FLAME: Final = "SVG file for a flame graph, which any browser opens."
_MAX_BYTES: Final = 64 * 2**20
_PATIENCE: Final = 30.0
"""Seconds that a process may take to answer, besides those that it looks."""
_SIZES_SHOWN: Final = 12


def profile(
    source: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help=_FROM)] = None,
    store: Annotated[Path | None, typer.Option(help=_STORE)] = None,
    port: Annotated[list[int] | None, typer.Option(help=_PORT, min=1, max=65_535)] = None,
    seconds: Annotated[float, typer.Option(help=_SECONDS, min=0.1, max=600)] = 10.0,
    processes: Annotated[int | None, typer.Option(help="Processes of a flow that is run for it.", min=1)] = None,
    columns: Annotated[list[str] | None, typer.Option("--column", help=COLUMN)] = None,
    flame: Annotated[Path | None, typer.Option(help=_FLAME)] = None,
    as_json: AsJson = False,
) -> None:
    """Say where the time of a post goes: computing, waiting for input, for Python's lock, in Bytewax; by step."""
    if [bool(source), store is not None, bool(port)].count(True) != 1:
        raise SettingsError("name one thing to look at: SOURCE to run it, or --store or --port of a flow that runs")
    found = _run(source, processes, columns) if source else _asked(port or _ports(store or Path()), seconds)
    if flame is not None:
        _draw(found, flame)
    if as_json:
        write_json(_report(found))
        return
    for it in found:
        _tell(it)
    print(what_bounds(found))


def _run(source: Sequence[str], processes: int | None, columns: Sequence[str] | None) -> list[ProcessProfile]:
    """Run the flow on a source, into a store that is thrown away, and profile all of it."""
    with tempfile.TemporaryDirectory(prefix="memewax-profile-") as name:
        folder = Path(name)
        overrides: dict[str, Any] = {
            "source": tuple(source),
            "to": (str(folder / "store"),),
            "dead_letters": str(folder / "dead-letters.jsonl"),
            "follow": False,
            "health_port": 0,
            "retry_wait_seconds": 0.0,
        }
        if processes is not None:
            overrides["processes"] = processes
        if columns:
            overrides["columns"] = tuple(columns)
        with _wanted_in(folder):
            run_flow(overrides, folder / "recovery", 10.0)
        return [_read(it.read_bytes(), it.stem) for it in sorted(folder.glob("[0-9]*.json"))]


@contextmanager
def _wanted_in(folder: Path) -> Iterator[None]:
    os.environ[PROFILES] = str(folder)
    try:
        yield
    finally:
        del os.environ[PROFILES]


def _ports(store: Path) -> list[int]:
    """Where the processes of the flows of a store answer."""
    running = [it for flow in status_in(store).flows for it in flow.processes if it.is_alive(datetime.now(UTC))]
    if not running:
        raise WorldError(f"no flow runs that writes {store}: start it, or name a SOURCE to run")
    away = sorted({it.host for it in running} - {socket.gethostname()})
    if away:
        raise WorldError(
            f"it runs on {one_line(', '.join(away))}, and a process is profiled from its own machine: ask there"
        )
    if len({it.flow for it in running}) > 1:
        told = ", ".join(f"{it.flow} (--port {it.health_port})" for it in running)
        raise WorldError(f"several flows run that write {store}: {told}; name one by its ports")
    mute = [it.process for it in running if not it.health_port]
    if mute:
        raise WorldError(f"process {mute[0]} serves no health, by which it is asked: start it with MEMEWAX_HEALTH_PORT")
    return [it.health_port for it in running]


def _asked(ports: Sequence[int], seconds: float) -> list[ProcessProfile]:
    """Ask processes of this machine, all at the same time."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return list(pool.map(lambda port: _ask(port, seconds), ports))


def _ask(port: int, seconds: float) -> ProcessProfile:
    connection = HTTPConnection("127.0.0.1", port, timeout=seconds + _PATIENCE)
    try:
        connection.request("GET", f"/profile?seconds={seconds}")
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES)
    except (OSError, HTTPException) as error:
        raise WorldError(
            f"port {port}: {one_line(str(error) or type(error).__name__)}; is it that of a flow?"
        ) from None
    finally:
        connection.close()
    if answer.status != 200:
        told = shortened(body.decode(errors="replace").strip(), 200)
        raise WorldError(one_line(f"port {port} answers {answer.status}: {told}"))
    return _read(body, f"port {port}")


def _read(data: bytes, where: str) -> ProcessProfile:
    try:
        return ProcessProfile.model_validate_json(data)
    except ValidationError as error:
        raise WorldError(
            f"{where} gives no profile: {one_line(error.errors()[0]['msg'])}; is it of this memewax?"
        ) from None


def _draw(found: Sequence[ProcessProfile], file: Path) -> None:
    stacks: dict[str, float] = {}
    for it in found:
        for stack, seconds in it.stacks.items():
            stacks[f"process {it.process};{stack}"] = stacks.get(f"process {it.process};{stack}", 0.0) + seconds
    try:
        with atomic_write(file) as out:
            out.write(
                flame_graph(
                    stacks, f"{found[0].flow}: seconds of workers by the clock, of other threads on a processor"
                ).encode()
            )
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}") from None


def _report(found: Sequence[ProcessProfile]) -> dict[str, Any]:
    return {
        "processes": [it.model_dump(mode="json") for it in found],
        "shares": {name: round(share, 4) for name, share in asdict(shares_of(found)).items()},
        "bounded_by": what_bounds(found),
    }


def _tell(it: ProcessProfile) -> None:
    whole = it.seconds * max(1, it.workers)
    used = it.processor_seconds / it.seconds if it.seconds else 0.0
    workers = f"{it.workers} worker{'' if it.workers == 1 else 's'}"
    print(
        f"{it.flow}, process {it.process} (pid {it.pid}): {it.posts:,} posts in {it.seconds:,.2f} s, {workers}, "
        f"{used:.1f} of {it.cores} processors used"
    )
    lock = "lock" if it.knows_lock else "lock (not told here)"
    columns = [
        "section",
        "seconds",
        "share",
        "computing",
        lock,
        "no processor",
        "elsewhere",
        "batches",
        "items",
        "ms an item",
    ]
    rows = []
    for section in all_sections([it]):
        per_item = _per_item(section.seconds, section.items)
        parts = (section.computing, section.locked, section.queued, section.elsewhere)
        rows.append(
            [
                section.section,
                f"{section.seconds:,.2f}",
                f"{section.seconds / whole:.1%}" if whole else "",
                *(f"{part:,.2f}" if part >= 0.005 else "" for part in parts),
                section.batches or "",
                section.items or "",
                per_item,
            ]
        )
    rows.append(["together", f"{sum(section.seconds for section in it.sections):,.2f}", *[""] * 8])
    print_rows(columns, rows)
    sizes = [(section.section, size) for section in all_sections([it]) for size in section.sizes]
    told = sorted(sizes, key=lambda pair: -pair[1].seconds)[:_SIZES_SHOWN]
    if told:
        print_rows(
            ["step", "items a batch", "batches", "seconds", "ms an item"],
            [
                [
                    name,
                    str(size.least) if size.least == size.most else f"{size.least} to {size.most}",
                    size.batches,
                    f"{size.seconds:,.2f}",
                    _per_item(size.seconds, size.items),
                ]
                for name, size in told
            ],
        )
    if it.beside:
        beside = ", ".join(f"{one_line(name)} {seconds:,.2f} s" for name, seconds in it.beside.items())
        print(f"beside the workers, in threads of their own: {beside}")
    sys.stdout.flush()


def _per_item(seconds: float, items: int) -> str:
    """Milliseconds, to three digits."""
    return f"{float(f'{1000 * seconds / items:.3g}'):,g}" if items else ""
