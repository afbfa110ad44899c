"""A store in a bucket: how it is named, whose tables it has, and what a bad server does to it."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from connectors.endpoints import open_store
from connectors.objects import object_tables
from connectors.sinks.record_table import HIDDEN, SEARCHED, THUMBNAILS
from connectors.store.cluster_ids import highest
from connectors.store.interface import ROW_ID, ReadCursor, SearchTerm, Store, WordQuery
from connectors.store.stored_models import models_in
from core.errors import SettingsError, WorldError
from core.records import Thumbnail
from dataflows.all_settings import load_settings
from memewax.commands.app import app
from search.cluster_summaries import summaries
from search.corpus import Corpus
from search.exporting import Posts
from search.sql import run_query
from search.store_reader import StoreReader
from search.words import ParsedQuery, WordIndex
from tests.connectors.store.test_current_cluster import merge
from tests.connectors.store.test_every_store import reader, rows_of, with_vector
from tests.connectors.store.test_removed_posts import row
from tests.factories import POSTS, make_removal, post
from tests.object_server import ObjectServer, is_conditional, slow

ANSWERS_NO = "503 Slow Down"


@pytest.fixture
def address(object_server: ObjectServer) -> str:
    return f"s3://{object_server.bucket()}/a/store"


@pytest.fixture
def opened(address: str, tmp_path: Path) -> Callable[..., Store]:
    return lambda **settings: open_store(address, load_settings(**settings), tmp_path / "state")


def written(store: Store, part: int = 0, mark: Any = None) -> Any:
    return store.open_for_writing(POSTS, mark, part, 30.0)


@pytest.mark.parametrize(
    "address",
    ["s3://key:secret@bucket/store", "s3://bucket/store?aws_secret_access_key=secret", "s3://bucket/store#secret"],
)
def test_a_secret_in_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(SettingsError, match="credentials come from the environment") as caught:
        open_store(address, load_settings())
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)
    assert "#secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["s3://bucket", "s3://bucket/", "s3:///store", "gs://B!/x", "s3://bucket/a b"])
def test_half_an_address_is_none(address: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("is not s3://BUCKET/PATH or gs://BUCKET/PATH")):
        open_store(address, load_settings())


def test_the_form_of_gs_is_known() -> None:
    assert open_store("gs://bucket/some/store/", load_settings()).address == "gs://bucket/some/store"


@pytest.mark.parametrize("server", ["http://key:secret@host", "host:9000", "https://host/?key=secret"])
def test_a_server_is_named_without_more(server: str) -> None:
    with pytest.raises(SettingsError, match="MEMEWAX_S3_ENDPOINT must be http://HOST:PORT") as caught:
        open_store("s3://bucket/store", load_settings(s3_endpoint=server))
    assert "secret" not in str(caught.value)


def test_the_setting_of_corpora_is_a_folder() -> None:
    with pytest.raises(SettingsError, match="expected a folder: name a store at an address with --store"):
        load_settings(store="s3://bucket/store")


def test_credentials_are_those_of_a_profile(
    opened: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[of-mine]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "of-mine")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = opened()
    store.check()
    written(store).upsert([row("a")])
    assert rows_of(opened()).keys() == {"a"}


def test_a_bucket_that_is_not_there_is_one_line(object_server: ObjectServer, tmp_path: Path) -> None:
    store = open_store("s3://no-such-bucket-here/store", load_settings(store_timeout_seconds=5), tmp_path)
    with pytest.raises(WorldError, match=r"s3://no-such-bucket-here/store cannot be written: .*NoSuchBucket"):
        store.check()


def test_a_server_that_refuses_conditions_is_noticed(object_server: ObjectServer, opened: Callable[..., Store]) -> None:
    with (
        object_server.having(lambda it: "501 NotImplemented" if is_conditional(it) else None),
        pytest.raises(WorldError, match="refuses conditional writes"),
    ):
        opened().check()


def test_a_server_that_ignores_conditions_is_noticed(object_server: ObjectServer, opened: Callable[..., Store]) -> None:
    object_server.ignores_conditions = True
    with pytest.raises(WorldError, match="ignores conditional writes"):
        opened().check()
    object_server.ignores_conditions = False
    opened().check()
    assert not opened().names()


def test_each_writer_has_a_table_and_readers_see_one(opened: Callable[..., Store], address: str) -> None:
    store = opened(store_writers=2)
    assert store.part_names("posts") == [f"{address}/posts.0", f"{address}/posts.1"]
    assert store.part_names("clusters") == [f"{address}/clusters.0"]
    one, two = written(store, 0), written(store, 1)
    one.upsert([row("a", revision=2, description="new"), row("b")])
    two.upsert([row("a", revision=1, description="old"), row("c", source="b")])
    assert opened().names() == ["posts"]
    found = rows_of(opened(), "description", "revision")
    assert found.keys() == {"a", "b", "c"}
    assert found["a"]["description"] == "new"
    two.upsert([row("a", revision=3, description="newest")])
    assert rows_of(opened(), "description")["a"]["description"] == "newest"
    for it in (one, two):  # as the flow gives each writer what is taken back
        it.remove([make_removal(global_id="a")])
    assert rows_of(opened()).keys() == {"b", "c"}
    one.upsert([row("a", revision=4)])
    two.upsert([row("a", revision=5)])
    assert rows_of(opened()).keys() == {"b", "c"}
    for it in (one, two):
        it.apply_events([merge(0, 7)])
    assert {it["current_cluster"] for it in rows_of(opened(), "current_cluster").values()} == {7}


def test_rows_of_several_tables_are_read_as_those_of_one(opened: Callable[..., Store]) -> None:
    store = opened(store_writers=2)
    one, two = written(store, 0), written(store, 1)
    one.upsert([with_vector("near", (1.0, 0.0), description="a cat"), with_vector("far", (0.0, 1.0))])
    two.upsert(
        [with_vector("nearer", (1.0, 0.1), description="the cats"), {**with_vector("far", (1.0, 0.5)), "revision": 2}]
    )
    posts = reader(opened())
    wanted = with_vector("x", (1.0, 0.05))["embeddings"]
    assert {it["global_id"] for it in posts.nearest("embeddings", wanted, 2, [])} == {"near", "nearer"}
    assert len(posts.nearest("embeddings", wanted, 10, [])) == 3
    words = posts.words(SEARCHED)
    assert words.refresh()
    assert {key for key, _ in words.find([WordQuery((SearchTerm("cat"),))], 10)[0]} == {"near", "nearer"}
    seen = ReadCursor()
    places = {
        key: place
        for it in posts.since(seen, ["revision"])
        for key, place in zip(it.column("global_id").to_pylist(), it.column(ROW_ID).to_pylist(), strict=True)
    }
    assert places.keys() == {"near", "nearer", "far"}
    taken = posts.rows(list(places), ["revision", ROW_ID], places).to_pylist()
    assert {it["global_id"]: it[ROW_ID] for it in taken} == places
    assert {it["global_id"]: it["revision"] for it in taken} == {"near": 1, "nearer": 1, "far": 2}
    one.upsert([row("late")])
    posts.refresh()
    assert {key for it in posts.since(seen, []) for key in it.column("global_id").to_pylist()} == {"late"}
    assert {it["global_id"] for it in posts.rows(["late", "far"], [], places).to_pylist()} == {"late", "far"}


def test_what_more_writers_left_is_kept_right_by_those_that_there_are(opened: Callable[..., Store]) -> None:
    store = opened(store_writers=3)
    for number in range(3):
        it = written(store, number)
        key = f"{number}" * 64
        it.write_thumbnails([Thumbnail(replace(post(f"{number}"), picture_sha256=key), b"webp", 4, 3)])
        it.upsert([{**row(f"{number}"), "picture_sha256": key}])
    (part,) = opened().part_names("posts")
    assert part.endswith("posts.0")
    only = written(opened())
    only.apply_events([merge(0, 3)])
    only.remove([make_removal(global_id="2"), make_removal(author="ann", source="a", hidden=True)])
    assert rows_of(opened()).keys() == set()
    assert reader(opened(), HIDDEN).count() == 2
    again = written(opened(), mark=only.mark())
    again.remove([make_removal(author="ann", source="a", hidden=False)])
    again.upsert([row("2", revision=9)])
    assert {key: it["current_cluster"] for key, it in rows_of(opened(), "current_cluster").items()} == {"0": 3, "1": 3}
    assert reader(opened(), THUMBNAILS.name).count() == 2


def test_a_page_sees_a_writer_that_comes_later(opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_tables, "_LOOK_SECONDS", 0.0)
    store = opened(store_writers=2)
    written(store, 0).upsert([row("a"), row("b")])
    pages = StoreReader(opened())
    assert len(pages.catalogue().posts) == 2
    written(store, 1).upsert([row("c"), row("a", revision=2, description="new")])
    assert {it.global_id for it in pages.refresh().posts} == {"a", "b", "c"}
    (found,) = pages.rows(["a"])
    assert found["description"] == "new"
    assert [it["global_id"] for it in pages.rows(["c", "nobody", "b"])] == ["c", "b"]


def test_readers_read_while_it_is_written_and_put_together(opened: Callable[..., Store]) -> None:
    posts = written(opened())
    posts.upsert([row("0")])
    problems: list[BaseException] = []
    counts: list[list[int]] = [[], []]
    ending = threading.Event()

    def read(seen: list[int]) -> None:
        try:
            own = opened()
            while not ending.is_set():
                seen.append(
                    len(
                        rows_of(own, "description", where=())
                        if not seen
                        else own.table("posts").to_arrow(["global_id"])
                    )
                )
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read, args=(it,)) for it in counts]
    for it in threads:
        it.start()
    for number in range(1, 8):
        posts.upsert([row(f"{number}-{it}") for it in range(10)])
        if number % 3 == 0:
            posts._first.compact()
    while not all(counts) and not problems:
        ending.wait(0.01)
    ending.set()
    for it in threads:
        it.join()
    assert not problems
    assert all(seen == sorted(seen) for seen in counts)


def test_a_server_that_is_busy_is_ridden_out(object_server: ObjectServer, opened: Callable[..., Store]) -> None:
    numbers = count()
    posts = written(opened())
    with object_server.having(lambda _: ANSWERS_NO if next(numbers) % 4 == 1 else None):
        for start in range(0, 40, 10):
            posts.upsert([row(f"{it}") for it in range(start, start + 10)])
        posts.remove([make_removal(global_id="3")])
        assert len(rows_of(opened())) == 39
    assert rows_of(opened()).keys() == {f"{it}" for it in range(40)} - {"3"}


def test_a_server_that_is_away_for_a_moment_is_waited_for(
    object_server: ObjectServer, opened: Callable[..., Store]
) -> None:
    posts = written(opened(store_timeout_seconds=60))
    refused = count()

    def away(_: dict[str, Any]) -> str | None:
        return "500 Internal Error" if next(refused) < 25 else None

    with object_server.having(away):
        posts.upsert([row("a")])
    assert next(refused) > 25
    assert rows_of(opened()).keys() == {"a"}


def test_a_server_that_stays_away_is_one_line_and_the_next_try_goes_on(
    object_server: ObjectServer, opened: Callable[..., Store]
) -> None:
    posts = written(opened(store_timeout_seconds=1))
    posts.upsert([row("a")])
    with object_server.having(lambda _: "500 Internal Error"):
        with pytest.raises(WorldError, match="the store cannot be written: ") as caught:
            posts.upsert([row("b")])
        with pytest.raises(WorldError, match="cannot be read: "):
            rows_of(opened(store_timeout_seconds=1))
    assert "\n" not in str(caught.value)
    assert "secret-of-tests" not in str(caught.value)
    posts.upsert([row("b")])
    assert rows_of(opened()).keys() == {"a", "b"}


def test_a_slow_server_is_waited_for(object_server: ObjectServer, opened: Callable[..., Store]) -> None:
    posts = written(opened())
    with object_server.having(slow(0.05)):
        posts.upsert([row("a")])
        assert rows_of(opened()).keys() == {"a"}


def test_all_readers_read_what_several_writers_wrote(opened: Callable[..., Store], tmp_path: Path) -> None:
    store = opened(store_writers=2)
    one, two = written(store, 0), written(store, 1)
    one.upsert([row("a", 0), row("b", 0), row("c", 1)])
    two.upsert([row("d", 0), row("c", 0, revision=2, description="the newest")])
    corpus = Corpus.open(opened(), "posts")
    assert corpus.ids() == {"a", "b", "c", "d"}
    two.upsert([row("e", 0)])
    assert corpus.refresh() == 1
    assert {it.id for it in corpus.search(corpus.vector("a")[None], 9)[0]} == {"a", "b", "c", "d", "e"}  # type: ignore[index]
    assert {it["global_id"]: it["description"] for it in Posts(opened())}["c"] == "the newest"
    assert [(it.cluster, it.size) for it in summaries(opened(), timedelta(days=1))] == [(0, 5)]
    with run_query(opened(), "SELECT count(*), max(revision) FROM posts", 60.0) as found:
        assert list(found.rows) == [(5, 2)]
    assert WordIndex(opened()).find(ParsedQuery.of("newest")).all == ("c",)
    assert models_in(opened()).keys() >= {"embedding"}
    assert highest(opened()) == 0


def test_a_store_in_a_bucket_is_made_and_looked_at(
    opened: Callable[..., Store], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = CliRunner().invoke(app, ["store", "check", "--store", address])
    assert isinstance(nothing.exception, WorldError)
    assert str(nothing.exception) == f"{address} is not a store: give the address that memewax wrote to with --store"
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    monkeypatch.setenv("MEMEWAX_STATE_DIR", str(tmp_path / "state"))
    made = CliRunner().invoke(app, ["store", "create", address])
    assert made.stderr == f"memewax: {address} has the table posts and the table clusters\n"
    store = opened(store_writers=2)
    written(store, 0).upsert([row("a"), row("b")])
    written(store, 1).upsert([row("b", revision=2)])
    done = CliRunner().invoke(app, ["store", "check", "--store", address, "--json"])
    assert orjson.loads(done.stdout) == {
        "store": address,
        "tables": [
            {"table": "clusters", "writers": 1, "rows": 0, "duplicates": 0},
            {"table": "posts", "writers": 2, "rows": 2, "duplicates": 0},
        ],
    }
