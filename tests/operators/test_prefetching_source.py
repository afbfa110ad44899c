"""The source: what it hands out, in which order, how far it looks ahead, and where it goes on."""

import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from connectors.fetching.fetch import FakeFetcher, Fetching
from connectors.fetching.prefetch import Bound, ParsedItem, PrefetchQueue
from connectors.sources.file_options import FileOptions
from connectors.sources.post_files import PostFiles
from connectors.sources.source import Position, Reader, Source, Unit
from core import drain
from core.records import Arrival, DeadLetter, Failure, Post, Removal
from operators.prefetching_source import PrefetchingSource
from tests.factories import message

MANY = 10**9


class Hand(Fetching):
    """Fetches that end when the test says so."""

    def __init__(self) -> None:
        self.futures: dict[str, Future[Arrival]] = {}

    def start(self, posts: Sequence[Post]) -> Sequence[Future[Arrival]]:
        self.futures |= {post.global_id: Future() for post in posts}
        return [self.futures[post.global_id] for post in posts]

    def end(self, global_id: str, image: Any = None) -> None:
        image = np.zeros((1, 1, 3), np.uint8) if image is None else image
        self.futures[global_id].set_result(Arrival(Post(global_id, "1.png", message(b"")), image))


class Listed(Source):
    """Units of ids as they are listed, a list for each part; parts have no order among them."""

    def __init__(self, *parts: list[list[str]], follow: bool = False) -> None:
        self.lists = {str(number): part for number, part in enumerate(parts)}
        self.follow = follow
        self.closed: list[str] = []

    def parts(self) -> list[str]:
        return list(self.lists)

    def open(self, part: str, resume: Position | None) -> Reader:
        return ListedReader(self, part, resume["next"] if resume else 0)


class ListedReader(Reader):
    def __init__(self, source: Listed, part: str, start: int) -> None:
        self.source = source
        self.part = part
        self.next = start

    def read(self) -> Unit | None:
        if self.next >= len(self.source.lists[self.part]):
            return None
        ids = self.source.lists[self.part][self.next]
        self.next += 1
        return Unit([message({"global_id": it, "url": "1.png"}) for it in ids], {"next": self.next})

    @property
    def ended(self) -> bool:
        return not self.source.follow and self.next >= len(self.source.lists[self.part])

    def lag(self) -> int:
        return len(self.source.lists[self.part]) - self.next

    def close(self) -> None:
        self.source.closed.append(self.part)


_built: list[Any] = []


@pytest.fixture(autouse=True)
def _end() -> Iterator[None]:
    yield
    drain.reset()
    _close_all()


def _close_all() -> None:
    while _built:
        _built.pop().queue.reader.close()


def ahead(
    source: Source, fetching: Fetching | None = None, max_posts: int = 20, max_bytes: int = MANY
) -> PrefetchingSource:
    return PrefetchingSource(source, fetching or FakeFetcher(), max_posts=max_posts, max_bytes=max_bytes)


def built(source: PrefetchingSource, states: dict[str, Any] | None = None) -> dict[str, Any]:
    """Its parts by name, resumed from `states`."""
    parts = {part: source.build_part("step", part, (states or {}).get(part)) for part in source.list_parts()}
    _built.extend(parts.values())
    return parts


def test_deletes_are_left_out_where_they_are_ignored_and_take_no_post_with_them() -> None:
    class WithDelete(ListedReader):
        def read(self) -> Unit | None:
            unit = super().read()
            gone = message({"global_id": "a", "deleted": True})
            return unit and Unit([*unit.messages, gone], unit.resume)

    def read(*, with_deletes: bool) -> list[str]:
        reader = WithDelete(Listed([["a", "b"]]), "0", 0)
        queue = PrefetchQueue(reader, FakeFetcher(), Bound(20, MANY), with_deletes=with_deletes)
        queue.fill()
        return [it.post.global_id if isinstance(it, Arrival) else type(it).__name__ for it in queue.units[0].result()]

    assert read(with_deletes=True) == ["b", "Removal"]
    assert read(with_deletes=False) == ["a", "b"]


