"""Reddit, Imgur and Tumblr, played here with faults → `memewax ingest` → a topic → the flow → the store.

Every image that can be fetched is a record without a failure; one that cannot is a record that says so, and a dead
letter; nothing else comes out, and nothing twice.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import psutil
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from core.status import FOLDER, read_status
from dataflows.ingest import ingest
from memewax.commands.recovery import prepare_recovery
from tests.brokers import Broker, MockBroker, RealBroker, create_topic, read_topic
from tests.factories import image_of
from tests.flows.runs import Flow, Running, whole_lines
from tests.flows.test_crash import SOURCE, CrashError, crash_at
from tests.folders import ROOT
from tests.services import (
    Fault,
    Services,
    album_images,
    imgur_album,
    imgur_image,
    reddit_gallery,
    reddit_post,
    served,
    tumblr_post,
)

LOCAL: Final = {"fetch_allow": "127.0.0.0/8"}
NAMES: Final = {"reddit": ["memes", "dankmemes"], "imgur": ["hot"], "tumblr": ["someblog", "tag/memes"]}


@pytest.fixture
def services() -> Iterator[Services]:
    with served() as services:
        yield services


class Ingest:
    """`memewax ingest` in a folder."""

    def __init__(self, services: Services, folder: Path, *to: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._services = services
        self._folder = folder
        self.to = [str(folder / "posts.jsonl"), *to]
        self._runs = 0

    def start(self, service: str, *names: str, **settings: Any) -> Running:
        self._runs += 1
        metrics = self._folder / f"metrics-{self._runs}"
        metrics.mkdir()
        known = {**self._services.variables(), "poll_backoff_seconds": 0.01, "poll_timeout_seconds": 1, **settings}
        sinks = [word for address in self.to for word in ("--to", address)]
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "memewax",
                "ingest",
                service,
                *names,
                "--json",
                "--snapshot-interval",
                "0.1",
                *sinks,
            ],
            cwd=ROOT,
            env={**os.environ, **{f"MEMEWAX_{name.upper()}": str(value) for name, value in known.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(process, metrics, datetime.now(UTC))

    def lines(self) -> list[str]:
        """Ids in the file, in its order."""
        return ids_in(Path(self.to[0]))


def ids_in(path: Path) -> list[str]:
    return [orjson.loads(line)["global_id"] for line in whole_lines(path)] if path.exists() else []


class World:
    """What the three services show: what of it is a post, and which images can be fetched."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._random = np.random.default_rng(11)
        self.fetchable: set[str] = set()
        self.broken: set[str] = set()
        self.skipped: Counter[str] = Counter()
        self._reddit()
        self._imgur()
        self._tumblr()

    def image(self, global_id: str, number: int) -> str:
        """An image that can be fetched; every seventh is missing, is half an image, or is a page."""
        path = f"/images/{global_id}.png"
        data = image_of(number % 5, self._random)
        if number % 7 == 3:
            self.broken.add(global_id)
            spoilt = {0: None, 1: data[:60], 2: b"<html>sorry</html>"}[number % 3]
            if spoilt is not None:
                self._services.images[path] = spoilt
        else:
            self.fetchable.add(global_id)
            self._services.images[path] = data
        return f"{self._services.url}{path}"

    def _reddit(self) -> None:
        for name, start in (("memes", 100), ("dankmemes", 200)):
            posts = [reddit_post(n, self.image(f"p{n}-reddit", n) + "?a=1&amp;b=2") for n in range(start, start + 18)]
            links = [self.image(f"p{start + 18}_{n}-reddit", n) for n in range(1, 12)]
            posts.append(reddit_gallery(start + 18, [*links, None]))
            posts.append(reddit_post(start + 19, "https://v.redd.it/x"))
            posts.append(reddit_post(start + 20, is_self=True))
            posts.append(reddit_post(start + 21, removed_by_category="moderator"))
            self.skipped += Counter(removed=2, video=1, text=1)
            self._services.reddit[name] = posts[::-1]

    def _imgur(self) -> None:
        entries = [imgur_image(n, self.image(f"i{n}-imgur", n)) for n in range(20)]
        links = [self.image(f"i20_{n}-imgur", n) for n in range(1, 8)]
        entries.append(imgur_album(20, links))
        self._services.albums["i20"] = album_images(20, links)
        entries.append(imgur_image(21, type="video/mp4"))
        self.skipped += Counter(video=1)
        self._services.imgur["gallery/hot/time/day"] = entries[::-1]

    def _tumblr(self) -> None:
        for name, start in (("someblog", 300), ("tag/memes", 400)):
            ids = range(start, start + 12)
            posts = [tumblr_post(n, [self.image(f"{7_000_000 + n}-tumblr", n)]) for n in ids]
            posts.append(tumblr_post(start + 12, []))
            self.skipped += Counter(text=1)
            self._services.tumblr[name] = posts[::-1]

    @property
    def ids(self) -> set[str]:
        return self.fetchable | self.broken


