"""Loading: cleaned, embedded once, written once; what is hostile is laid aside."""

import gzip
import json
import os
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import orjson
import pytest

from connectors.row_file import RowFile
from core.errors import BadRecordError, SettingsError, WorldError
from core.records import Vector
from dataflows.all_settings import Settings
from models.fake_models import FakeText
from search import corpus_loading as corpus_load
from search.cleaning import STEPS, Step, default_steps, steps_of
from search.corpus import Corpus
from search.corpus_columns import Columns, Draft
from search.corpus_loading import Loaded, Loader
from search.corpus_store import corpus_folder
from search.corpus_table import CorpusTable, check_name, drop_corpus, lock_corpus
from search.open_corpora import OpenCorpora
from search.reduction import Projection
from search.row_cache import Filter
from search.vector_index import unit
from tests.folders import ROOT, SHARED

ARCHIVE = SHARED / "data/tweets/archive.json.gz"
CREATED = "Mon May 04 18:54:25 +0000 2009"


class Counting(FakeText):
    """RunCounts the texts it embeds."""

    def __init__(self, name: str = "counting") -> None:
        super().__init__()
        self.name = name
        self.texts: list[str] = []

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        if "unbearable" in batch:
            raise ValueError("this text cannot be borne")
        self.texts += batch
        return super().infer(batch)


def tweet(number: int, text: str, **fields: Any) -> dict[str, Any]:
    usual = {"source": "Twitter for iPhone", "created_at": CREATED, "is_retweet": False, "favorite_count": number}
    return {"id_str": f"{number}", "text": text, "in_reply_to": None} | usual | fields