def test_a_post_that_is_forgotten_waits_for_no_other_try() -> None:
    class Failing(FakeFetcher):
        def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
            return [Arrival(it, Failure("fetch", "FetchError", "HTTP 503", may_pass=True)) for it in posts]

    asked: list[Removal] = []
    source = PrefetchingSource(
        Listed([["a", "b"]]), Failing(), max_posts=20, max_bytes=MANY, tries=3, forgotten=lambda: asked
    )
    (part,) = built(source).values()
    part.next_batch()
    assert [it[0] for it in part.snapshot()["retries"]] == ["a", "b"]
    asked.append(Removal(message({}), post_id="a"))
    assert [it[0] for it in part.snapshot()["retries"]] == ["b"]


def id_of(item: ParsedItem) -> str:
    return item.post.global_id if isinstance(item, Arrival) else item.message.value.decode()


def one_round(parts: dict[str, Any]) -> list[list[str]]:
    """What the parts give when Bytewax asks each of them once; those that end are taken away."""
    given = []
    for name, part in list(parts.items()):
        try:
            items = part.next_batch()
        except StopIteration:
            part.close()
            del parts[name]
        else:
            given.append([id_of(item) for item in items])
    return [ids for ids in given if ids]


def rounds(parts: dict[str, Any], limit: int = 10_000) -> Iterator[list[list[str]]]:
    for _ in range(limit):
        if not parts:
            return
        yield one_round(parts)
    raise AssertionError("it does not end")


def all_given(parts: dict[str, Any]) -> list[str]:
    return [it for given in rounds(parts) for ids in given for it in ids]


def write(path: Path, count: int) -> list[str]:
    """Posts of differing length; their ids."""
    ids = [f"{number}-{'x' * (number * 37 % 300)}" for number in range(count)]
    path.write_bytes(b"".join(message({"global_id": it, "url": "1.png"}).value + b"\n" for it in ids))
    return ids


def lines(path: Path, parts: int = 3, block_bytes: int = 256, batch: int = 2) -> PostFiles:
    return PostFiles(
        path, FileOptions(follow=False, parts=parts, block_bytes=block_bytes, batch=batch, are_posts=False)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "posts.jsonl"


def test_posts_are_in_flight_until_the_part_is_asked_again() -> None:
    def in_flight() -> float:
        return REGISTRY.get_sample_value("memewax_posts_in_flight") or 0.0

    before = in_flight()
    parts = built(ahead(Listed([["a", "b"], ["c"]], [["d"]])))
    seen = [(sum(map(len, units)), in_flight() - before) for units in rounds(parts)]
    assert [now for _, now in seen] == [count for count, _ in seen]
    assert sum(count for count, _ in seen) == 4
    assert in_flight() == before


# TableCommand


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(256, 2000), st.integers(1, 5), st.integers(1, 30), st.data())
def test_the_parts_of_a_file_give_in_its_order_and_so_they_do_after_any_snapshot(
    parts: int, block_bytes: int, batch: int, max_posts: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "posts.jsonl")
        ids = write(path, 40)
        source = lines(path, parts, block_bytes, batch)
        running = built(ahead(source, max_posts=max_posts))
        states: dict[str, Any] = {}
        given: list[str] = []
        stop = data.draw(st.integers(0, 40))
        for new in rounds(running):
            given += [it for unit in new for it in unit]
            states |= {name: part.snapshot() for name, part in running.items()}
            if len(given) >= stop:
                break
        given += all_given(built(ahead(source, max_posts=max_posts), states))
        _close_all()
        assert given == ids


@pytest.mark.parametrize("parts", [1, 12])
def test_in_a_flow_they_give_in_the_order_of_the_file(path: Path, parts: int) -> None:
    ids = write(path, 100)
    out: list[ParsedItem] = []
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, ahead(lines(path, parts))), TestingSink(out))
    run_main(flow, epoch_interval=timedelta(0))
    assert [id_of(item) for item in out] == ids


def test_one_unit_goes_in_at_a_time(path: Path) -> None:
    write(path, 30)
    sizes = [len(given) for given in rounds(built(ahead(lines(path))))]
    assert max(sizes) == 1
    assert sum(sizes) > 1


