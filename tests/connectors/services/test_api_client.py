"""Asking services that fail, that are busy and that refuse: played by a server on this machine."""

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from prometheus_client import REGISTRY

from connectors.services.api_client import RetryPolicy
from connectors.services.listing import Listing
from connectors.services.polling_cycles import PollingCycles, PollingOptions
from connectors.services.polling_source import PollingSource
from connectors.sources.source import Position
from core.errors import SettingsError, WorldError
from tests.connectors.services.conftest import HandClock
from tests.services import (
    CLIENT_ID,
    KEY,
    SECRET,
    Fault,
    Services,
    album_images,
    imgur_album,
    imgur_image,
    polled,
    reddit_post,
    tumblr_post,
)

MANNERS: Final = RetryPolicy(seconds=0.3, attempts=4, backoff=1.0, patience=1000)
POLLING: Final = PollingOptions(batch=8, pages=9, most_pages=50, seen=1000, follow=False, interval=60)
ADDRESSES: Final = {"reddit": "reddit:memes", "imgur": "imgur:hot", "tumblr": "tumblr:someblog"}
each = pytest.mark.parametrize("service", ADDRESSES)


def fill(services: Services, count: int = 8) -> None:
    """Posts of all three, newest first."""
    numbers = range(count, 0, -1)
    services.reddit["memes"] = [reddit_post(n) for n in numbers]
    services.imgur["gallery/hot/time/day"] = [imgur_image(n) for n in numbers]
    services.tumblr["someblog"] = [tumblr_post(n, [f"https://x/{n}.png"]) for n in numbers]


def listing(services: Services, address: str, clock: HandClock, retry_policy: RetryPolicy = MANNERS) -> Listing:
    """As the settings open it."""
    return opened(polled(address, services.settings()), address.partition(":")[2], clock, retry_policy)


_closing = ExitStack()


def opened(source: PollingSource, name: str, clock: HandClock, retry_policy: RetryPolicy = MANNERS) -> Listing:
    """A listing whose connections are closed after the test."""
    found, close = source._opening(name, clock, retry_policy)
    _closing.callback(close)
    return found


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    _closing.close()


def run(
    services: Services,
    address: str,
    clock: HandClock,
    polling: PollingOptions = POLLING,
    resume: Position | None = None,
    retry_policy: RetryPolicy = MANNERS,
) -> tuple[list[str], Position]:
    """One run: ids in their order, and the position after it."""
    units = list(
        PollingCycles(listing(services, address, clock, retry_policy), address, polling, clock, resume).units()
    )
    found = [orjson.loads(message.value)["global_id"] for unit in units for message in unit.messages]
    return found, units[-1].resume


def ids(service: str, count: int = 8) -> list[str]:
    form = {"reddit": "p{}-reddit", "imgur": "i{}-imgur", "tumblr": "700000{}-tumblr"}[service]
    return sorted(form.format(number) for number in range(1, count + 1))


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@each
def test_all_pages_are_read(service: str, services: Services, clock: HandClock) -> None:
    fill(services)
    found, _ = run(services, ADDRESSES[service], clock)
    assert sorted(found) == ids(service)
    assert clock.waits == []


@each
def test_the_next_run_asks_for_what_is_new(service: str, services: Services, clock: HandClock) -> None:
    fill(services)
    _, position = run(services, ADDRESSES[service], clock)
    fill(services, 9)
    services.asked.clear()
    found, _ = run(services, ADDRESSES[service], clock, replace(POLLING, pages=0), position)
    assert found == [it for it in ids(service, 9) if it not in ids(service)]
    assert len(services.asked) <= 3


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("reddit:memes", "/reddit/r/memes/new"),
        ("reddit:u/some-body", "/reddit/user/some-body/submitted"),
        ("imgur:hot", "/imgur/3/gallery/hot/time/day/0"),
        ("imgur:new", "/imgur/3/gallery/user/time/day/0"),
        ("imgur:r/memes", "/imgur/3/gallery/r/memes/time/0"),
        ("imgur:user/some one", "/imgur/3/account/some%20one/submissions/0"),
        ("imgur:tag/cats", "/imgur/3/gallery/t/cats/time/day/0"),
        ("tumblr:someblog", "/tumblr/v2/blog/someblog/posts"),
        ("tumblr:tag/funny cats", "/tumblr/v2/tagged"),
        ("tumblr:../../user/info", "/tumblr/v2/blog/..%2F..%2Fuser%2Finfo/posts"),
    ],
)
def test_where_names_lead(address: str, path: str, services: Services, clock: HandClock) -> None:
    with pytest.raises(WorldError, match="has no"):
        run(services, address, clock)
    assert services.paths() == [path]