class Place:
    """A file, a store and what a load made of them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "rows.json"
        self.store = folder / "store"
        self.letters = folder / "letters.jsonl"
        self.model = Counting()
        self.steps: list[Step] = []

    def load(self, rows: Sequence[Any], *clean: str, **columns: str) -> Loaded:
        self.file.write_text(json.dumps(rows))
        there = [name for row in rows if isinstance(row, dict) for name in row]
        chosen = Columns.chosen(there, **columns)
        self.steps = steps_of(clean or default_steps(there), chosen.by_role)
        self.model.texts.clear()
        table = CorpusTable(self.store, "own", self.model.dimension, self.model.name)
        return Loader(RowFile(self.file), chosen, self.steps, self.model, table).run(self.letters)

    def rows(self) -> dict[str, dict[str, Any]]:
        rows = lancedb.connect(self.store).open_table("own").to_arrow().to_pylist()
        found = {row["id"]: row for row in rows}
        assert len(found) == len(rows)
        return found

    def reasons(self) -> list[str]:
        return [orjson.loads(line)["reason"] for line in self.letters.read_bytes().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# Cleaning


def test_each_step_tells_what_it_changed_and_dropped(place: Place) -> None:
    rows = [
        tweet(1, "Look http://t.co/abc now"),
        tweet(2, "RT of someone", is_retweet=True),
        tweet(3, "see www.example.com"),
        tweet(4, "twice https://t.co/1"),
        tweet(5, "twice https://t.co/2"),
        tweet(6, "no time", created_at="yesterday"),
        tweet(7, "no source", source=None),
        tweet(8, "the web", source="Twitter Web Client"),
    ]
    loaded = place.load(rows)
    told = {step.name: (step.changed, step.dropped) for step in place.steps}
    assert told == {
        "parse-created": (8, 0),
        "drop-retweets": (0, 1),
        "remove-links": (4, 0),
        "shorten-source": (5, 0),
        "drop-duplicates": (0, 1),
        "drop-missing": (0, 2),
    }
    assert (loaded.read, loaded.cleaned, loaded.dead_letters) == (8, 4, 0)
    assert {row["text"] for row in place.rows().values()} == {"Look  now", "see ", "twice ", "the web"}
    assert {row["source"] for row in place.rows().values()} == {"iPhone", "Twitter Web Client"}


def test_steps_can_be_chosen_and_none_is_a_choice(place: Place) -> None:
    place.load([tweet(1, "see www.example.com", is_retweet=True)], "none")
    (row,) = place.rows().values()
    assert row["text"] == "see www.example.com"
    assert row["created"] is None
    assert orjson.loads(row["metadata"])["created"] == CREATED
    place.load([tweet(1, "see www.example.com", is_retweet=True)], "remove-links", "parse-created")
    (row,) = place.rows().values()
    assert (row["text"], row["created"]) == ("see ", datetime(2009, 5, 4, 18, 54, 25, tzinfo=UTC))


def test_an_unknown_step_is_told_with_those_that_are() -> None:
    with pytest.raises(
        SettingsError, match=r"no cleaning step 'polish'; the steps are parse-created, .*presets tweets, none"
    ):
        steps_of(["polish"], [])


def test_only_an_archive_of_tweets_is_cleaned_unasked() -> None:
    assert default_steps(["id_str", "text", "created_at", "is_retweet"]) == tuple(STEPS)
    assert default_steps(["text", "created_at"]) == ("parse-created",)


@pytest.mark.skipif(not ARCHIVE.exists(), reason="the archive is not here")
def test_the_archive_leaves_as_many_as_are_known() -> None:
    """The rules to the letter: spaces around a link stay, and a text that was nothing but a link is a value."""
    rows = orjson.loads(gzip.decompress(ARCHIVE.read_bytes()))
    columns = Columns.chosen(rows[0])
    steps = steps_of(["tweets"], columns.by_role)
    left = sum(all(step(draft) for step in steps) for draft in map(columns.draft, rows))
    assert (len(rows), left) == (42_545, 38_741)


# Columns


def test_a_wrong_column_is_told_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="no column 'txt' for --text; the columns are a, b"):
        Columns.chosen(["a", "b"], text="txt")
    with pytest.raises(SettingsError, match="no column is called text: name it with --text; the columns are a, b"):
        Columns.chosen(["a", "b"])


def test_columns_of_usual_names_are_found_and_named_ones_win() -> None:
    columns = Columns.chosen(["text", "body", "id", "lang", "date"], text="body")
    assert columns.by_role == {"text": "body", "id": "id", "created": "date", "language": "lang"}


def test_every_other_single_value_is_carried(place: Place) -> None:
    row = {"text": "a", "n": 1, "x": 0.5, "yes": True, "none": None, "list": [1], "object": {}}
    place.load([row], "none")
    (found,) = place.rows().values()
    assert orjson.loads(found["metadata"]) == {"n": 1, "x": 0.5, "yes": True}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": 7, "id": "1"}, "text must be a string, found int"),
        ({"text": "a", "id": 1.5}, "id must be a string or an integer"),
        ({"text": "a", "id": "x" * 600}, "longer than 512 bytes"),
        ({"text": "a" * 200_000, "id": "1"}, "at most 100000"),
        ({"text": "\ud800", "id": "1"}, "half a character"),
    ],
)
def test_a_value_of_another_kind_is_told(row: dict[str, Any], told: str) -> None:
    with pytest.raises(BadRecordError, match=told):
        Columns("text", "id").draft(row)


# Idempotence


def test_loading_twice_embeds_and_changes_nothing(place: Place) -> None:
    rows = [tweet(number, f"text {number}") for number in range(5)]
    assert place.load(rows).embedded == 5
    before = place.rows()
    version = lancedb.connect(place.store).open_table("own").version
    loaded = place.load(rows)
    assert (loaded.embedded, loaded.unchanged, place.model.texts) == (0, 5, [])
    assert place.rows() == before
    assert lancedb.connect(place.store).open_table("own").version == version


def test_a_changed_text_is_embedded_again_and_its_neighbours_are_not(place: Place) -> None:
    place.load([tweet(1, "one"), tweet(2, "two"), tweet(3, "three")])
    loaded = place.load([tweet(1, "one"), tweet(2, "two, changed"), tweet(3, "three"), tweet(4, "four")])
    assert sorted(place.model.texts) == ["four", "two, changed"]
    assert (loaded.embedded, loaded.unchanged) == (2, 2)
    row = place.rows()["2"]
    np.testing.assert_array_equal(row["vector"], FakeText().one("two, changed"))
    assert len(place.rows()) == 4


def test_changed_metadata_keep_the_vector(place: Place) -> None:
    place.load([tweet(1, "it's one"), tweet(2, "two"), tweet(3, "'quoted'", id_str="o'clock")])
    before = place.rows()
    loaded = place.load(
        [tweet(1, "it's one"), tweet(2, "two", favorite_count=99), tweet(9, "'quoted'", id_str="o'clock")]
    )
    assert (loaded.embedded, loaded.described, place.model.texts) == (0, 2, [])
    assert orjson.loads(place.rows()["2"]["metadata"])["favorite_count"] == 99
    assert place.rows()["o'clock"]["vector"] == before["o'clock"]["vector"]


def test_a_corpus_of_another_model_is_refused(place: Place) -> None:
    place.load([tweet(1, "one")])
    place.model = Counting("another")
    with pytest.raises(WorldError, match=r"embedded by counting and not by another: .* corpus drop --name own"):
        place.load([tweet(1, "one")])


def test_rows_without_ids_are_known_by_their_text(place: Place) -> None:
    assert place.load([{"text": "a"}, {"text": "b"}]).embedded == 2
    assert place.load([{"text": "b"}, {"text": "c"}]).embedded == 1
    assert {row["text"] for row in place.rows().values()} == {"a", "b", "c"}


# Hostile rows


def test_what_cannot_be_used_is_laid_aside_with_its_reason_and_place(place: Place) -> None:
    rows = [tweet(1, "good"), 7, tweet(2, 8), tweet(1, "again"), tweet(4, "unbearable"), tweet(5, "big", n=2**70)]  # type: ignore[arg-type]
    rows.append(tweet(6, "fine", source="'); DROP TABLE own; --"))
    loaded = place.load(rows, "none")
    assert sorted(place.rows()) == ["1", "5", "6"]
    assert orjson.loads(place.rows()["5"]["metadata"])["n"] == 2.0**70  # beyond 64 bits, as in a file of lines
    assert place.rows()["1"]["text"] == "good"
    assert loaded.dead_letters == 4
    letters = [orjson.loads(line) for line in place.letters.read_bytes().splitlines()]
    told = {letter["origin"].rpartition(":")[2]: letter["reason"] for letter in letters}
    assert told.keys() == {"2", "3", "4", "5"}
    assert told["2"] == "expected an object of columns"
    assert told["4"] == "duplicate id '1': an earlier row of this file has it"
    assert told["5"] == "this text cannot be borne"
    assert orjson.loads(b64decode(letters[0]["value"])) == 7
    assert place.load([tweet(1, "good")], "none").dead_letters == 0
    assert not place.letters.exists()


def test_a_row_without_text_is_laid_aside_where_it_is_not_cleaned_away(place: Place) -> None:
    place.load([tweet(1, "good"), tweet(2, None)], "none")  # type: ignore[arg-type]
    assert place.reasons() == ["the row has no text"]
    place.load([tweet(1, "good"), tweet(2, None)], "drop-missing")  # type: ignore[arg-type]
    assert not place.letters.exists()


# Interruption


def test_a_load_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """The process kills itself inside its third chunk; the next load embeds only what was not written."""
    rows = [tweet(number, f"text {number}") for number in range(50)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    code = """
