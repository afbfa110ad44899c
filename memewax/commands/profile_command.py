"""`memewax profile`: time per post by step, of a running flow or of one that is run for the profile."""

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
from core.endings import plural
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

_FROM: Final = f"{POSTS_FROM.help}: runs the flow on it for the profile and deletes the results."
_STORE: Final = "Store (or folder of MEMEWAX_STATE_DIR) of a flow running on this machine."
_PORT: Final = "Health port of a process of a running flow; repeat it for several."
_SECONDS: Final = "Seconds to profile a running flow for."
_FLAME: Final = "Write a flame graph to this SVG file, to open in a browser."
_MAX_BYTES: Final = 64 * 2**20
_PATIENCE: Final = 30.0
"""Seconds that a process may take to answer, in addition to those that it profiles for."""
_SIZES_SHOWN: Final = 12


def profile(
    source: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help=_FROM)] = None,
    store: Annotated[Path | None, typer.Option(help=_STORE)] = None,
    port: Annotated[list[int] | None, typer.Option(help=_PORT, min=1, max=65_535)] = None,
    seconds: Annotated[float, typer.Option(help=_SECONDS, min=0.1, max=600)] = 10.0,
    processes: Annotated[int | None, typer.Option(help="With SOURCE: number of processes to run.", min=1)] = None,
    columns: Annotated[list[str] | None, typer.Option("--column", help=COLUMN)] = None,
    flame: Annotated[Path | None, typer.Option(help=_FLAME)] = None,
    as_json: AsJson = False,
) -> None:
    """Profile a flow by step: computing, waiting for input, waiting for Python's lock (GIL), Bytewax."""
    if [bool(source), store is not None, bool(port)].count(True) != 1:
        raise SettingsError("name one thing to profile: SOURCE to run it, or --store or --port of a running flow")
    found = _run(source, processes, columns) if source else _profiles_of(port or _ports(store or Path()), seconds)
    if flame is not None:
        _draw(found, flame)
    if as_json:
        write_json(_report(found))
        return
    for it in found:
        _print(it)
    print(what_bounds(found))


def _run(source: Sequence[str], processes: int | None, columns: Sequence[str] | None) -> list[ProcessProfile]:
    """Run the flow on a source into a temporary store, and return the profiles of the whole run."""
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
        with _profiles_written_to(folder):
            run_flow(overrides, folder / "recovery", 10.0)
        return [_read(it.read_bytes(), it.stem) for it in sorted(folder.glob("[0-9]*.json"))]


@contextmanager
def _profiles_written_to(folder: Path) -> Iterator[None]:
    os.environ[PROFILES] = str(folder)
    try:
        yield
    finally:
        del os.environ[PROFILES]


def _ports(store: Path) -> list[int]:
    """Return the health ports of the processes that write a store; raises `WorldError` if they cannot be profiled."""
    running = [it for flow in status_in(store).flows for it in flow.processes if it.is_alive(datetime.now(UTC))]
    if not running:
        raise WorldError(f"no running flow writes {store}: start one, or name a SOURCE to run")
    away = sorted({it.host for it in running} - {socket.gethostname()})
    if away:
        raise WorldError(
            f"the flow runs on {one_line(', '.join(away))}: run this command there, since it profiles local processes"
        )
    if len({it.flow for it in running}) > 1:
        flows = ", ".join(f"{it.flow} (--port {it.health_port})" for it in running)
        raise WorldError(f"several running flows write {store}: {flows}; choose one by its ports")
    without_port = [it.process for it in running if not it.health_port]
    if without_port:
        raise WorldError(
            f"process {without_port[0]} has no health port to profile it through: start it with MEMEWAX_HEALTH_PORT"
        )
    return [it.health_port for it in running]


def _profiles_of(ports: Sequence[int], seconds: float) -> list[ProcessProfile]:
    """Request profiles from processes of this machine, concurrently."""
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
            f"port {port}: {one_line(str(error) or type(error).__name__)}; is this the health port of a flow?"
        ) from None
    finally:
        connection.close()
    if answer.status != 200:
        reason = shortened(body.decode(errors="replace").strip(), 200)
        raise WorldError(one_line(f"port {port} answers {answer.status}: {reason}"))
    return _read(body, f"port {port}")


def _read(data: bytes, where: str) -> ProcessProfile:
    try:
        return ProcessProfile.model_validate_json(data)
    except ValidationError as error:
        raise WorldError(
            f"{where} has no valid profile: {one_line(error.errors()[0]['msg'])}; does it run this version of memewax?"
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
                    stacks, f"{found[0].flow}: wall-clock seconds of workers, CPU seconds of other threads"
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


def _print(it: ProcessProfile) -> None:
    whole = it.seconds * max(1, it.workers)
    used = it.processor_seconds / it.seconds if it.seconds else 0.0
    workers = plural(it.workers, "worker")
    print(
        f"{it.flow}, process {it.process} (pid {it.pid}): {plural(it.posts, 'post')} in {it.seconds:,.2f} s, "
        f"{workers}, {used:.1f} of {it.cores} CPU cores used"
    )
    lock = "GIL" if it.knows_lock else "GIL (unknown here)"
    columns = [
        "section",
        "seconds",
        "share",
        "computing",
        lock,
        "no CPU",
        "elsewhere",
        "batches",
        "items",
        "ms/item",
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
    rows.append(["total", f"{sum(section.seconds for section in it.sections):,.2f}", *[""] * 8])
    print_rows(columns, rows)
    sizes = [(section.section, size) for section in all_sections([it]) for size in section.sizes]
    slowest = sorted(sizes, key=lambda pair: -pair[1].seconds)[:_SIZES_SHOWN]
    if slowest:
        print_rows(
            ["step", "items/batch", "batches", "seconds", "ms/item"],
            [
                [
                    name,
                    str(size.least) if size.least == size.most else f"{size.least} to {size.most}",
                    size.batches,
                    f"{size.seconds:,.2f}",
                    _per_item(size.seconds, size.items),
                ]
                for name, size in slowest
            ],
        )
    if it.beside:
        beside = ", ".join(f"{one_line(name)} {seconds:,.2f} s" for name, seconds in it.beside.items())
        print(f"other threads, beside the workers: {beside}")
    sys.stdout.flush()


def _per_item(seconds: float, items: int) -> str:
    """Format milliseconds per item with three significant digits."""
    return f"{float(f'{1000 * seconds / items:.3g}'):,g}" if items else ""
