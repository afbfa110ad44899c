"""`memewax sql`: a question to a store, in SQL."""

import csv
import math
import sys
from collections.abc import Iterator
from datetime import date, time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from core.endings import plural
from core.errors import SettingsError
from core.untrusted_text import safe_json, sanitized
from memewax.commands.corpus_output import ReadStore, opened_store, print_rows

if TYPE_CHECKING:
    from search.sql import Selected

_SHOWN: Final = 100
"""Rows of a table for people."""
_PLAIN: Final = (str, int, float, bool)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT over posts, clusters and answers.")],
    store: ReadStore = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout, all rows.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a row on stdout, all rows.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Rows of the table that is shown.")] = _SHOWN,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="That the query may take.")] = 60.0,
) -> None:
    """Ask a store in SQL (DuckDB's). The store stays as it is, and a query reaches no file and no network."""
    from search.sql import selected

    if as_csv and as_json:
        raise SettingsError("--csv and --json are two forms: choose one")
    with selected(opened_store(store), query, seconds) as found:
        if as_json:
            for row in found.rows:
                sys.stdout.write(safe_json(dict(zip(_unlike(found.columns), map(_jsonable, row), strict=True))) + "\n")
        elif as_csv:
            _write_csv(found)
        else:
            _show(found, limit)


def _show(found: "Selected", limit: int) -> None:
    rows = list(islice(found.rows, limit + 1))
    print_rows(list(found.columns), [[_cell(value) for value in row] for row in rows[:limit]])
    if len(rows) > limit:
        print(f"memewax: the first {plural(limit, 'row')}; -n shows more, --csv and --json all", file=sys.stderr)


def _write_csv(found: "Selected") -> None:
    is_seen = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in _with_head(found):
        writer.writerow([sanitized(it) if is_seen and isinstance(it, str) else it for it in row])


def _with_head(found: "Selected") -> Iterator[list[Any]]:
    yield list(found.columns)
    for row in found.rows:
        yield [_cell(value) for value in row]


def _cell(value: Any) -> Any:
    """What stands in a table: texts and numbers as they are, nothing for null, and JSON of all else."""
    told = _jsonable(value)
    if told is None:
        return ""
    return told if isinstance(told, _PLAIN) else orjson.dumps(told).decode()


def _jsonable(value: Any) -> Any:
    """What JSON has a form for; of times ISO 8601, of bytes their digits, and null for what is no number."""
    match value:
        case dict():
            return {str(name): _jsonable(it) for name, it in value.items()}
        case list() | tuple():
            return [_jsonable(it) for it in value]
        case float() if not math.isfinite(value):
            return None
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
    is_plain = value is None or (isinstance(value, _PLAIN) and not (isinstance(value, int) and abs(value) >= 2**63))
    return value if is_plain else str(value)


def _unlike(columns: tuple[str, ...]) -> list[str]:
    """Names that differ, where a query gives two columns one name."""
    found: list[str] = []
    for name in columns:
        number = 1
        while (name if number == 1 else f"{name}_{number}") in found:
            number += 1
        found.append(name if number == 1 else f"{name}_{number}")
    return found
