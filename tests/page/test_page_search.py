"""The page's own search finds by words and meaning, with the models of the settings."""

from pathlib import Path

from connectors.sinks.rows import row_of
from connectors.store.posts_table import PostRows
from core.records import Record
from dataflows.all_settings import load_settings
from memewax.page.page_search import PageSearch, SearchRequest
from models.fake_models import FakeText
from search.store_reader import StoreReader
from tests.factories import ANSWERS, POSTS, post, sides


def rows(**captions: str) -> list[dict[str, object]]:
    """Posts whose texts were embedded by the fake."""
    model = FakeText()
    made = []
    for global_id, caption in captions.items():
        (vector,) = model([caption])
        row = row_of(
            Record(post(global_id, description=caption), sides(global_id, **{**ANSWERS, "text_embedding": vector})), ""
        )
        made.append({**row, "models": {**row["models"], "text_embedding": model.name}})
    return made


def test_words_are_found_first_and_the_rest_is_weak(tmp_path: Path) -> None:
    search = PageSearch(load_settings(models="fake"), StoreReader(tmp_path))
    assert "holds no posts" in search.find(SearchRequest("cat"), 5).error
    PostRows(tmp_path, POSTS).upsert(rows(a="the cat", b="dogs"))
    found = search.find(SearchRequest("cat"), 5)
    assert not found.error
    assert [(it.global_id, it.why.partition(",")[0]) for it in found.hits[:1]] == [("a", "all words")]
    assert {it.global_id for it in (*found.hits, *found.weak)} == {"a", "b"}
    assert "by words and by meaning" in found.searched
