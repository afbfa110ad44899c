"""A corpus in memory follows its table, whoever writes it and whatever was done to it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from connectors.store.posts_table import PostStore
from core.errors import BadRecordError, WorldError
from search.corpus import Corpus, Hit
from search.row_cache import Filter
from tests.factories import embedded_row as row
from tests.factories import vector

EYE = np.eye(8, dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def posts(folder: Path) -> PostStore:
    return PostStore(folder, 8, 8)


def ids(corpus: Corpus, axis: int, k: int = 1, only: Filter | None = None) -> list[str]:
    (hits,) = corpus.search(EYE[[axis]], k, [only])
    return [hit.id for hit in hits]


def alike(corpus: Corpus, axis: int) -> set[str]:
    (hits,) = corpus.search(EYE[[axis]], 9)
    return {hit.id for hit in hits if hit.similarity > 0.5}


def test_a_hit_has_text_both_measures_and_what_the_row_brought(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", 1, "Hello", source="reddit", created_time="2020-01-02", description="A cat", score=7)])
    corpus = Corpus.open(folder, "posts")
    query = np.array([[0.6, 0.8, 0, 0, 0, 0, 0, 0]], np.float32)
    ((hit,),) = corpus.search(query, 3)
    assert hit == Hit(
        id="a",
        text="A cat\nHello",
        similarity=pytest.approx(0.8),
        distance=pytest.approx(float(np.linalg.norm(query[0] - EYE[1]))),
        metadata=hit.metadata,
    )
    assert hit.metadata | {"score": 7, "source": "reddit", "created": "2020-01-02T00:00:00+00:00"} == hit.metadata
    assert (corpus.dimension, corpus.model, corpus.count()) == (8, "a text_embedding model", 1)


def test_posts_can_be_searched_by_their_images(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", 1)])
    corpus = Corpus.open(folder, "posts", vectors="embeddings")
    assert corpus.search(vector()[None], 1)[0][0].similarity == pytest.approx(1)
    assert corpus.model == "a embedding model"


def test_a_corpus_follows_what_is_written_changed_and_deleted(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", 0), row("b", 1)])
    corpus = Corpus.open(folder, "posts")
    assert corpus.refresh() == 0
    posts.upsert([row("c", 2)])
    assert ids(corpus, 2) != ["c"]  # nothing moves under a reader
    assert corpus.refresh() == 1
    assert ids(corpus, 2) == ["c"]
    posts.upsert([row("a", 3, "another text", now="2026-01-02")])
    assert corpus.refresh() == 1
    assert ids(corpus, 3) == ["a"]
    assert corpus.search(EYE[[3]], 1)[0][0].text == "another text"
    assert corpus.search(EYE[[0]], 1)[0][0].similarity == 0
    lancedb.connect(folder).open_table("posts").delete("global_id = 'c'")
    assert corpus.refresh() == 1
    assert set(ids(corpus, 2, 9)) == {"a", "b"}
    assert corpus.count() == 2


def test_what_compaction_moved_counts_as_unchanged(posts: PostStore, folder: Path) -> None:
    for number in range(8):
        posts.upsert([row(f"{number}", number)])
    corpus = Corpus.open(folder, "posts")
    posts.compact()
    assert corpus.refresh() == 0
    posts.upsert([row("8", 0), row("3", 5, now="2026-01-02")])
    posts.compact()
    posts.upsert([row("9", 1)])
    assert corpus.refresh() == 3
    fresh = Corpus.open(folder, "posts")
    for axis in range(8):
        assert alike(corpus, axis) == alike(fresh, axis)
    assert corpus.count() == 10


def test_a_post_without_a_vector_is_not_found_until_it_has_one(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", None), row("b", 1)])
    corpus = Corpus.open(folder, "posts")
    assert (corpus.count(), ids(corpus, 0, 5)) == (1, ["b"])
    posts.upsert([row("a", 0, now="2"), row("b", None, now="2")])
    assert corpus.refresh() == 2
    assert (corpus.count(), ids(corpus, 0, 5)) == (1, ["a"])


def test_an_empty_corpus_fills(posts: PostStore, folder: Path) -> None:
    corpus = Corpus.open(folder, "posts")
    assert corpus.search(EYE[:2], 3) == [[], []]
    assert corpus.search(EYE[:0], 3) == []
    posts.upsert([row("a", 0)])
    assert corpus.refresh() == 1
    assert ids(corpus, 0) == ["a"]


def test_a_row_number_is_used_again_and_means_the_new_row(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", 0, source="x"), row("b", 1, source="x")])
    corpus = Corpus.open(folder, "posts")
    lancedb.connect(folder).open_table("posts").delete("global_id = 'a'")
    corpus.refresh()
    posts.upsert([row("c", 0, source="y")])
    corpus.refresh()
    assert ids(corpus, 0, 5) == ["c", "b"]
    assert ids(corpus, 0, 5, Filter(source="y")) == ["c"]


def test_thousands_of_changes_leave_memory_bounded(posts: PostStore, folder: Path) -> None:
    corpus = Corpus.open(folder, "posts")
    for number in range(6):
        posts.upsert([row(f"{n}", n % 8, f"{number} {n}", now=f"{number}") for n in range(400)])
        assert corpus.refresh() == 400
    assert corpus.count() == 400
    assert len(corpus._rows._table) <= 2 * 400 + 1024 + 400
    assert all(hit.text.startswith("5 ") for hit in corpus.search(EYE[[0]], 400)[0])


def test_another_process_finds_a_post_that_was_just_written(posts: PostStore, folder: Path) -> None:
    """The reader has the table open before the post is there; each line it gets, it refreshes and searches."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from search.corpus import Corpus\n"
        f"corpus = Corpus.open(Path({str(folder)!r}), 'posts'); print('open', flush=True)\n"
        "for line in sys.stdin:\n"
        "    corpus.refresh(); print(corpus.search(np.eye(8, dtype=np.float32)[[int(line)]], 1)[0][0].id, flush=True)\n"
    )
    reader = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdin is not None
    assert reader.stdout is not None
    with reader:
        assert reader.stdout.readline() == "open\n"
        for axis in range(3):
            posts.upsert([row(f"post {axis}", axis)])
            reader.stdin.write(f"{axis}\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == f"post {axis}\n"
        reader.stdin.close()


def test_filters_are_exact(posts: PostStore, folder: Path) -> None:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    times = [start + timedelta(days=number) for number in range(6)]
    posts.upsert(
        [
            row(f"{n}", n % 8, source="even" if n % 2 == 0 else "odd", created_time=time.isoformat())
            for n, time in enumerate(times)
        ]
        + [row("no time", 7, source="odd", created_time="last week")]
    )
    corpus = Corpus.open(folder, "posts")
    assert set(ids(corpus, 0, 9, Filter(source="odd"))) == {"1", "3", "5", "no time"}
    assert set(ids(corpus, 0, 9, Filter(after=times[2], before=times[4]))) == {"2", "3"}
    assert set(ids(corpus, 0, 9, Filter(source="odd", after=times[2]))) == {"3", "5"}
    assert ids(corpus, 0, 9, Filter(source="'); DROP TABLE posts; --")) == []
    with pytest.raises(BadRecordError, match="'posts' has no language to filter by"):
        corpus.search(EYE[:1], 1, [Filter(language="en")])


def test_each_query_has_its_own_filter(posts: PostStore, folder: Path) -> None:
    posts.upsert([row("a", 0, source="x"), row("b", 1, source="y")])
    corpus = Corpus.open(folder, "posts")
    found = corpus.search(EYE[[0, 0, 1, 1]], 1, [None, Filter(source="y"), Filter(source="y"), Filter(source="x")])
    assert [[hit.id for hit in hits] for hits in found] == [["a"], ["b"], ["b"], ["a"]]


def test_a_corpus_that_is_not_there_is_told_with_those_that_are(posts: PostStore, folder: Path) -> None:
    with pytest.raises(
        WorldError, match=r"no corpus 'tweets' in .*: it has posts; .*`memewax corpus load`, or .* --corpus"
    ):
        Corpus.open(folder, "tweets")
    with pytest.raises(WorldError, match="it has none yet"):
        Corpus.open(folder / "nowhere", "posts")
    assert not (folder / "nowhere").exists()


def test_a_corpus_that_was_dropped_is_told(posts: PostStore, folder: Path) -> None:
    corpus = Corpus.open(folder, "posts")
    lancedb.connect(folder).drop_table("posts")
    with pytest.raises(WorldError, match="no corpus 'posts' in"):
        corpus.refresh()


def test_a_reader_whose_files_are_dropped_amid_a_look_looks_again(
    posts: PostStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer puts the table together between the version that a reader took and its rows."""
    posts.upsert([row(f"{number}", number) for number in range(8)])
    corpus = Corpus.open(folder, "posts")
    posts.upsert([row("new", 0), row("3", 5, now="2026-01-02")])
    real, failures = Corpus._take_in, iter([WorldError("not found"), WorldError("gone")])

    def dropped(self: Corpus, batch: pa.RecordBatch) -> int:
        if failure := next(failures, None):
            posts.compact()
            raise failure
        return real(self, batch)

    monkeypatch.setattr(Corpus, "_take_in", dropped)
    assert corpus.refresh() == 2
    assert (corpus.count(), ids(corpus, 0, 1)) == (9, ids(Corpus.open(folder, "posts"), 0, 1))
