"""A store that is not there, and how much scans of one that is there read ahead."""

import os
from pathlib import Path
from typing import Final

import pytest

from connectors.store.posts_table import PostRows, posts_schema
from connectors.store.store_folder import IO_BUFFER, caches, store_nearby
from core.errors import WorldError
from search.cluster_summaries import check_store
from search.corpus_store import default_corpus
from tests.factories import POSTS

_PAGE: Final = 8 * 2**20
"""Bytes of LanceDB's largest pages."""


def test_a_store_below_the_current_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_nearby() == ""
    PostRows(Path("demo/store"), POSTS)
    for read in (check_store, default_corpus):
        with pytest.raises(WorldError, match=r"; there is one in demo/store: --store demo/store$"):
            read(Path("store"))


def test_a_scan_reads_ahead_at_least_a_page_of_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """With less, LanceDB waits forever for a column's page, while pages of other columns fill its buffer."""
    monkeypatch.delenv("LANCE_DEFAULT_IO_BUFFER_SIZE", raising=False)
    caches()
    assert int(os.environ["LANCE_DEFAULT_IO_BUFFER_SIZE"]) == IO_BUFFER
    assert len(posts_schema(384, 384)) * _PAGE <= IO_BUFFER
