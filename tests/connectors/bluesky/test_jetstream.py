"""Reading Jetstream through whatever happens to it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from websockets.exceptions import InvalidStatus

from connectors.bluesky.bluesky_frames import Filters
from connectors.bluesky.jetstream import Jetstream, Stream, _opened
from connectors.endpoints import POSTS_FROM, endpoint
from connectors.services.clock import StoppedError
from connectors.sources.source import Position, Unit
from core.errors import SettingsError, WorldError
from core.telemetry import STREAM_GAP_SECONDS, STREAM_GAPS
from dataflows.all_settings import Settings
from tests.jetstream import START, FakeJetstream, Json, commit, images, jetstream


@dataclass
class Clock:
    """The time of the frames; waits are short."""

    stop: threading.Event
    waits: list[float]
    started: float

    def now(self) -> float:
        return START / 1e6 + 10_000 + time.monotonic() - self.started

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.waits.append(seconds)
        if self.stop.wait(min(seconds, 0.001)):
            raise StoppedError


@pytest.fixture
def server() -> Iterator[FakeJetstream]:
    with jetstream() as fake:
        yield fake


@pytest.fixture
def clock() -> Clock:
    return Clock(threading.Event(), [], time.monotonic())


def stream(server: FakeJetstream, **changed: Any) -> Stream:
    usual = {
        "urls": (server.url,), "cdn": "https://cdn", "filters": Filters(), "batch": 5, "follow": True, "attempts": 0,
        "backoff": 0.5, "timeout": 2.0,
    }  # fmt: skip
    return Stream(**usual | changed)


def read(source: Jetstream, count: int) -> list[Unit]:
    """Units until so many posts have come."""
    units: list[Unit] = []
    for unit in source.units():
        units.append(unit)
        if sum(len(it.messages) for it in units) >= count:
            return units
    return units


def ids(units: Sequence[Unit]) -> list[int]:
    bodies = [orjson.loads(message.value) for unit in units for message in unit.messages]
    found = [body["global_id"] for body in bodies if "global_id" in body]
    return [int(it.partition("/p")[2].partition("-")[0]) for it in found]


def started(at: float) -> Position:
    """Where a run was left that has read up to a time."""
    return {"version": 1, "time_us": START + int(at * 1e6), "seen": b""}


def test_it_begins_with_what_comes_now_and_asks_for_posts_only(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n) for n in range(12)]
    units = read(Jetstream(stream(server, filters=Filters(dids=frozenset({"did:plc:a"}))), clock), 12)
    assert ids(units) == list(range(12))
    assert server.asked == [{"wantedCollections": ["app.bsky.feed.post"], "wantedDids": ["did:plc:a"]}]
    assert units[-1].resume["time_us"] == START + 11_000_000


def test_many_accounts_are_named_when_the_connection_is_there(server: FakeJetstream, clock: Clock) -> None:
    dids = frozenset(f"did:plc:{n}" for n in range(1000))
    server.frames = [commit(1, did="did:plc:7"), commit(2, did="did:plc:other"), commit(3, did="did:plc:8")]
    units = Jetstream(stream(server, filters=Filters(dids=dids)), clock).units()
    assert ids([next(units)]) == [1, 3]
    assert "wantedDids" not in server.asked[0]
    until = time.monotonic() + 5
    while not server.told and time.monotonic() < until:
        time.sleep(0.01)
    assert set(orjson.loads(server.told[0])["payload"]["wantedDids"]) == dids


def test_units_say_when_their_posts_were_posted(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n) for n in range(5)]
    (unit,) = read(Jetstream(stream(server), clock, started(0)), 5)
    assert unit.live == ("bluesky", START / 1e6 + 4, False)


FAULTS: dict[str, Callable[[Sequence[Json]], Sequence[Json | str | bytes]]] = {
    "drops": lambda kept: kept[:7],
    "duplicates": lambda kept: [it for frame in kept[:30] for it in (frame, frame)],
    "reorders": lambda kept: [*reversed(kept[:20])],
    "sends garbage": lambda kept: ["{", b"\xff\x00", "null", *kept[:9], '{"did":"a","time_us":1', "x" * 100_000],
    "gives nothing": lambda _: [],
}


@pytest.mark.parametrize(
    "faults", [[name] * 3 for name in FAULTS] + [list(FAULTS), list(reversed(FAULTS))], ids="-".join
)
def test_nothing_is_lost_or_doubled_whatever_a_server_does(
    faults: list[str], server: FakeJetstream, clock: Clock
) -> None:
    server.frames = [commit(n) for n in range(100)]
    server.plays = [FAULTS[name] for name in faults]
    units = read(Jetstream(stream(server), clock, started(0)), 100)
    assert sorted(ids(units)) == list(range(100))
    assert len(server.asked) == len(faults) + 1
    assert len(clock.waits) == len(faults)


def test_a_time_that_has_not_come_is_not_gone_on_from(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n) for n in range(20)]
    server.plays = [lambda kept: [*kept[:5], commit(99, seconds=1e9), {**commit(98), "time_us": 2**53}, *kept[5:9]]]
    units = read(Jetstream(stream(server), clock, started(0)), 20)
    assert sorted(ids(units)) == list(range(20))
    assert int(server.asked[-1]["cursor"][0]) <= START + 20 * 1_000_000


def test_after_any_unit_exactly_the_rest_comes(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n, seconds=n / 2) for n in range(30)]
    whole = read(Jetstream(stream(server), clock), 30)
    for place, unit in enumerate(whole[:-1]):
        rest = read(
            Jetstream(stream(server), clock, unit.resume), 30 - sum(len(it.messages) for it in whole[: place + 1])
        )
        assert ids(rest) == ids(whole[place + 1 :])
    assert {query["cursor"][0] for query in server.asked[1:]} == {
        str(unit.resume["time_us"] - 60_000_000) for unit in whole[:-1]
    }


def test_another_server_with_another_clock_gives_nothing_twice(server: FakeJetstream, clock: Clock) -> None:
    with jetstream() as other:
        server.frames = [commit(n) for n in range(50)]
        server.plays = [lambda kept: kept[:40]] * 3
        other.frames = [commit(n, seconds=n - 20) for n in range(70)]
        units = read(Jetstream(stream(server, urls=(server.url, other.url)), clock, started(0)), 70)
        assert ids(units) == list(range(70))
        assert len(server.asked) == len(other.asked) == 1


def test_a_cursor_that_the_server_moved_up_is_a_gap_that_is_told(
    server: FakeJetstream, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    gaps, seconds = STREAM_GAPS.labels("bluesky"), STREAM_GAP_SECONDS.labels("bluesky")
    before = gaps._value.get(), seconds._value.get()
    server.frames = [commit(n) for n in range(5000, 5005)]
    units = read(Jetstream(stream(server), clock, started(1000)), 5)
    assert ids(units) == list(range(5000, 5005))
    assert (gaps._value.get() - before[0], seconds._value.get() - before[1]) == (1, 4000)
    assert "gap in the stream" in capsys.readouterr().out
    read(Jetstream(stream(server), clock, units[-1].resume | {"seen": b""}), 1)
    assert gaps._value.get() - before[0] == 1


def test_a_post_whose_delete_came_first_is_not_handed_on(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [
        commit(1),
        commit(2, "delete", seconds=2),
        commit(2, seconds=3),
        commit(4),
        commit(2, "delete", seconds=5),
    ]
    units = read(Jetstream(stream(server), clock), 3)
    assert ids(units) == [1, 4]
    bodies = [orjson.loads(message.value) for unit in units for message in unit.messages]
    assert [it["post_id"] for it in bodies if it.get("deleted")] == ["did:plc:a/p2-bluesky"]  # once, and in its place
    assert bodies[1]["deleted"]


def test_a_post_whose_edit_came_first_is_not_handed_on(server: FakeJetstream, clock: Clock) -> None:
    several = {"embed": images("bafk1", "bafk2")}
    edit = [commit(1, "update", seconds=20), *(commit(n, seconds=20 + n) for n in range(2, 10))]
    server.frames = [commit(1, **several), *edit, commit(50)]
    server.plays = [lambda _: edit]  # the connection begins between the two, the next one overlaps
    units = read(Jetstream(stream(server), clock), 11)
    assert ids(units) == [*range(1, 10), 50]


def revised(frame: dict[str, Any], revision: str) -> dict[str, Any]:
    return frame | {"commit": frame["commit"] | {"rev": revision}}


def image_ids(units: list[Unit]) -> list[str]:
    return [orjson.loads(it.value).get("cid", "gone") for unit in units for it in unit.messages]


def test_of_edits_in_the_wrong_order_the_later_one_stays_also_after_a_restart(
    server: FakeJetstream, clock: Clock
) -> None:
    first, second, third = (
        revised(commit(1, "update", seconds=20 - n, embed=images(f"bafk{n}")), f"r{n}") for n in range(3)
    )
    server.frames = [third, second]
    units = read(Jetstream(stream(server), clock), 1)
    assert image_ids(units) == ["gone", "bafk2"]
    server.frames = [first, commit(30)]
    assert image_ids(read(Jetstream(stream(server), clock, units[-1].resume), 1)) == ["bafk30"]


def test_an_edit_that_brings_back_what_was_there_is_an_edit(server: FakeJetstream, clock: Clock) -> None:
    made = [commit(1, "update" if n else "create", seconds=n, embed=images(f"bafk{n % 2}")) for n in range(5)]
    for n, frame in enumerate(made):
        frame["commit"] |= {"rev": f"r{n}", "cid": f"c{n % 2}"}
    server.frames = made
    found = image_ids(read(Jetstream(stream(server), clock), 5))
    assert [it for it in found if it != "gone"] == ["bafk0", "bafk1", "bafk0", "bafk1", "bafk0"]


def test_a_post_that_is_written_anew_after_its_delete_comes(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(1), revised(commit(1, "delete", seconds=2), "r2"), revised(commit(1, seconds=3), "r3")]
    assert image_ids(read(Jetstream(stream(server), clock), 2)) == ["bafk1", "gone", "bafk1"]


def test_deletes_do_not_make_units_of_posts_smaller(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n, *(["delete"] if n % 3 else [])) for n in range(60)]
    units = read(Jetstream(stream(server), clock, started(0)), 60)
    assert len(ids(units[:1])) == 5


def test_what_is_known_is_forgotten_in_time(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n, seconds=n / 10) for n in range(4000)]
    units = read(Jetstream(stream(server, batch=100), clock), 4000)
    assert len(units[-1].resume["seen"]) == 16 * 1201
    assert len(ids(units)) == 4000


def test_a_burst_and_a_slow_reader_lose_nothing(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n, seconds=n / 400) for n in range(5000)]
    found = []
    for unit in Jetstream(stream(server, batch=50), clock).units():
        found += ids([unit])
        if len(found) % 1000 == 0:
            time.sleep(0.05)
        if len(found) >= 5000:
            break
    assert found == list(range(5000))


def test_where_nobody_answers_it_waits_longer_and_longer_or_ends(server: FakeJetstream, clock: Clock) -> None:
    refused = stream(server, urls=("ws://127.0.0.1:1/subscribe",), attempts=5)
    with pytest.raises(WorldError, match=r"no server responds, the last was 127\.0\.0\.1:1"):
        read(Jetstream(refused, clock), 1)
    assert [wait / 2**n for n, wait in enumerate(clock.waits)] == pytest.approx([0.625] * 4, abs=0.126)


def test_without_following_it_ends_when_it_has_come_to_now(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n, seconds=n * 2000) for n in range(9)]
    assert ids(read(Jetstream(stream(server, follow=False), clock, started(0)), 99)) == list(range(7))


def test_it_ends_where_it_is_told_to(server: FakeJetstream, clock: Clock) -> None:
    units = Jetstream(stream(server), clock).units()
    clock.stop.set()
    with pytest.raises(StoppedError):
        next(units)


def test_the_source_of_an_address_reads_it(server: FakeJetstream) -> None:
    server.frames = [commit(n, langs=["de" if n % 2 else "en"]) for n in range(10)]
    settings = Settings(source=(f"bluesky:?lang=de&url={server.url}&cdn=http://127.0.0.1:9/",))
    found = endpoint(settings.source[0], POSTS_FROM)
    assert found.image_hosts == ("127.0.0.1",)
    source = found.source(settings.options_of(found), settings)
    assert source.parts() == ["bluesky:lang=de#0"]
    reader = source.open(source.parts()[0], None)
    units: list[Unit] = []
    until = time.monotonic() + 10
    while len(ids(units)) < 5 and time.monotonic() < until:
        units += [unit] if (unit := reader.read()) else []
    assert ids(units) == [1, 3, 5, 7, 9]
    assert not reader.ended
    reader.close()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("bluesky:memes", "after a question mark"),
        ("bluesky:?langs=en", "is not an option; expected one of lang, tag"),
        ("bluesky:?lang=", "is not an option"),
        ("bluesky:?did=bob.bsky.social", "the DID of an account"),
        ("bluesky:?url=http://h/x", "ws://"),
        ("bluesky:?cdn=h", "http://"),
    ],
)
def test_what_is_no_address_of_it_is_told(address: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        endpoint(address, POSTS_FROM)


def test_a_message_says_what_bluesky_calls_the_image(server: FakeJetstream, clock: Clock) -> None:
    server.frames = [commit(n) for n in range(3)]
    (unit,) = read(Jetstream(stream(server), clock, started(0)), 3)
    assert [it.content for it in unit.messages] == [f"bluesky:{orjson.loads(it.value)['cid']}" for it in unit.messages]


def test_a_server_leads_to_no_other(server: FakeJetstream) -> None:
    """That the user did not name."""

    class Elsewhere(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", server.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        with pytest.raises(InvalidStatus, match="302"):
            _opened(f"ws://127.0.0.1:{http.server_port}/subscribe", 2.0)
        http.shutdown()
