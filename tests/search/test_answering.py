"""Every query is answered; what is wrong with one does not touch its neighbours."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import orjson
import pytest
from PIL import Image

from connectors.store.posts_table import PostStore
from connectors.store.stored_table import StoredTable
from core.errors import WeightsError
from core.records import Failure, Message, Vector
from dataflows.all_settings import Settings
from models.fake_models import FakeText
from models.runtime import Runtime
from search import answering
from search.answer import RESULTS, Answer, count_of, json_of_answer, result_row
from search.answering import EMBED, SEARCH, Embedders, embed, load_embedders, search
from search.corpus import Hit
from search.open_corpora import OpenCorpora
from search.query import Query, parse_query
from tests.factories import corpus_rows, make_corpus
from tests.factories import embedded_row as row

TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class Once(FakeText):
    """RunCounts its batches; raises at texts that say so."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        self.batches.append(len(batch))
        if "raise" in batch:
            raise ValueError("asked to raise")
        return super().infer(batch)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_corpus(tmp_path / "store", TEXTS, favorite_count=7)
    return tmp_path / "store"


@pytest.fixture
def models() -> Embedders:
    return load_embedders(Settings(models="fake"), images=True)


def ask(store: Path, models: Embedders, *bodies: dict[str, Any], corpora: OpenCorpora | None = None) -> list[Answer]:
    queries = [
        parse_query(Message(orjson.dumps({"id": str(n), **it}), "test"), "tweets") for n, it in enumerate(bodies)
    ]
    return search(embed(queries, models), corpora or OpenCorpora(store, 0))


def ids(answer: Answer) -> list[str]:
    assert answer.error is None, answer.error
    return [hit.id for hit in answer.hits]


def png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    return out.getvalue()


def test_each_query_gets_its_own_answer_in_order(store: Path, models: Embedders) -> None:
    bodies = [{"text": text, "k": 1 + number % 2} for number, text in enumerate(TEXTS)]
    answers = ask(store, models, *bodies)
    assert [answer.id for answer in answers] == ["0", "1", "2", "3", "4"]
    assert [ids(answer)[0] for answer in answers] == TEXTS
    assert [len(answer.hits) for answer in answers] == [1, 2, 1, 2, 1]


def test_an_answer_says_what_when_and_by_what(store: Path, models: Embedders) -> None:
    (answer,) = ask(store, models, {"text": "bb", "filters": {"source": "web"}})
    told = orjson.loads(json_of_answer(answer))
    assert (told["id"], told["corpus"], told["model"]) == ("0", "tweets", "fake")
    assert told["timing"].keys() == {"embed", "search"}
    (hit,) = told["hits"]
    assert (hit["text"], hit["similarity"], hit["distance"]) == ("bb", 1, 0)
    assert hit["metadata"]["favorite_count"] == 7
    assert "error" not in told


def test_who_names_no_corpus_means_the_only_one_or_the_posts(store: Path, models: Embedders, tmp_path: Path) -> None:
    def asked(where: Path, corpora: OpenCorpora | None = None) -> Answer:
        query = parse_query(Message(orjson.dumps({"id": "0", "text": "bb"}), "test"), Settings().corpus)
        (answer,) = search(embed([query], models), corpora or OpenCorpora(where, 0))
        return answer

    running = OpenCorpora(store, 0)
    assert asked(store, running).corpus == "tweets"
    PostStore(store, 8, 8).upsert([row("meme", 1, "Such Wow")])
    lancedb.connect(store).open_table("posts").update(values={"models": None})
    assert asked(store).corpus == "posts"
    assert asked(store, running).corpus == "tweets"  # what was meant at first
    make_corpus(tmp_path / "other", TEXTS, name="one")
    make_corpus(tmp_path / "other", TEXTS, name="two")
    for where, reason in ((tmp_path / "other", "it has one, two"), (tmp_path / "none", "no corpus in")):
        error = asked(where).error
        assert error is not None
        assert reason in error.reason


