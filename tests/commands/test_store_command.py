"""`memewax store`: a store is looked at and put together, by the flow that writes it or by the command."""

from pathlib import Path
from threading import Event, Thread

import lancedb
import orjson
import pyarrow as pa
import pytest

from connectors.control import control_log
from connectors.control.control_log import ControlLog
from connectors.control.request_kinds import KINDS, RequestKind
from connectors.store.store_maintenance import TableFacts, facts_of
from connectors.writer_locks import all_locked
from memewax.commands import store_command
from tests.commands.typed import Memewax
from tests.page.stores import aged, webp


@pytest.fixture
def store(tmp_path: Path, memewax: Memewax) -> Path:
    """Of forty posts, in some versions."""
    lines = [orjson.dumps({"global_id": f"{it}-reddit", "url": "1.png"}) + b"\n" for it in range(40)]
    (tmp_path / "posts.jsonl").write_bytes(b"".join(lines))
    assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 0
    return tmp_path / "store"


def tables(store: Path) -> dict[str, TableFacts]:
    return {it.table: it for it in facts_of(store)}


def test_a_store_is_looked_at(store: Path, memewax: Memewax) -> None:
    found = {it["table"]: it for it in memewax("store", "check", "--store", store, "--json").summary()["tables"]}
    assert found.keys() == {"posts", "clusters"}
    assert (found["posts"]["rows"], found["posts"]["duplicates"]) == (40, 0)
    assert "posts" in memewax("store", "check", "--store", store).out


def test_a_key_that_is_there_twice_is_told(memewax: Memewax) -> None:
    lancedb.connect("store").create_table("posts", pa.table({"global_id": ["a", "b", "a"]}))
    done = memewax("store", "check", "--store", "store")
    assert (done.code, done.err) == (3, "memewax: store has duplicate keys: 1 of posts; two flows wrote it at once\n")


@pytest.mark.parametrize("command", ["check", "compact"])
def test_what_is_no_store_is_told_and_left_alone(command: str, tmp_path: Path, memewax: Memewax) -> None:
    done = memewax("store", command, "--store", "nowhere")
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "nowhere is not a store" in done.err
    assert not list(tmp_path.iterdir())


def test_where_no_flow_runs_the_command_does_it(store: Path, memewax: Memewax) -> None:
    assert tables(store)["posts"].versions > 2
    done = memewax("store", "compact", "--store", store)
    assert (done.code, "MB in" in done.err) == (0, True)
    assert (tables(store)["posts"].versions, tables(store)["posts"].rows) == (1, 40)
    assert ControlLog(store / "control").open_after(0, 9) == []


def test_a_flow_that_runs_is_waited_for(store: Path, memewax: Memewax) -> None:
    begun = Event()

    def flow() -> None:
        """Holds the lock, and does the request when it has come."""
        log = ControlLog(store / "control")
        with all_locked({store / "posts.lock": "taken"}, wait=0):
            begun.set()
            while log.result(1) is None:
                for request in log.open_after(0, 9):
                    log.mark(request.number, "done by the flow")

    thread = Thread(target=flow)
    thread.start()
    assert begun.wait(9)
    done = memewax("store", "compact", "--store", store)
    thread.join(9)
    assert (done.code, "done by the flow" in done.err) == (0, True)


def test_the_flow_does_what_was_requested_before_it_and_once(store: Path, memewax: Memewax) -> None:
    assert "is queued for a flow" in memewax("store", "compact", "--store", store, "--no-wait").err
    with (store.parent / "posts.jsonl").open("ab") as posts:
        posts.write(b'{"global_id": "new-reddit", "url": "1.png"}\n')
    for _ in range(2):
        assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 0
    assert tables(store)["posts"].rows == 41
    assert tables(store)["posts"].versions <= 3  # put together while the last post came
    assert ControlLog(store / "control").result(1) == "done by the flow"


def test_a_request_that_only_a_flow_can_do_is_named(
    store: Path, memewax: Memewax, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (control_log, store_command):
        monkeypatch.setattr(module, "KINDS", {**KINDS, "other": RequestKind("other", "wait", lambda _: None)})
    ControlLog(store / "control").add("other", {})
    done = memewax("store", "compact", "--store", store)
    assert (done.code, "the earlier request 1 (other) needs a flow" in done.err) == (3, True)


def test_a_store_is_made(tmp_path: Path, memewax: Memewax) -> None:
    for _ in range(2):
        assert "new has the table posts of 0 rows" in memewax("store", "create", "new").err
    assert tables(tmp_path / "new").keys() == {"posts", "clusters"}


def test_images_that_are_missing_are_fetched(tmp_path: Path, memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    store = aged(tmp_path / "old")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(webp(3))
    lines = ("store", "thumbnails", "--store", store, "--images", tmp_path / "images")
    found = memewax(*lines, "--json").summary()
    assert (found["posts"], found["added"] + sum(found["failed"].values())) == (10, 10)
    assert found["added"] > 0
    assert "0 of" in memewax(*lines).err
    monkeypatch.setenv("MEMEWAX_THUMBNAIL_SIDE", "0")
    assert "MEMEWAX_THUMBNAIL_SIDE is 0" in memewax(*lines).err
