"""What a message says where a store is not there."""

from pathlib import Path

import pytest

from connectors.store.posts_table import PostRows
from connectors.store.store_folder import store_nearby
from core.errors import WorldError
from search.cluster_summaries import check_store
from search.corpus_store import default_corpus
from tests.connectors.store.test_current_cluster import POSTS


def test_a_store_below_the_current_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_nearby() == ""
    PostRows(Path("demo/store"), POSTS)
    for read in (check_store, default_corpus):
        with pytest.raises(WorldError, match=r"; there is one in demo/store: --store demo/store$"):
            read(Path("store"))