import os, signal, sys
from pathlib import Path
from search import corpus_loading as corpus_load
from tests.search.test_corpus_loading import Counting, Place
corpus_load._CHUNK = 10
class Dying(Counting):
    def infer(self, batch):
        if len(self.texts) == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().infer(batch)
place = Place(Path(sys.argv[1])); place.model = Dying()
import json; place.load(json.loads(place.file.read_text()))
"""
    died = subprocess.run([sys.executable, "-c", code, os.fspath(tmp_path)], check=False, cwd=ROOT)
    assert died.returncode == -signal.SIGKILL
    place = Place(tmp_path)
    assert len(place.rows()) == 20
    loaded = place.load(rows)
    assert (loaded.embedded, loaded.unchanged) == (30, 20)
    assert len(place.rows()) == 50


def test_two_writers_of_one_corpus_do_not_meet(tmp_path: Path) -> None:
    with lock_corpus(tmp_path, "own"), pytest.raises(WorldError, match="another process"), lock_corpus(tmp_path, "own"):
        pass
    with lock_corpus(tmp_path, "own"):
        pass


def test_texts_of_one_length_are_embedded_together(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_load, "_CHUNK", 6)
    place.load([tweet(number, "x" * length) for number, length in enumerate([5, 1, 9, 3, 7, 2, 6, 4])], "none")
    assert [len(text) for text in place.model.texts] == [1, 2, 3, 5, 7, 9, 4, 6]


# What was loaded


def test_a_loaded_corpus_is_searched_with_filters(place: Place) -> None:
    rows = [tweet(1, "a"), tweet(2, "bb", lang="en"), tweet(3, "bb ", lang="de", created_at="2020-01-01")]
    place.load(rows, "parse-created", "shorten-source")
    corpus = Corpus.open(place.store, "own")
    query = FakeText().one("bb")[None]
    ((hit,),) = corpus.search(query, 1)
    assert (hit.id, hit.text, corpus.model) == ("2", "bb", "counting")
    assert hit.metadata["favorite_count"] == 2
    assert hit.metadata | {"source": "iPhone", "language": "en", "created": "2009-05-04T18:54:25+00:00"} == hit.metadata
    assert [it.id for it in corpus.search(query, 9, [Filter(language="de")])[0]] == ["3"]
    assert [it.id for it in corpus.search(query, 9, [Filter(after=datetime(2019, 1, 1, tzinfo=UTC))])[0]] == ["3"]


def test_a_reader_follows_a_load_and_a_corpus_that_is_made_anew(place: Place) -> None:
    place.load([tweet(1, "a")])
    corpus = Corpus.open(place.store, "own")
    place.load([tweet(1, "aa"), tweet(2, "b")])
    assert corpus.refresh() == 2
    assert corpus.count() == 2
    drop_corpus(place.store, "own")
    place.load([tweet(7, "anew")])
    assert corpus.refresh() == 1
    assert [hit.id for hit in corpus.search(FakeText().one("anew")[None], 9)[0]] == ["7"]


def test_a_dropped_corpus_is_gone(place: Place) -> None:
    place.load([tweet(1, "a")])
    drop_corpus(place.store, "own")
    assert not corpus_folder(place.store, "own").exists()
    with pytest.raises(WorldError, match="no corpus 'own'"):
        drop_corpus(place.store, "own")


def test_a_corpus_is_searched_by_shorter_vectors(place: Place) -> None:
    place.load([tweet(number, "x" * number) for number in range(1, 9)])
    folder = corpus_folder(place.store, "own")
    weights = np.eye(8, dtype=np.float32)[:, :5]
    Projection("pca", "counting", weights).save(folder)
    corpus = Corpus.open(place.store, "own", reduced="pca-5")
    assert (corpus.dimension, corpus.index.dimension) == (8, 5)
    query = FakeText().one("xx")[None]
    (hits,) = corpus.search(query, 8)
    short = unit(query @ weights) @ unit(np.array([place.rows()[hit.id]["vector"] for hit in hits]) @ weights).T
    np.testing.assert_allclose([hit.similarity for hit in hits], short[0], atol=1e-6)
    place.load([tweet(number, "x" * number) for number in range(1, 10)])
    assert corpus.refresh() == 1
    settings = Settings(store=place.store, index_reduced="pca-5")
    assert OpenCorpora.of(settings).get("own").index.dimension == 5
    other = settings.model_copy(update={"index_reduced": "pca-7"})  # which this corpus does not have
    assert OpenCorpora.of(other).get("own").index.dimension == 8
    Projection("trained", "another", weights).save(folder)
    with pytest.raises(WorldError, match=r"trained-5 of 'own' was made for another, .* vectors of counting"):
        Corpus.open(place.store, "own", reduced="trained-5")
    with pytest.raises(WorldError, match="no reduction 'pca-9' of this corpus: there is pca-5, trained-5"):
        Corpus.open(place.store, "own", reduced="pca-9")


@pytest.mark.parametrize("name", ["posts", "answers", "results", "", "../x", "a b", "A", "-a", "x" * 64])
def test_some_names_are_not_to_be_had(name: str) -> None:
    with pytest.raises(SettingsError):
        check_name(name)


def test_a_draft_of_nothing_is_dropped_by_the_roles_that_are_mapped() -> None:
    draft = Draft("1", "a")
    assert all(step(draft) for step in steps_of(["drop-missing"], ["id", "text"]))
    assert not all(step(draft) for step in steps_of(["drop-missing"], ["id", "text", "language"]))


def test_a_file_of_nothing_useful_does_not_become_a_large_file_of_dead_letters(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus_load, "_MOST_DEAD_LETTERS", 3)
    loaded = place.load([*[{"text": 7}] * 50, {"text": "a"}])
    assert (loaded.dead_letters, loaded.embedded, len(place.reasons())) == (50, 1, 3)


def test_rows_that_bring_much_are_written_in_smaller_chunks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_load, "_CHUNK_BYTES", 1000)
    sizes = []
    upsert = CorpusTable.upsert
    monkeypatch.setattr(CorpusTable, "upsert", lambda table, rows: (sizes.append(len(rows)), upsert(table, rows))[1])
    loaded = place.load([{"id": f"{it}", "text": f"{it}", "brought": "x" * 300} for it in range(9)])
    assert (loaded.embedded, sum(sizes)) == (9, 9)
    assert max(sizes) <= 2
