"""Lists taken away: the posts or clusters that are shown, as a file."""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from search.cluster_summaries import summaries
from search.exporting import ExportRow, Posts, clusters_of, write_export
from search.shared_templates import network_of, write_gexf
from search.store_posts import PostLine
from search.store_reader import StoreReader

DownloadForm = Literal["csv", "jsonl"]
MEDIA: Final = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "gexf": "application/gexf+xml",
}

_ONE_AT_A_TIME: Final = threading.Lock()
"""Each reads the whole store."""


def posts_file(reader: StoreReader, chosen: Sequence[PostLine], form: DownloadForm) -> Path:
    """Write these posts to a new file, which whoever gets it removes; raises `WorldError`."""
    wanted = {it.global_id for it in chosen}

    def rows() -> Iterator[ExportRow]:
        if wanted:
            yield from (row for row in Posts(reader.folder) if row["global_id"] in wanted)

    with _ONE_AT_A_TIME:
        path = _new_file(form)
        write_export(rows(), path, form, None, by_day=False, replace=True)
        return path


def clusters_file(reader: StoreReader, chosen: Sequence[int], form: DownloadForm) -> Path:
    """Write these clusters to a new file, which whoever gets it removes; raises `WorldError`."""
    wanted = set(chosen)
    hours = reader.window.total_seconds() / 3600
    with _ONE_AT_A_TIME:
        path = _new_file(form)
        found = clusters_of(reader.folder, hours) if wanted else []
        write_export((row for row in found if row["cluster"] in wanted), path, form, None, by_day=False, replace=True)
        return path


def network_file(reader: StoreReader, chosen: Sequence[int]) -> Path:
    """Write who posted these clusters, as a network in GEXF, to a new file; raises `WorldError`."""
    wanted = set(chosen)
    with _ONE_AT_A_TIME:
        path = _new_file("gexf")
        found = [it for it in summaries(reader.folder, reader.window) if it.cluster in wanted] if wanted else []
        posts = Posts(reader.folder) if wanted else ()
        write_gexf(network_of(posts, found, "community", at_least=2, shared=False), path)
        return path


def _new_file(form: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix="memewax-", suffix=f".{form}", delete=False) as file:
        return Path(file.name)
