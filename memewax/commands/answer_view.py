"""Renders an answer for a terminal; strangers' text is sanitized, so that it cannot control the terminal."""

import sys
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.untrusted_text import sanitized

_NARROW: Final = 60
"""Terminal columns; narrower terminals get plain lines, which are easier to read there than a table."""
_COLUMNS: Final = (("favourites", "favorite"), ("retweets", "retweet"))


def print_answer(answer: dict[str, Any]) -> None:
    """Print the hits as a table, or as lines on a narrow terminal."""
    from search.answer import count_of

    hits = answer["hits"]
    table = Table(caption=_caption(answer), caption_justify="left", show_lines=len(hits) > 1)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 120, highlight=False)
    if console.width < _NARROW:
        for hit in hits:
            shown = _shown(hit["text"] or str(hit["metadata"].get("url") or hit["id"]))
            console.print(shown, soft_wrap=True)
            console.print(_shown(f"  {hit['id']}, similarity {hit['similarity']:.3f}"), soft_wrap=True)
        console.print(_caption(answer), soft_wrap=True)
        return
    counted = [
        (name, kind) for name, kind in _COLUMNS if any(count_of(it["metadata"], kind) is not None for it in hits)
    ]
    table.add_column("nearest", overflow="fold", ratio=1)
    is_searched = any("found_by" in it["metadata"] for it in hits)
    if not counted:  # no like counts: the id is the most useful column
        table.add_column("id, url" if is_searched else "id", overflow="fold")
    if is_searched:
        table.add_column("found by")
        table.add_column("cluster", justify="right")
    for name in ("date", *(name for name, _ in counted), "similarity", "distance"):
        table.add_column(name, justify="right", no_wrap=True)
    for hit in hits:
        metadata = hit["metadata"]
        counts = [count_of(metadata, kind) for _, kind in counted]
        table.add_row(
            _shown(hit["text"] or str(metadata.get("url") or hit["id"])),
            *(
                []
                if counted
                else [_shown("\n".join([hit["id"], *([str(metadata.get("url"))] if is_searched else [])]))]
            ),
            *([_shown(_found_by(metadata)), _shown(str(metadata.get("cluster", "")))] if is_searched else []),
            _shown(str(metadata.get("created") or metadata.get("created_time") or "")[:19].replace("T", " ")),
            *("" if count is None else f"{count:,}" for count in counts),
            f"{hit['similarity']:.3f}",
            f"{hit['distance']:.3f}",
        )
    console.print(table)


def _found_by(metadata: dict[str, Any]) -> str:
    return f"{metadata['found_by']}{', weak' if metadata['weak'] else ''}"


def _shown(text: str) -> Text:
    return Text(sanitized(text))  # no markup


def _caption(answer: dict[str, Any]) -> Text:
    milliseconds = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in answer["timing"].items())
    if not answer["hits"]:
        return _shown(f"no row of corpus {answer['corpus']} passes the filters")
    if all(it["metadata"].get("weak") for it in answer["hits"]):
        milliseconds = f"no certain match; these are the nearest · {milliseconds}"
    return _shown(" · ".join(part for part in (answer["corpus"], answer["model"], milliseconds) if part))
