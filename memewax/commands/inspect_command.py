"""`memewax inspect`: a dry run that shows how a source would be read."""

import sys
from dataclasses import asdict
from typing import Annotated, Final

import typer

from connectors.endpoints import POSTS_FROM, endpoint
from connectors.inspection import Inspection, as_plain, inspect_source
from core.endings import advice_on, plural
from core.errors import WorldError
from core.telemetry import configure_logging
from core.untrusted_text import one_line, safe_json
from dataflows.all_settings import load_settings
from memewax.commands.corpus_output import AsJson
from memewax.commands.run import COLUMN
from operators.posts_input import fetcher

_ADDRESS: Final = f"{POSTS_FROM.help}."
_LONGEST: Final = 200


def inspect(
    address: Annotated[str, typer.Argument(help=_ADDRESS)],
    columns: Annotated[list[str] | None, typer.Option("--column", help=COLUMN)] = None,
    rows: Annotated[int, typer.Option(help="Maximum number of posts to read.", min=1, max=1_000_000)] = 1000,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Number of posts to show.", min=0, max=1000)] = 3,
    seconds: Annotated[float, typer.Option(help="Seconds to wait for an endless source.", min=0.1, max=3600)] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Show how a source would be read: format, columns, first posts, and what would be skipped and why."""
    overrides = {"source": address, **({"columns": columns} if columns else {})}
    settings = load_settings(**overrides)
    configure_logging(settings.log_level)
    found = endpoint(address, POSTS_FROM)
    source = found.source(settings.options_of(found), settings)
    images = fetcher(settings)
    try:
        inspection = inspect_source(source, most=rows, shown=limit, seconds=seconds, why_not_here=images.why_not_here)
    finally:
        images.close()
    if as_json:
        report = asdict(inspection) | {"first": [as_plain(post) for post in inspection.first]}
        sys.stdout.write(safe_json({"address": address, **report}) + "\n")
    else:
        for line in _lines(inspection):
            sys.stdout.write(one_line(line) + "\n")
    if inspection.is_whole and not inspection.read and not inspection.skipped:
        raise WorldError(f"{address} has no rows")
    if inspection.read and not inspection.posts and not inspection.removals:
        raise WorldError(
            f"none of the first {plural(inspection.read, 'row')} of {address} is a valid post: see the reasons above"
        )
    if inspection.posts and sum(inspection.not_here.values()) == inspection.posts:
        raise WorldError(f"no image of the first {plural(inspection.posts, 'post')} of {address} can be read")


def _lines(found: Inspection) -> list[str]:
    lines = []
    for place in found.places:
        lines.append(": ".join(filter(None, (place.name, ", ".join(filter(None, (place.form, place.rows)))))))
        lines += [f"    {name} = {column}" for name, column in place.columns.items() if name not in place.own]
        lines += [f"    {name}: custom column, {kind}" for name, kind in place.own.items()]
    if found.more_places:
        lines.append(f"and {found.more_places:,} more")
    extent = "read to the end" if found.is_whole else "read in part"
    lines.append(f"{extent}: {plural(found.posts, 'post')}, {plural(sum(found.reasons.values()), 'dead letter')}")
    if found.removals:
        lines.append(f"  {plural(found.removals, 'delete or hidden account', 'deletes and hidden accounts')}")
    lines += [f"  {number:,} x {reason}" for reason, number in sorted(found.reasons.items(), key=lambda it: -it[1])[:5]]
    lines += [
        f"  {number:,} x no image: {why}{advice_on(why)}"
        for why, number in sorted(found.not_here.items(), key=lambda it: -it[1])
    ]
    lines += [f"  {number:,} skipped: {reason}" for reason, number in found.skipped.items()]
    for post in found.first:
        lines.append("")
        lines += [f"    {name}: {str(value)[:_LONGEST]}" for name, value in as_plain(post).items()]
    return lines