def expire(services: Services) -> Callable[[], None]:
    def expired() -> None:
        services.tokens += 1

    return expired


def spoil(services: Services) -> None:
    """Something of everything that goes wrong, between answers that are right."""
    right = [Fault(first=lambda: None)] * 2
    for fault in (
        Fault(429, headers={"Retry-After": "1"}),
        Fault(500, b"<html>oops</html>"),
        Fault(200, b'{"data": {"children": [{"kind": "t3", "da'),
        Fault(half=True),
        Fault(drop=True),
        Fault(first=expire(services)),
        Fault(503),
    ):
        services.faults.extend([*right, fault])


def test_from_the_services_over_a_topic_into_the_store(
    mock_broker: MockBroker, services: Services, tmp_path: Path
) -> None:
    check_end_to_end(mock_broker, services, tmp_path)


@pytest.mark.slow
def test_the_same_over_a_real_broker(real_broker: RealBroker, services: Services, tmp_path: Path) -> None:
    check_end_to_end(real_broker, services, tmp_path)


def check_end_to_end(broker: Broker, services: Services, tmp_path: Path) -> None:
    world = World(services)
    topic = create_topic(broker, 3, "posts")
    spoil(services)
    running = [
        Ingest(services, tmp_path / service, f"kafka://{broker.bootstrap}/{topic}").start(
            service, *names, poll_pages=99, read_batch=8
        )
        for service, names in NAMES.items()
    ]
    for run in running:
        run.end()
    assert not services.faults
    assert sum(run.summary["posts"] for run in running) == len(world.ids)
    skipped = sum((Counter(run.summary["skipped"]) for run in running), Counter[str]())
    assert skipped == world.skipped
    messages = [orjson.loads(message.value or b"") for message in read_topic(broker, topic)]
    assert sorted(message["global_id"] for message in messages) == sorted(world.ids)

    flow = Flow(tmp_path / "flow", f"kafka://{broker.bootstrap}/{topic}", to_store=True, **LOCAL)
    flow.worker().end()
    rows = flow.stored()
    assert rows.keys() == flow.rows().keys() == world.ids
    whole = {global_id for global_id, row in rows.items() if not row["failures"]}
    assert whole == world.fetchable
    assert all(rows[global_id]["cluster"] == -1 for global_id in world.broken)
    assert {orjson.loads(letter)["global_id"] for letter in flow.dead_letters()} == world.broken
    assert len(flow.dead_letters()) == len(world.broken)


def test_straight_into_the_flow_killed_and_gone_on(services: Services, tmp_path: Path) -> None:
    world = World(services)
    ids = {it for it in world.ids if it.endswith("reddit")}
    settings = {**services.variables(), **LOCAL, "poll_pages": 99}
    flow = Flow(tmp_path, "reddit:memes+dankmemes", seconds=0.02, **settings)
    first = flow.worker()
    first.until(lambda: flow.lines() >= 12)
    first.kill()
    flow.worker().end()
    rows = flow.rows()
    assert rows.keys() == ids
    assert {it for it, row in rows.items() if not row["failures"]} == ids & world.fetchable
    again = flow.worker()
    again.end()
    assert again.counts().posts == 0


def test_killed_again_and_again_the_file_has_each_post_once(services: Services, tmp_path: Path) -> None:
    broker = MockBroker()
    topic = create_topic(broker)
    command = Ingest(services, tmp_path, f"kafka://{broker.bootstrap}/{topic}")
    services.reddit["memes"] = [reddit_post(n) for n in range(60, 0, -1)]
    for requests in (2, 12):
        services.faults.extend([Fault(first=lambda: None)] * requests)
        running: list[Running] = []
        services.faults.append(Fault(first=lambda running=running: kill(running[0])))
        running.append(command.start("reddit", "memes", poll_pages=99))
        code, _ = running[0].result()
        assert code != 0
        services.faults.clear()
        newest = len(services.reddit["memes"]) + 1
        services.reddit["memes"][:0] = [reddit_post(n) for n in range(newest + 4, newest - 1, -1)]
    command.start("reddit", "memes", poll_pages=99).end()
    expected = sorted(f"p{n}-reddit" for n in range(1, 71))
    assert sorted(command.lines()) == expected
    sent = [orjson.loads(message.value or b"")["global_id"] for message in read_topic(broker, topic)]
    assert sorted(set(sent)) == expected
    broker.stop()


