"""`memewax forget --check` finds a name wherever it is left: each kind of place has a leak that is planted."""

import os
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson
import pytest
import typer
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from connectors.caching.packing import packed
from connectors.caching.result_cache import ResultCache
from connectors.control.control_log import FOLDER, ControlLog
from connectors.control.flow_note import note_flow
from connectors.control.request_kinds import FORGET
from connectors.store.posts_table import PostStore
from connectors.store.stored_table import StoredTable
from core.records import CachedResult, Thumbnail
from core.row_log import RowLog
from core.status import FOLDER as STATUS
from dataflows.all_settings import load_settings
from memewax.commands.forget import forget
from operators.item_memory import CACHE
from operators.recovery_places import parts_of
from operators.taps import tap_addresses
from search.answer import ANSWERS, Answer, answer_row
from search.corpus import Hit
from tests.brokers import MockBroker
from tests.connectors.store.test_removed_posts import row
from tests.factories import make_removal, post

NAME = "forgettable0003-a"


class World:
    """A store, its recovery folder and its outputs, in which nothing names the post."""

    def __init__(self, folder: Path) -> None:
        self.store, self.recovery = folder / "store", folder / "store.recovery"
        self.letters, self.out, self.events = (folder / f"{it}.jsonl" for it in ("dead", "out", "events"))
        self.posts = PostStore(self.store, 8, 8)
        self.posts.upsert([row("kept-a")])
        for it in (self.letters, self.out, self.events):
            it.write_bytes(b'{"global_id":"kept-a"}\n')
        self.recovery.mkdir()
        init_db_dir(self.recovery, 1)  # type: ignore[no-untyped-call]
        self.snapshot("kept-a")
        self.settings = load_settings(
            source=("posts.jsonl",),
            to=(str(self.store), str(self.out)),
            dead_letters=str(self.letters),
            cluster_events=str(self.events),
        )
        note_flow(self.recovery, self.settings)

    def snapshot(self, *values: str) -> None:
        """Take a snapshot after each value, of that value."""
        flow = Dataflow("test")
        given = op.input("in", flow, TestingSource([("key", it) for it in values]))
        op.output("out", op.stateful_map("keep", given, lambda _, it: (it, it)), TestingSink([]))
        config = RecoveryConfig(self.recovery, timedelta(0))  # type: ignore[no-untyped-call]
        run_main(flow, epoch_interval=timedelta(0), recovery_config=config)


def in_a_row(world: World) -> str:
    world.posts.upsert([row(NAME)])
    return "table posts: a row has it"


def in_an_older_version(world: World) -> str:
    world.posts.upsert([row(NAME)])
    world.posts.remove([make_removal(global_id=NAME)])
    return "table posts: an older version"


def in_compressed_rows(world: World) -> str:
    """LanceDB compresses many rows, and keeps a deleted one while few others of its file are deleted."""
    world.posts.upsert([row(f"forgettable{it:04d}-a") for it in range(3000)])
    world.posts.compact()
    world.posts.remove([make_removal(global_id=NAME)])
    world.posts.remove([make_removal(global_id="forgettable2000-a")])
    world.posts.compact()
    assert not any(NAME.encode() in it.read_bytes() for it in world.store.rglob("*") if it.is_file())
    return "table posts: its files hold deleted rows"


def in_a_draft(world: World) -> str:
    (draft := world.store / "posts.lance" / "data" / ".tmpAbCdEf").write_bytes(b"compressed")
    os.utime(draft, (0, 0))
    return "table posts: .tmpAbCdEf cannot be searched"


def in_another_row(world: World) -> str:
    world.posts.upsert([row("copy-a", extra={"quotes": NAME})])
    return "table posts: a row has it"


def in_a_hidden_row(world: World) -> str:
    world.posts.upsert([row(NAME, author="bob")])
    world.posts.remove([make_removal(author="bob", source="a", hidden=True)])
    world.posts.compact(erase=True)
    return "table hidden: a row has it"


def in_an_answer(world: World) -> str:
    hits = (Hit(NAME, "words", 0.5, 0.5, {}),)
    StoredTable(world.store, ANSWERS).upsert([answer_row(Answer("query", hits=hits))])
    return "table answers: a row has it"


def in_a_small_image(world: World) -> str:
    world.posts.write_thumbnails([Thumbnail(post(NAME, picture_sha256="0" * 64), b"webp", 4, 3)])
    return "table thumbnails: 1 unused thumbnail"


def in_a_request(world: World) -> str:
    ControlLog(world.store / FOLDER).add(FORGET.name, {"deletes": [{"global_id": NAME, "deleted": True}]})
    return f"{FOLDER}/"


def in_a_status(world: World) -> str:
    (world.store / STATUS).mkdir()
    (world.store / STATUS / "memes-0.json").write_bytes(orjson.dumps({"why": NAME}))
    return f"{STATUS}/memes-0.json: "


def in_another_file_of_the_store(world: World) -> str:
    np.save(world.store / "revisions.npy", np.array([NAME]))
    return "revisions.npy: its bytes have it"


