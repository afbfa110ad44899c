"""What was deleted is in no answer that is given after the refresh time, however often is asked meanwhile."""

from pathlib import Path

from connectors.store.posts_table import PostStore
from search.open_corpora import OpenCorpora
from tests.factories import embedded_row as row
from tests.factories import make_removal
from tests.search.test_corpus import ids

REFRESH = 5.0


def test_an_answer_quotes_nothing_that_was_deleted_a_refresh_ago(tmp_path: Path) -> None:
    posts = PostStore(tmp_path / "store", 8, 8)
    posts.upsert([row("a", 0), row("b", 1), row("c", 2, author="ann", source="x"), row("d", 3, url="d.png")])
    now = [0.0]
    corpora = OpenCorpora(tmp_path / "store", REFRESH, now=lambda: now[0])
    assert set(ids(corpora.get("posts"), 0, 9)) == {"a", "b", "c", "d"}
    posts.remove([make_removal(global_id="a"), make_removal(author="ann", source="x"), make_removal(url="d.png")])
    for _ in range(6):  # a busy service never lets the refresh time pass between two queries
        now[0] += 1
        found = set(ids(corpora.get("posts"), 0, 9))
    assert found == {"b"}
    assert set(ids(corpora.get("posts", "image"), 0, 9)) == {"b"}