def test_all_texts_of_a_batch_go_through_the_model_together(store: Path, models: Embedders) -> None:
    once = Once()
    ask(store, Embedders(once, models.image, models.decode), *[{"text": text} for text in TEXTS])
    assert once.batches == [5]


def test_a_text_that_the_model_cannot_take_does_not_hurt_the_others(store: Path, models: Embedders) -> None:
    answers = ask(
        store, Embedders(Once(), models.image, models.decode), {"text": "a"}, {"text": "raise"}, {"text": "bb"}
    )
    assert (ids(answers[0]), ids(answers[2])) == (["a"], ["bb"])
    assert answers[1].error == Failure("text_embedding", "ValueError", "asked to raise")


def test_an_unknown_corpus_is_an_answer_that_names_those_there_are(store: Path, models: Embedders) -> None:
    make_corpus(store, ["x"], "answers")  # the table of answers is none
    first, second = ask(store, models, {"text": "a", "corpus": "twets"}, {"text": "a"})
    assert first.error is not None
    assert first.error.stage == SEARCH
    assert "no corpus 'twets'" in first.error.reason
    assert "it has tweets;" in first.error.reason
    assert ids(second) == ["a"]


@pytest.mark.parametrize("name", ["../tweets", "tweets/../tweets", "\x00", "tweets.lance"])
def test_a_corpus_of_an_impossible_name_is_an_answer(store: Path, models: Embedders, name: str) -> None:
    (answer,) = ask(store, models, {"text": "a", "corpus": name})
    assert answer.error is not None
    assert "no corpus" in answer.error.reason


def test_a_filter_that_one_corpus_lacks_hurts_only_who_asked_for_it(store: Path, models: Embedders) -> None:
    posts = PostStore(store, 8, 8)
    posts.upsert([row("p", 1)])
    lancedb.connect(store).open_table("posts").update(values={"models": None})
    vector = [0, 1, 0, 0, 0, 0, 0, 0]
    good, bad = ask(
        store,
        models,
        {"vector": vector, "corpus": "posts"},
        {"vector": vector, "corpus": "posts", "filters": {"language": "en"}},
    )
    assert ids(good) == ["p"]
    assert bad.error is not None
    assert "language" in bad.error.reason


def test_a_corpus_of_another_model_is_an_answer(store: Path, models: Embedders) -> None:
    PostStore(store, 8, 8).upsert([row("p", 1)])
    (answer,) = ask(store, models, {"text": "a", "corpus": "posts"})
    assert answer.error is not None
    assert "was embedded by a text_embedding model, but the query by fake" in answer.error.reason


def test_a_vector_of_another_length_is_an_answer(store: Path, models: Embedders) -> None:
    (answer,) = ask(store, models, {"vector": [1, 2]})
    assert answer.error is not None
    assert "holds vectors of dimension 8, but the query's has 2" in answer.error.reason


def test_models_without_weights_are_answers(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Settings, runtime: Runtime) -> Any:
        raise WeightsError("nowhere to be found")

    monkeypatch.setattr(answering, "load_text", missing)
    models = load_embedders(Settings(models="fake"), images=False)
    text, image, vector = ask(
        store, models, {"text": "a"}, {"image": b64encode(png()).decode()}, {"vector": [1] + [0] * 7}
    )
    assert text.error == Failure(EMBED, "WeightsError", "nowhere to be found")
    assert image.error is not None
    assert "MEMEWAX_ANSWER_IMAGES" in image.error.reason
    assert vector.error is None


def test_an_image_finds_the_nearest_posts(tmp_path: Path, models: Embedders) -> None:
    PostStore(tmp_path, 8, 8).upsert([row("p", 1)])
    lancedb.connect(tmp_path).open_table("posts").update(values={"models": None})
    queries = [Query("good", png(), "posts", by="image"), Query("bad", b"GIF?", "posts", by="image")]
    good, bad = search(embed(queries, models), OpenCorpora(tmp_path, 0))
    assert ids(good) == ["p"]
    assert good.model == "fake"
    assert bad.error is not None
    assert "not a supported image" in bad.error.reason


