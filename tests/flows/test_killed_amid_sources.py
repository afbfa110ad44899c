"""`kill -9` amid each kind of source, then the same command: nothing lost, nothing doubled."""

import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pytest
from backports import zstd

from tests.connectors.services.test_mastodon import events, status
from tests.factories import image_of
from tests.flows.image_server import Images, served
from tests.flows.runs import Flow
from tests.jetstream import commit, jetstream

POSTS: Final = 48
LOCAL: Final = {"fetch_allow": "127.0.0.0/8", "poll_backoff_seconds": 0.01, "fetch_per_host": 64}


@pytest.fixture(scope="module")
def web() -> Iterator[Images]:
    random = np.random.default_rng(3)
    with served([image_of(number % 6, random) for number in range(POSTS)]) as made:
        yield made


@dataclass
class Played:
    """A source, and what is to come of it."""

    address: str
    ids: set[str]
    ends: bool = True
    """Whether it comes to its end by itself."""
    settings: dict[str, Any] = field(default_factory=dict)


def dump(folder: Path, web: Images) -> Played:
    path = folder / "RS_2026-01.zst"
    rows = [
        {
            "id": f"p{n}", "title": f"No {n}", "subreddit": "memes", "permalink": f"/r/memes/{n}", "author": "ann",
            "created_utc": 1_767_225_600 + n, "url": f"{web.url}/{n}.png", "post_hint": "image",
        }
        for n in range(POSTS)
    ]  # fmt: skip
    with zstd.open(path, "wb") as out:
        out.write(b"".join(orjson.dumps(it) + b"\n" for it in rows))
    return Played(str(path), {f"p{n}-reddit" for n in range(POSTS)})


def table(folder: Path, web: Images) -> Played:
    path = folder / "memes.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out, delimiter=";")
        writer.writerow(["id", "image_url", "title"])
        writer.writerows([n, f"{web.url}/{n}.png", f"No {n}; of {POSTS}"] for n in range(POSTS))
    return Played(str(path), {f"{n}" for n in range(POSTS)})


def feed(folder: Path, web: Images) -> Played:
    items = "".join(
        f"<item><guid isPermaLink='false'>e{n}</guid><title>No {n}</title><pubDate>Mon, 11 Dec 2023 08:{n:02}:00 GMT"
        f"</pubDate><enclosure url='{web.url}/{n}.png' type='image/png' length='1'/></item>"
        for n in reversed(range(POSTS))
    )
    page = f"<?xml version='1.0'?><rss version='2.0'><channel><title>Memes</title>{items}</channel></rss>"
    web.pages["/feed"] = page.encode()
    return Played(f"feed:{web.url}/feed.xml", {f"127.0.0.1/e{n}-feed" for n in range(POSTS)})


def mastodon(folder: Path, web: Images) -> Played:
    media = [
        [{"type": "image", "url": f"{web.url}/{n}.png", "description": f"No {n}"}] for n in range(POSTS)
    ]  # the server shows all of them to whoever connects, and so each comes several times
    web.pages["/api/v1/streaming"] = events(
        *(("update", status(n, media_attachments=media[n])) for n in range(POSTS))
    ).encode()
    return Played(
        f"mastodon:m.example?url={web.url}",
        {f"https://m/s/{n}-mastodon" for n in range(POSTS)},
        ends=False,
        settings={"mastodon_tokens": '{"m.example": "a token"}', "follow": "true"},
    )


FILES: Final[dict[str, Callable[[Path, Images], Played]]] = {
    "dump": dump,
    "table": table,
    "feed": feed,
    "mastodon": mastodon,
}


def killed_and_gone_on(folder: Path, played: Played) -> None:
    """Kill a flow amid its source, start it again, and look at what is there."""
    settings = {**LOCAL, "read_batch": 4, **played.settings}
    flow = Flow(folder / "flow", played.address, seconds=0.02, **settings)
    for lines in (POSTS // 3, 2 * POSTS // 3):
        run = flow.worker(0.1)
        run.until(lambda lines=lines: flow.lines() >= lines)  # type: ignore[misc]
        run.kill()
        assert flow.lines() < POSTS
    flow.seconds = 0.0
    run = flow.worker()
    if played.ends:
        run.end()
    else:
        run.until(lambda: flow.lines() >= POSTS)
        run.drain()
    rows = flow.rows()  # no id twice
    assert rows.keys() == played.ids
    assert not [it["failures"] for it in rows.values() if it["failures"]]
    assert flow.dead_letters() == []


@pytest.mark.parametrize("name", FILES)
def test_killed_amid_a_source_nothing_is_lost_or_doubled(name: str, web: Images, tmp_path: Path) -> None:
    killed_and_gone_on(tmp_path, FILES[name](tmp_path, web))


def test_killed_amid_bluesky_nothing_is_lost_or_doubled(web: Images, tmp_path: Path) -> None:
    begin = int((time.time() - 60) * 1e6)
    with jetstream() as server:
        server.frames = [{**commit(n), "time_us": begin + n * 100_000} for n in range(POSTS)]
        end = {"did": "did:plc:z", "time_us": begin + 10**10, "kind": "identity", "identity": {}}
        server.frames.append(end)  # what comes after the time at which a run began ends it
        address = f"bluesky:?url={server.url}&cdn={web.url}"
        killed_and_gone_on(tmp_path, Played(address, {f"did:plc:a/p{n}-bluesky" for n in range(POSTS)}))