def kill(run: Running) -> None:
    """The command and its worker at once, as a machine that dies."""
    processes = [*psutil.Process(run.process.pid).children(), psutil.Process(run.process.pid)]
    for process in processes:
        process.kill()


def test_a_followed_service_is_left_when_asked_and_gone_on_with(services: Services, tmp_path: Path) -> None:
    command = Ingest(services, tmp_path)
    services.reddit["memes"] = [reddit_post(n) for n in range(3, 0, -1)]
    run = command.start("reddit", "memes", "--follow", poll_interval_seconds=1)
    run.until(lambda: len(command.lines()) == 3)
    services.faults.extend(Fault(500) for _ in range(8))  # more than a run that is not followed would bear
    services.reddit["memes"].insert(0, reddit_post(4))
    run.until(lambda: len(command.lines()) == 4)
    said = run.drain()
    assert "retrying" in said
    assert run.summary["posts"] == 4
    (status,) = read_status(tmp_path / "posts.state" / FOLDER).flows
    assert (status.flow, status.state, status.counts.posts) == ("ingest", "ended", 4)
    assert status.processes[0].sources == ("reddit:memes",)
    services.reddit["memes"].insert(0, reddit_post(5))
    last = command.start("reddit", "memes")
    last.end()
    assert last.summary["posts"] == 1
    assert command.lines() == [f"p{n}-reddit" for n in range(1, 6)]


def in_process(services: Services, folder: Path, source: str, emissions: int | None = None) -> None:
    """The flow in this process, an epoch for each emission; it crashes after so many of them."""
    folder.mkdir(exist_ok=True)
    sinks = {"to": (str(folder / "posts.jsonl"),), "poll_pages": 99, "read_batch": 4}
    prepare_recovery(folder / "recovery")
    with crash_at(SOURCE, emissions or 10**9, done=False), suppress(BytewaxRuntimeError, CrashError):
        run_main(
            ingest(services.settings(source=source, **sinks)),
            epoch_interval=timedelta(0),
            recovery_config=RecoveryConfig(folder / "recovery", timedelta(0)),
        )


def test_a_crash_at_any_emission_changes_nothing(services: Services, tmp_path: Path) -> None:
    services.page = 4
    services.reddit["memes"] = [reddit_post(n) for n in range(14, 0, -1)]
    services.imgur["gallery/hot/time/day"] = [imgur_image(n) for n in range(9, 0, -1)]
    for emissions in range(1, 5):
        folder = tmp_path / str(emissions)
        for source, sign, count in (("reddit:memes", "p", 14), ("imgur:hot", "i", 9)):
            in_process(services, folder, source, emissions)
            in_process(services, folder, source)
            found = [it for it in ids_in(folder / "posts.jsonl") if it.startswith(sign)]
            assert sorted(found) == sorted(f"{sign}{n}-{source.partition(':')[0]}" for n in range(1, count + 1))


def test_what_was_seen_of_a_name_outlives_runs_without_it(services: Services, tmp_path: Path) -> None:
    for name, start in (("memes", 1), ("dankmemes", 10)):
        services.reddit[name] = [reddit_post(n) for n in range(start + 2, start - 1, -1)]
    services.tumblr["someblog"] = [tumblr_post(1, ["https://x/1.png"])]
    for source in ("reddit:memes", "reddit:dankmemes", "tumblr:someblog", "reddit:memes"):
        in_process(services, tmp_path, source)
    assert sorted(ids_in(tmp_path / "posts.jsonl")) == sorted(
        [*(f"p{n}-reddit" for n in (1, 2, 3, 10, 11, 12)), "7000001-tumblr"]
    )


@pytest.mark.parametrize(
    ("names", "settings", "code", "said"),
    [
        (["reddit", "nothing"], {}, 3, "memewax: reddit has no r/nothing/new (HTTP 404, banned): check the name"),
        (
            ["imgur", "hot"],
            {"imgur_client_id": ""},
            2,
            "memewax: imgur needs credentials: set MEMEWAX_IMGUR_CLIENT_ID",
        ),
    ],
)
def test_what_cannot_be_is_one_line(
    names: list[str], settings: dict[str, str], code: int, said: str, services: Services, tmp_path: Path
) -> None:
    ended, told = Ingest(services, tmp_path).start(*names, **settings).result()
    assert ended == code
    assert told.startswith(said)
    assert told.count("\n") == 1