def test_images_are_looked_for_among_posts_only(store: Path, models: Embedders) -> None:
    (answer,) = search(embed([Query("1", png(), "tweets", by="image")], models), OpenCorpora(store, 0))
    assert answer.error is not None
    assert "has no images" in answer.error.reason


def test_rows_that_come_are_found_after_the_refresh(store: Path, models: Embedders) -> None:
    clock = Clock()
    corpora = OpenCorpora(store, 1.0, now=clock)
    assert corpora.open_all() == {"tweets": 5}
    lancedb.connect(store).open_table("tweets").add(corpus_rows(["ffffff"]))
    body = {"text": "gggggg"}
    assert ids(ask(store, models, body, corpora=corpora)[0]) != ["ffffff"]
    clock.time = 1.0
    assert ids(ask(store, models, body, corpora=corpora)[0]) == ["ffffff"]


def test_rows_that_come_are_found_however_often_one_asks(store: Path, models: Embedders) -> None:
    clock = Clock()
    corpora = OpenCorpora(store, 1.0, now=clock)
    assert ids(ask(store, models, {"text": "gggggg"}, corpora=corpora)[0]) != ["ffffff"]
    lancedb.connect(store).open_table("tweets").add(corpus_rows(["ffffff"]))
    for _ in range(4):
        clock.time += 0.3
        found = ids(ask(store, models, {"text": "gggggg"}, corpora=corpora)[0])
    assert found == ["ffffff"]


def test_a_corpus_that_is_gone_and_comes_back(store: Path, models: Embedders) -> None:
    corpora = OpenCorpora(store, 0)
    assert ids(ask(store, models, {"text": "a"}, corpora=corpora)[0]) == ["a"]
    lancedb.connect(store).drop_table("tweets")
    assert ask(store, models, {"text": "a"}, corpora=corpora)[0].error is not None
    make_corpus(store, ["x"])
    assert ids(ask(store, models, {"text": "a"}, corpora=corpora)[0]) == ["x"]


def test_a_row_of_the_first_version(store: Path, models: Embedders) -> None:
    lancedb.connect(store).drop_table("tweets")
    make_corpus(store, ["a"], favorite_count=7, retweet_count=3)
    (answer,) = ask(store, models, {"text": "a"})
    assert result_row(answer) == {
        "id": "0",
        "user_text": "a",
        "trump_tweet": "a",
        "favorite_count": 7,
        "retweet_count": 3,
        "created_at": "2020-01-01T00:00:00+00:00",
        "similarity": 1.0,
    }


@pytest.mark.parametrize("odd", ["²", "٣", "9" * 25, "", "-1", True, 1.5, 10**18, ["7"], {"a": 1}])
def test_what_is_no_count_is_none(odd: Any) -> None:
    assert count_of({"favorites": odd, "retweets": 3}, "favorite") is None
    assert count_of({"favorites": odd, "favorite_count": "12"}, "favorite") == 12


def test_a_row_of_the_first_version_is_one_whatever_the_hit_brought(tmp_path: Path) -> None:
    brought = {"favorites": "²", "retweet_count": 10**25, "created": 1.5}
    row = result_row(Answer("1", "a", hits=(Hit("x", "a", 1.0, 0.0, brought),)))
    table = StoredTable(tmp_path, RESULTS)
    table.upsert([row])
    (stored,) = table.rows()
    assert (stored["favorite_count"], stored["retweet_count"], stored["created_at"]) == (None, None, "1.5")


def test_the_vectors_of_a_query_are_those_of_the_model(models: Embedders) -> None:
    (it,) = embed([Query("1", "bb", "tweets")], models)
    assert isinstance(it.vector, np.ndarray)
    np.testing.assert_array_equal(it.vector, np.eye(8)[2])