def test_of_a_file_the_next_post_is_waited_for_though_others_are_there(path: Path) -> None:
    ids = write(path, 12)
    fetching = Hand()
    parts = built(ahead(lines(path, batch=1), fetching))
    one_round(parts)
    for global_id in ids[1:]:
        if global_id in fetching.futures:
            fetching.end(global_id)
    assert one_round(parts) == []
    fetching.end(ids[0])
    assert one_round(parts) == [ids[:1]]


def test_a_slow_fetch_does_not_hold_up_another_partition() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([["a"]], [["b"], ["c"]]), fetching))
    one_round(parts)
    fetching.end("b")
    assert one_round(parts) == [["b"]]
    one_round(parts)
    fetching.end("c")
    assert [*one_round(parts), *one_round(parts)] == [["c"]]
    fetching.end("a")
    assert all_given(parts) == ["a"]


def test_partitions_that_are_ready_take_turns() -> None:
    parts = built(ahead(Listed([["a"], ["b"]], [["c"], ["d"]])))
    assert all_given(parts) == ["a", "c", "b", "d"]


# Units


def test_a_unit_comes_whole_and_in_order() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([["a", "b"]]), fetching))
    one_round(parts)
    fetching.end("b")
    assert one_round(parts) == []
    fetching.end("a")
    assert one_round(parts) == [["a", "b"]]


def test_what_is_no_post_is_a_dead_letter_in_its_place(path: Path) -> None:
    good = message({"global_id": "1", "url": "1.png"}).value
    path.write_bytes(b"no\n" + good + b"\n{}\n")
    part = built(ahead(lines(path, batch=9)))[f"{path}#0"]
    first, second, third = part.next_batch()
    assert isinstance(second, Arrival)
    assert isinstance(first, DeadLetter)
    assert (first.message.value, first.stage, first.exception) == (b"no", "parse", "BadRecordError")
    assert isinstance(third, DeadLetter)
    assert (third.message.origin, third.reason) == (f"file:{path}@{4 + len(good)}", "global_id is missing")


def test_a_failed_image_arrives_like_any_other() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([["a"]]), fetching))
    one_round(parts)
    fetching.end("a", Failure("fetch", "OSError", "no"))
    assert one_round(parts) == [["a"]]


# Bounds


def test_no_more_posts_wait_than_allowed() -> None:
    fetching = Hand()
    source = Listed([[f"{number}", f"{number}+"] for number in range(20)])
    parts = built(ahead(source, fetching, max_posts=6))
    one_round(parts)
    assert len(fetching.futures) == 6
    for global_id in ("0", "0+"):
        fetching.end(global_id)
    one_round(parts)
    one_round(parts)
    assert len(fetching.futures) == 8


def test_while_a_batch_computes_the_next_are_fetched_up_to_the_bound() -> None:
    """A model that waits for the fetches of the posts after its own would wait in vain without looking ahead."""
    max_posts, begun = 4, {f"{number}": threading.Event() for number in range(20)}

    class Pooled(Fetching):
        def start(self, posts: Sequence[Post]) -> Sequence[Future[Arrival]]:
            return [pool.submit(self.fetch, post) for post in posts]

        def fetch(self, post: Post) -> Arrival:
            begun[post.global_id].set()
            return Arrival(post, np.zeros((1, 1, 3), np.uint8))

    def compute(item: ParsedItem) -> ParsedItem:
        number = int(id_of(item))
        for later in range(number + 1, min(number + max_posts, len(begun))):
            assert begun[f"{later}"].wait(10), later
        assert not any(begun[f"{later}"].is_set() for later in range(number + max_posts, len(begun)))
        return item

    out: list[ParsedItem] = []
    with ThreadPoolExecutor(8) as pool:
        flow = Dataflow("test")
        source = ahead(Listed([[it] for it in begun]), Pooled(), max_posts=max_posts)
        op.output("out", op.map("compute", op.input("in", flow, source), compute), TestingSink(out))
        run_main(flow)
    assert [id_of(item) for item in out] == list(begun)