def test_a_tag_of_tumblr(services: Services, clock: HandClock) -> None:
    services.tumblr["tag/funny cats"] = [tumblr_post(n, ["https://x/1.png"]) for n in range(8, 0, -1)]
    assert sorted(run(services, "tumblr:tag/funny cats", clock)[0]) == ids("tumblr")


def test_posts_of_one_second_are_not_cut_off_by_a_page(services: Services, clock: HandClock) -> None:
    at = {number: 1_700_000_000 + number // 3 for number in range(1, 9)}
    services.tumblr["someblog"] = [tumblr_post(n, ["https://x/1.png"], timestamp=at[n]) for n in range(8, 0, -1)]
    services.page = 4
    assert sorted(run(services, "tumblr:someblog", clock)[0]) == ids("tumblr")


def test_an_album_of_which_a_part_is_listed_is_asked_for(services: Services, clock: HandClock) -> None:
    links = [f"https://x/{number}.png" for number in range(5)]
    services.imgur["gallery/hot/time/day"] = [imgur_album(1, links), imgur_album(2, links), imgur_album(3, links[:2])]
    services.albums["i1"] = album_images(1, links)  # the second has been removed since
    found, _ = run(services, "imgur:hot", clock)
    assert sorted(found) == [*(f"i1_{n}-imgur" for n in range(1, 6)), "i3_1-imgur", "i3_2-imgur"]


# Faults

FAULTS: Final[dict[str, Callable[[], Fault]]] = {
    "busy": lambda: Fault(429, headers={"Retry-After": "7"}),
    "broken": lambda: Fault(500, b"<html>oops</html>"),
    "no JSON": lambda: Fault(200, b'{"data": [{"id": "x'),
    "no list": lambda: Fault(200, b'{"data": 7, "response": 7}'),
    "no success": lambda: Fault(200, b'{"data": {}, "success": false, "status": 200}'),
    "stalled": lambda: Fault(half=True),
    "hung up": lambda: Fault(drop=True),
}


@pytest.mark.parametrize(
    ("service", "fault"),
    [(service, fault) for service in ADDRESSES for fault in FAULTS if service == "imgur" or fault != "no success"],
)
def test_what_passes_is_asked_again_and_nothing_is_lost(
    fault: str, service: str, services: Services, clock: HandClock
) -> None:
    fill(services)
    services.faults.extend([Fault(first=lambda: None), FAULTS[fault](), FAULTS[fault]()])
    found, _ = run(services, ADDRESSES[service], clock)
    assert sorted(found) == ids(service)
    backed_off = [wait for wait in clock.waits if wait != 7]
    assert len(backed_off) >= 2
    if fault == "busy":
        assert clock.time >= 1_700_000_000 + 14


def test_waits_grow_and_are_not_all_alike(services: Services) -> None:
    fill(services)
    every = []
    for _ in range(4):
        clock = HandClock()
        services.faults.extend(FAULTS["broken"]() for _ in range(3))
        run(services, "reddit:memes", clock)
        assert len(clock.waits) == 3
        assert all(2**n <= wait <= 2**n + 2 for n, wait in enumerate(clock.waits))
        every += clock.waits
    assert len(set(every)) == len(every)


def test_what_does_not_pass_ends_the_run_which_goes_on_later(services: Services, clock: HandClock) -> None:
    fill(services)
    came: list[str] = []
    services.faults.extend([Fault(first=lambda: None), *(FAULTS["broken"]() for _ in range(4))])
    units = PollingCycles(listing(services, "reddit:memes", clock), "reddit:memes", POLLING, clock).units()
    first = next(units)
    with pytest.raises(WorldError, match=r"4 times in a row: HTTP 500; run the same command again"):
        next(units)
    came += [orjson.loads(message.value)["global_id"] for message in first.messages]
    came += run(services, "reddit:memes", clock, replace(POLLING, pages=0), first.resume)[0]
    assert sorted(came) == ids("reddit")


def test_who_follows_never_gives_up(services: Services, clock: HandClock) -> None:
    fill(services)
    services.faults.extend(FAULTS["broken"]() for _ in range(20))
    found, _ = run(services, "reddit:memes", clock, retry_policy=replace(MANNERS, attempts=0))
    assert sorted(found) == ids("reddit")
    assert max(clock.waits) <= 122


def test_posts_that_move_while_pages_are_asked_for_come_once(services: Services, clock: HandClock) -> None:
    fill(services)
    entries = services.imgur["gallery/hot/time/day"]
    services.faults.extend([
        Fault(first=lambda: None),
        Fault(first=lambda: entries.insert(0, imgur_image(9))),
        Fault(first=lambda: (entries.remove(entries[0]), entries.remove(entries[0]), None)[-1]),
    ])  # fmt: skip
    found, position = run(services, "imgur:hot", clock)
    assert len(found) == len(set(found))
    assert set(found) >= set(ids("imgur")[:-1])
    assert run(services, "imgur:hot", clock, resume=position)[0] == []


def test_a_token_is_renewed_before_its_end_and_when_it_is_refused(services: Services, clock: HandClock) -> None:
    fill(services)
    services.expires_in = 600

    def expire() -> None:
        services.tokens += 1  # the one that was given is no longer the last

    services.faults.append(Fault(first=lambda: None))
    services.faults.append(Fault(first=expire))
    assert sorted(run(services, "reddit:memes", clock)[0]) == ids("reddit")
    assert services.tokens == 3
    feed = listing(services, "reddit:memes", clock)
    feed.page(None)
    clock.time += 500
    feed.page(None)
    assert services.tokens == 4
    assert {asked.headers["authorization"] for asked in services.asked[-2:]} == {"bearer token-4"}


def test_what_has_not_changed_is_not_sent_again(services: Services, clock: HandClock) -> None:
    fill(services, 2)
    units = PollingCycles(
        listing(services, "imgur:hot", clock), "imgur:hot", replace(POLLING, follow=True, pages=0), clock
    ).units()
    before = counted("memewax_service_requests_total", service="imgur", outcome="unchanged")
    messages = [len(unit.messages) for unit in itertools.islice(units, 3)]
    assert messages == [2, 0, 0]
    assert counted("memewax_service_requests_total", service="imgur", outcome="unchanged") == before + 1
    services.imgur["gallery/hot/time/day"].insert(0, imgur_image(3))
    assert len(next(units).messages) == 1


# Pace


@pytest.mark.parametrize(
    ("service", "headers", "wait"),
    [
        ("reddit", {"X-Ratelimit-Remaining": "0.0", "X-Ratelimit-Used": "100", "X-Ratelimit-Reset": "35"}, 35),
        ("reddit", {"X-Ratelimit-Remaining": "1.0", "X-Ratelimit-Reset": "35"}, 0),
        ("imgur", {"X-RateLimit-UserRemaining": "0", "X-RateLimit-UserReset": "1700000090"}, 90),
        ("imgur", {"X-RateLimit-UserRemaining": "9", "X-RateLimit-ClientRemaining": "0"}, 3600),
        ("tumblr", {"X-Ratelimit-Perhour-Remaining": "0", "X-Ratelimit-Perhour-Reset": "44"}, 44),
        ("tumblr", {"X-Ratelimit-Perday-Remaining": "0", "X-Ratelimit-Perday-Reset": "200"}, 200),
        ("tumblr", {"X-Ratelimit-Perday-Remaining": "many", "X-Ratelimit-Perday-Reset": "nan"}, 0),
        ("tumblr", {"Retry-After": "12"}, 12),
        ("tumblr", {"Retry-After": "1.5"}, 1.5),
    ],
)
def test_the_next_request_waits_as_the_headers_say(
    service: str, headers: dict[str, str], wait: float, services: Services, clock: HandClock
) -> None:
    fill(services)
    feed = listing(services, ADDRESSES[service], clock, replace(MANNERS, patience=4000))
    services.headers = headers
    feed.page(None)
    services.headers = {}
    feed.page(None)
    assert sum(clock.waits) == wait


def test_readers_of_one_service_share_its_pace(services: Services, clock: HandClock) -> None:
    fill(services)
    services.reddit["dankmemes"] = services.reddit["memes"]
    source = polled("reddit:memes+dankmemes", services.settings())
    one, other = (opened(source, name, clock) for name in ("memes", "dankmemes"))
    services.headers = {"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "35"}
    one.page(None)
    services.headers = {}
    other.page(None)
    assert clock.waits == [35]
    assert services.tokens == 1


def test_a_run_that_nobody_follows_does_not_wait_for_ever(services: Services, clock: HandClock) -> None:
    fill(services)
    services.headers = {"X-Ratelimit-Perday-Remaining": "0", "X-Ratelimit-Perday-Reset": "40000"}
    with pytest.raises(WorldError, match=r"asks to wait 40,000 s.*MEMEWAX_POLL_PATIENCE_SECONDS"):
        run(services, "tumblr:someblog", clock)
    assert clock.waits == []


# Refusals


@pytest.mark.parametrize(
    ("address", "status", "body", "said"),
    [
        ("reddit:memes", 403, b'{"reason": "private"}', "reddit does not show r/memes/new (HTTP 403, private)"),
        ("reddit:memes", 302, b"", "reddit has no r/memes/new (HTTP 302): check the name"),
        ("imgur:hot", 401, b"{}", "imgur rejects the credentials (HTTP 401): check MEMEWAX_IMGUR_CLIENT_ID"),
        ("tumblr:someblog", 401, b'{"meta": {"msg": "Unauthorized"}}', "check MEMEWAX_TUMBLR_API_KEY"),
        ("tumblr:someblog", 410, b"{}", "tumblr has ended blog/someblog/posts (HTTP 410)"),
        ("tumblr:someblog", 418, b"{}", "tumblr refuses to answer for blog/someblog/posts (HTTP 418)"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    address: str, status: int, body: bytes, said: str, services: Services, clock: HandClock
) -> None:
    services.faults.append(Fault(status, body))
    with pytest.raises(WorldError) as caught:
        run(services, address, clock)
    assert said in str(caught.value)
    assert caught.value.exit_code == 3
    assert clock.waits == []


def test_reddit_that_knows_no_such_application(services: Services, clock: HandClock) -> None:
    fill(services)
    source = polled("reddit:memes", services.settings(reddit_client_secret="wrong"))
    feed = opened(source, "memes", clock)
    with pytest.raises(WorldError, match=r"no token.*MEMEWAX_REDDIT_CLIENT_ID and MEMEWAX_REDDIT_CLIENT_SECRET"):
        feed.page(None)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("reddit:memes", "MEMEWAX_REDDIT_CLIENT_ID and MEMEWAX_REDDIT_CLIENT_SECRET.*reddit.com/prefs/apps"),
        ("imgur:hot", r"MEMEWAX_IMGUR_CLIENT_ID.*api\.imgur\.com"),
        ("tumblr:someblog", r"MEMEWAX_TUMBLR_API_KEY.*tumblr\.com/oauth/apps"),
    ],
)
def test_without_a_key_it_says_which_and_from_where(address: str, named: str, services: Services) -> None:
    empty = {name: "" for name in services.variables() if not name.endswith("url")}
    with pytest.raises(SettingsError, match=named):
        polled(address, services.settings(**empty))


@pytest.mark.parametrize("address", ["reddit:", "imgur:nonsense", "imgur:r/", "tumblr:+"])
def test_a_name_that_can_be_none_is_a_wrong_setting(address: str, services: Services) -> None:
    with pytest.raises(SettingsError):
        polled(address, services.settings())


@each
def test_who_asks_says_so(service: str, services: Services, clock: HandClock) -> None:
    fill(services)
    run(services, ADDRESSES[service], clock)
    assert {asked.headers["user-agent"].split(":v")[0] for asked in services.asked} == {"python:memewax"}


@each
def test_no_key_is_ever_told(
    service: str,
    services: Services,
    clock: HandClock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither in logs of any library, at their loudest, nor in errors, nor in what shows a client."""
    caplog.set_level(logging.DEBUG)
    fill(services)
    services.faults.extend(make() for make in FAULTS.values())
    told: list[Any] = []
    for faults in ([], [Fault(401)] * 2, [Fault(302, headers={"Location": "/"})], [Fault(drop=True)] * 9):
        services.faults.extend(faults)
        try:
            run(services, ADDRESSES[service], clock, retry_policy=replace(MANNERS, attempts=9))
        except WorldError as error:
            told += [error, repr(error), error.__cause__, error.__context__]
    told += [services.settings(), listing(services, ADDRESSES[service], clock), caplog.text, *capsys.readouterr()]
    assert len(told) >= 7
    text = " ".join(map(str, told))
    assert "retrying" in text
    for secret in (CLIENT_ID, SECRET, KEY, "token-"):
        assert secret not in text
