"""An image that comes again is looked at no more, and its record says the same."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import orjson
import pytest

from connectors.caching.result_cache import FILE
from tests.factories import image_of
from tests.flows.image_server import served
from tests.flows.runs import PATIENCE, Flow, Row, free_port
from tests.jetstream import commit, images, jetstream

IMAGES, EACH = 6, 6
_OWN = {"global_id", "post_id", "url", "cache", "timings", "joined_time", "duplicate_of", "cluster", "cluster_distance"}


def stream(folder: Path) -> Path:
    """Posts of some images, each under several names."""
    random = np.random.default_rng(7)
    names = []
    for number in range(IMAGES):
        data = image_of(number, random)
        for copy in range(EACH):
            names.append(f"{number}-{copy}")
            (folder / f"{names[-1]}.png").write_bytes(data)
    random.shuffle(names)
    posts = [{"global_id": f"{name}-a", "url": f"{name}.png", "author": name[-1], "source": "a"} for name in names]
    path = folder / "posts.jsonl"
    path.write_bytes(b"".join(orjson.dumps(post) + b"\n" for post in posts))
    return path


def of_images(rows: dict[str, Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows.values():
        found.setdefault(row["global_id"][0], []).append(row)
    return found


def alike(row: Row) -> Row:
    """What a row says that it would say without a cache too."""
    return {name: value for name, value in row.items() if name not in _OWN}


@pytest.mark.parametrize("processes", [1, 2])
def test_each_image_is_looked_at_once_and_records_are_the_same(folder: Path, tmp_path: Path, processes: int) -> None:
    source = stream(tmp_path)
    flow = Flow(folder / "on", source, to_store=True)
    flow.memewax(processes).end()
    rows = flow.rows()
    for those in of_images(rows).values():
        assert len(those) == EACH
        for stage in ("embedding", "text"):
            assert sum(row["timings"][stage] > 0 for row in those) == 1, "computed once, in one of the processes"
        assert {row["cache"] for row in those} == {None, "exact"}
        assert len({row["duplicate_of"] for row in those}) == 2, "the clusterer learned each: a first, and its copies"
    without = Flow(folder / "off", source, to_store=True, cache="off")
    without.memewax(processes).end()
    assert {row["cache"] for row in without.rows().values()} == {None}
    assert {key: alike(row) for key, row in rows.items()} == {key: alike(row) for key, row in without.rows().items()}
    if processes == 1:
        clusters = {key: (row["cluster"], row["duplicate_of"]) for key, row in rows.items()}
        assert clusters == {key: (row["cluster"], row["duplicate_of"]) for key, row in without.rows().items()}


def test_what_was_deleted_is_looked_at_anew(folder: Path, tmp_path: Path) -> None:
    source = stream(tmp_path)
    posts = source.read_bytes()
    deletes = [orjson.dumps({"author": str(copy), "source": "a", "deleted": True}) for copy in range(EACH)]
    for name, lines in (("one", posts), ("two", b"\n".join(deletes) + b"\n"), ("three", posts)):
        source.write_bytes(lines)
        flow = Flow(folder / name, source, cache_folder=folder / "cache")
        flow.memewax().end()
    assert all(None in {row["cache"] for row in those} for those in of_images(flow.rows()).values())


def test_it_is_known_in_the_next_run(folder: Path, tmp_path: Path) -> None:
    source = stream(tmp_path)
    for name in ("one", "two"):
        flow = Flow(folder / name, source, cache_folder=folder / "cache")
        flow.memewax().end()
        is_second = name == "two"
        assert [row["cache"] for row in flow.rows().values()].count(None) == (0 if is_second else IMAGES)


def test_a_delete_reaches_the_caches_of_all_machines(folder: Path, tmp_path: Path) -> None:
    """Two processes at two addresses, as on two machines, each with a cache of its own."""
    source = stream(tmp_path)
    names = [orjson.loads(line)["global_id"] for line in source.read_bytes().splitlines()]
    kept = names.pop()
    with source.open("ab") as file:
        file.writelines(orjson.dumps({"global_id": it, "deleted": True}) + b"\n" for it in names)
    flow = Flow(folder, source, to_store=True)
    addresses = ";".join(f"127.0.0.{number + 1}:{free_port()}" for number in range(2))
    caches, running = [tmp_path / "cache-0", tmp_path / "cache-1"], []
    for number, cache in enumerate(caches):
        flow.settings["cache_folder"] = str(cache)
        running.append(flow.bytewax("-s", "1", "-i", str(number), "-a", addresses).process)
    for it in running:
        out, said = it.communicate(timeout=PATIENCE)
        assert it.returncode == 0, said + out  # the engine says there that it waits for its peer
    assert set(flow.stored()) == {kept}
    for cache in caches:
        with closing(sqlite3.connect(cache / FILE)) as database:
            assert database.execute("SELECT count(*) FROM forgotten").fetchone() == (len(names),)
            posts = "SELECT count(DISTINCT name) FROM names WHERE name IN (SELECT name FROM forgotten)"
            assert database.execute(posts).fetchone() == (0,)


def test_what_bluesky_calls_known_is_not_fetched(folder: Path, tmp_path: Path) -> None:
    """Over a real connection; a field of a post says the same of itself in vain."""
    random = np.random.default_rng(5)
    with jetstream() as server, served([image_of(number, random) for number in range(3)]) as web:
        address, cache = f"bluesky:?url={server.url}&cdn={web.url}", tmp_path / "cache"
        flow = Flow(folder, address, follow=True, cache_folder=cache)
        server.frames = [commit(number, embed=images(f"bafk{number}")) for number in range(2)]
        run = flow.memewax()
        run.until(lambda: flow.lines() == 2)
        own = sorted(web.asked)
        assert own == [f"/img/feed_fullsize/plain/did:plc:a/bafk{number}@jpeg" for number in range(2)]
        server.frames += [commit(2 + it, did="did:plc:b", embed=images(f"bafk{it % 2}")) for it in range(6)]
        run.until(lambda: flow.lines() == 8)
        assert sorted(web.asked) == own
        run.drain()
        rows = flow.rows()
        for number in range(6):
            first, repost = rows[f"did:plc:a/p{number % 2}-bluesky"], rows[f"did:plc:b/p{2 + number}-bluesky"]
            assert (first["cache"], repost["cache"]) == (None, "source")
            assert all(repost[name] == first[name] for name in ("embeddings", "text", "picture_sha256"))
        claimed = {
            "global_id": "1-a",
            "url": f"{web.url}/2.png",
            "source": "bluesky",
            "cid": "bafk0",
            "content": "bluesky:bafk0",
        }
        (tmp_path / "posts.jsonl").write_bytes(orjson.dumps(claimed) + b"\n")
        other = Flow(folder / "other", tmp_path / "posts.jsonl", cache_folder=cache, fetch_allow="127.0.0.0/8")
        other.memewax().end()
        assert web.asked[len(own) :] == ["/2.png"]
        assert other.rows()["1-a"]["cache"] is None
        assert other.rows()["1-a"]["picture_sha256"] not in {row["picture_sha256"] for row in rows.values()}