def test_each_partition_has_one_unit_whatever_the_bound() -> None:
    fetching = Hand()
    one_round(built(ahead(Listed([["a"], ["b"]], [["c"], ["d"]]), fetching, max_posts=1)))
    assert fetching.futures.keys() == {"a", "c"}


def test_no_more_bytes_wait_than_allowed_and_one_unit() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([[f"{number}"] for number in range(20)]), fetching, max_posts=3, max_bytes=1000))
    one_round(parts)
    for global_id in ("1", "2"):
        fetching.end(global_id, np.zeros((20, 20, 3), np.uint8))
    fetching.end("0")
    assert one_round(parts) == [["0"]]
    one_round(parts)
    assert fetching.futures.keys() == {"0", "1", "2"}


def test_failed_images_take_no_bytes() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([[f"{number}"] for number in range(20)]), fetching, max_posts=3, max_bytes=1))
    one_round(parts)
    for global_id in ("0", "1", "2"):
        fetching.end(global_id, Failure("fetch", "OSError", "no"))
    one_round(parts)
    one_round(parts)
    assert len(fetching.futures) > 3


# Snapshots and ends


def test_a_snapshot_is_the_position_after_the_last_unit_handed_out() -> None:
    parts = built(ahead(Listed([["a"], ["b"], ["c"]])))
    part = parts["0"]
    assert part.snapshot() == {"version": 2, "position": None, "retries": []}
    one_round(parts)
    assert part.snapshot() == {"version": 2, "position": {"next": 1}, "retries": []}


def test_a_snapshot_keeps_the_position_where_nothing_was_handed_out_since() -> None:
    source = Listed([["a"], ["b"]])
    part = built(ahead(source, Hand()), {"0": {"version": 1, "position": {"next": 1}}})["0"]
    part.next_batch()
    assert part.snapshot() == {"version": 2, "position": {"next": 1}, "retries": []}


def test_a_drain_ends_every_part_where_it_is() -> None:
    parts = built(ahead(Listed([["a"], ["b"]], [["c"]], follow=True)))
    part = parts["0"]
    assert one_round(parts) == [["a"]]
    drain.request_stop()
    assert one_round(parts) == []
    assert not parts
    assert part.snapshot()["position"] == {"next": 1}


def test_a_part_that_ends_gives_back_what_it_holds() -> None:
    source = Listed([["a"]], [["b"]])
    all_given(built(ahead(source)))
    assert sorted(source.closed) == ["0", "1"]


def test_fetches_that_nobody_waits_for_any_more_do_not_begin() -> None:
    fetching = Hand()
    parts = built(ahead(Listed([["a"], ["b"]]), fetching))
    one_round(parts)
    drain.request_stop()
    one_round(parts)
    assert {name: future.cancelled() for name, future in fetching.futures.items()} == {"a": True, "b": True}


def test_a_closed_part_holds_nobody_up(path: Path) -> None:
    ids = write(path, 20)
    parts = built(ahead(lines(path)))
    given = next(rounds(parts))
    parts.pop(f"{path}#1").close()
    left = all_given(parts)
    assert left
    assert [*given[0], *left] == [it for it in ids if it in {*given[0], *left}]


def test_a_part_without_news_is_asked_again_soon() -> None:
    source = Listed([], follow=True)
    part = built(ahead(source))["0"]
    assert part.next_batch() == []
    awake = part.next_awake()
    assert awake is not None
    assert timedelta(0) < awake - datetime.now(UTC) < timedelta(seconds=0.2)
    source.lists["0"].append(["a"])
    assert [id_of(item) for item in part.next_batch()] == ["a"]


def test_a_part_without_news_holds_no_other_up(path: Path) -> None:
    ids = write(path, 3)
    source = PostFiles(path, FileOptions(follow=True, parts=4, block_bytes=256, batch=1, are_posts=False))
    parts = built(ahead(source))
    given: deque[str] = deque()
    for _ in range(20):
        given.extend(it for unit in one_round(parts) for it in unit)
    assert list(given) == ids
