"""`memewax sql`: SQL queries on a store."""

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
    from search.sql import QueryResult

_SHOWN: Final = 100
"""Default maximum rows of the printed table."""
_PLAIN: Final = (str, int, float, bool)


def sql(
    query: Annotated[str, typer.Argument(help="One SELECT on the tables posts, clusters and answers.")],
    store: ReadStore = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV on stdout.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows on stdout, each as a JSON object.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum rows of the printed table.")] = _SHOWN,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="Time limit of the query in seconds.")] = 60.0,
) -> None:
    """Query a store in SQL (DuckDB's dialect). Queries are read-only and have no access to files or network."""
    from search.sql import run_query

    if as_csv and as_json:
        raise SettingsError("--csv and --json exclude each other: choose one")
    with run_query(opened_store(store), query, seconds) as found:
        if as_json:
            for row in found.rows:
                sys.stdout.write(
                    safe_json(dict(zip(_distinct_names(found.columns), map(_jsonable, row), strict=True))) + "\n"
                )
        elif as_csv:
            _write_csv(found)
        else:
            _show(found, limit)


def _show(found: "QueryResult", limit: int) -> None:
    rows = list(islice(found.rows, limit + 1))
    print_rows(list(found.columns), [[_cell(value) for value in row] for row in rows[:limit]])
    if len(rows) > limit:
        print(
            f"memewax: the first {plural(limit, 'row')}; raise -n to see more, or print all with --csv or --json",
            file=sys.stderr,
        )


def _write_csv(found: "QueryResult") -> None:
    is_seen = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for row in _with_head(found):
        writer.writerow([sanitized(it) if is_seen and isinstance(it, str) else it for it in row])


def _with_head(found: "QueryResult") -> Iterator[list[Any]]:
    yield list(found.columns)
    for row in found.rows:
        yield [_cell(value) for value in row]


def _cell(value: Any) -> Any:
    """Format a value for a table: text and numbers unchanged, empty for null, and JSON for anything else."""
    plain = _jsonable(value)
    if plain is None:
        return ""
    return plain if isinstance(plain, _PLAIN) else orjson.dumps(plain).decode()


def _jsonable(value: Any) -> Any:
    """Convert a value to JSON types: times to ISO 8601, bytes to hexadecimal, NaN and infinity to null."""
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


def _distinct_names(columns: tuple[str, ...]) -> list[str]:
    """Make column names unique: a repeated name gets a number as suffix."""
    found: list[str] = []
    for name in columns:
        number = 1
        while (name if number == 1 else f"{name}_{number}") in found:
            number += 1
        found.append(name if number == 1 else f"{name}_{number}")
    return found