def in_the_cache(world: World) -> str:
    cache = ResultCache(world.store / CACHE, 2**24)
    cache.put({b"k" * 16: packed(CachedResult(NAME))}, {})
    cache.close()
    return "cached results have it"


def in_a_state(world: World) -> str:
    world.snapshot("kept-a", NAME)
    return "stateful_batch: a state"


def in_free_pages(world: World) -> str:
    (part,) = parts_of(world.recovery)
    with closing(sqlite3.connect(part)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("CREATE TABLE planted (name TEXT)")
        database.execute("INSERT INTO planted VALUES (?)", (NAME,))
        database.execute("DROP TABLE planted")
    return "free pages of the database contain it"


def in_rows_of_clusters(world: World) -> str:
    log = RowLog(world.recovery / "clusters", np.dtype([("post", "S32")]))
    log.append(np.array([(NAME.encode(),)], [("post", "S32")]))
    log.mark()
    return ".rows: its bytes have it"


def in_a_dead_letter(world: World) -> str:
    value = b64encode(orjson.dumps({"global_id": NAME, "url": "1.png"})).decode()
    line = orjson.dumps(
        {"stage": "fetch", "exception": "E", "reason": "no", "origin": "file", "key": None, "value": value}
    )
    world.letters.write_bytes(line + b"\n")
    return "dead.jsonl: 1 line with it"


def in_an_output(world: World) -> str:
    world.out.write_bytes(orjson.dumps({"global_id": NAME}) + b"\n")
    return "out.jsonl: 1 line with it"


def in_an_event(world: World) -> str:
    world.events.write_bytes(orjson.dumps({"posts": [NAME]}) + b"\n")
    return "events.jsonl: 1 line with it"


LEAKS: list[Callable[[World], str]] = [
    in_a_row,
    in_an_older_version,
    in_compressed_rows,
    in_a_draft,
    in_another_row,
    in_a_hidden_row,
    in_an_answer,
    in_a_small_image,
    in_a_request,
    in_a_status,
    in_another_file_of_the_store,
    in_the_cache,
    in_a_state,
    in_free_pages,
    in_rows_of_clusters,
    in_a_dead_letter,
    in_an_output,
    in_an_event,
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def left(world: World, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The places that the command finds, each with why; it exits with 1 where there is one."""
    capsys.readouterr()
    code = 0
    try:
        forget(ids=[NAME], check=True, store=str(world.store), recovery=world.recovery, as_json=True)
    except typer.Exit as ended:
        code = ended.exit_code
    found = orjson.loads(capsys.readouterr().out)["left"]
    assert code == (1 if found else 0)
    assert all(it["until"] for it in found)
    return [f"{it['place']}: {it['why']}" for it in found]


def test_where_nothing_is_left_nothing_is_found(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert left(world, capsys) == []


@pytest.mark.parametrize("plant", LEAKS, ids=lambda it: it.__name__)
def test_a_leak_that_is_planted_is_found(
    world: World, capsys: pytest.CaptureFixture[str], plant: Callable[[World], str]
) -> None:
    expected = plant(world)
    assert [it for it in left(world, capsys) if expected in it]


def test_rows_that_were_erased_from_compressed_files_are_not_found(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    in_compressed_rows(world)
    world.posts.compact(erase=True)
    assert left(world, capsys) == []


def test_topics_that_taps_wrote_are_named_also_where_a_later_run_has_none(
    world: World, capsys: pytest.CaptureFixture[str], mock_broker: MockBroker
) -> None:
    taps = f"kafka://{mock_broker.bootstrap}"
    tapped = load_settings(**world.settings.model_dump(include={"source", "to"}), taps=taps, taps_only=("vit2cluster",))
    note_flow(world.recovery, world.settings, tap_addresses(tapped))
    note_flow(world.recovery, world.settings, tap_addresses(world.settings))
    forget(ids=[NAME], check=True, store=str(world.store), recovery=world.recovery, as_json=True)
    (told,) = orjson.loads(capsys.readouterr().out)["topics"]
    assert told["place"] == f"{taps}/vit2cluster"
    assert told["why"].startswith("a tap")


def test_a_recovery_folder_is_found_wherever_it_is_and_one_that_is_not_there_is_named(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.recovery = world.recovery.rename(tmp_path / "elsewhere")
    note_flow(world.recovery, world.settings)
    world.snapshot("kept-a", NAME)
    with pytest.raises(typer.Exit):
        forget(ids=[NAME], check=True, store=str(world.store), as_json=True)
    assert any("elsewhere/part-0" in it["place"] for it in orjson.loads(capsys.readouterr().out)["left"])
    world.recovery.rename(tmp_path / "moved")
    forget(ids=[NAME], check=True, store=str(world.store), as_json=True)
    told = orjson.loads(capsys.readouterr().out)
    assert told["left"] == []
    assert told["not_searched"].endswith(
        f"no recovery folder was found at {tmp_path}/elsewhere: if there is one, name it with --recovery"
    )
