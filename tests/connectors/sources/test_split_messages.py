"""Messages of several posts: taken apart, and resumed amid one."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fetching.fetch import FakeFetcher
from connectors.sources.parse import MAX_BYTES, parse_post, parsed
from connectors.sources.source import Position, Reader, Source, Unit
from connectors.sources.split_messages import SplitMessages, unpacked
from core.records import Arrival, DeadLetter, Message, Post
from core.untrusted_text import LONGEST_REASON
from dataflows.all_settings import Settings
from operators.posts_input import posts_in
from tests.factories import message

ORIGIN = "kafka:posts/0@7"


def values(raw: bytes) -> list[bytes]:
    return [it.value for it in unpacked(message(raw, ORIGIN))]


def post(number: int) -> dict[str, Any]:
    return {"global_id": f"{number}-reddit", "url": f"{number}.png", "desc": "a ]}\n{[ caption", "n": [{"a": {}}, {}]}


# One message


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"no", b"{", b"{}", b"7", b'"[]"', b'{"a":\n{"b": {}\n},\n"c": {}\n}', orjson.dumps(post(1)),
        orjson.dumps(post(1), option=orjson.OPT_INDENT_2), orjson.dumps(post(1)) + b"\n", b'{"a": "}\\n{"}',
    ],
)  # fmt: skip
def test_a_message_of_one_post_is_left_as_it_is(raw: bytes) -> None:
    whole = message(raw, ORIGIN)
    assert unpacked(whole) == [whole]
    assert unpacked(whole)[0] is whole


@pytest.mark.parametrize("raw", [b"[", b"[}", b'[{"a": 1}', b'[{"a": 1}] {}', b'{\n"a": 1\n}\n{'])
def test_what_cannot_be_taken_apart_is_left_to_become_a_dead_letter(raw: bytes) -> None:
    assert values(raw) == [raw]


def test_an_array_becomes_a_message_for_each_element() -> None:
    whole = Message(b' \n[{"a": 1}, 7 ,null]', ORIGIN, b"key", (("name", b"value"),))
    assert unpacked(whole) == [
        Message(value, f"{ORIGIN}[{number}]", b"key", (("name", b"value"),))
        for number, value in enumerate([b'{"a": 1}', b"7", b"null"])
    ]


def test_an_empty_array_holds_nothing() -> None:
    assert values(b"[]") == []


def test_lines_keep_their_bytes() -> None:
    assert values(b'{"a": 1}\r\n{ "b": 2}\n\n{"c": {}}\n') == [b'{"a": 1}', b'{ "b": 2}', b'{"c": {}}']


def test_what_is_too_large_is_not_even_looked_at() -> None:
    raw = b"[" + b" " * MAX_BYTES + b"]"
    assert values(raw) == [raw]


@pytest.mark.parametrize(
    "bad",
    [b"7", b"", b"nonsense", b'{"a": NaN}', b"\xff", b'{"a": "\\ud800"}', b"[" * 300 + b"]" * 300, b'{"a": %b}'],
    ids=lambda value: str(value)[:24],
)
@pytest.mark.parametrize("form", [b"[%b,%b,%b]", b"%b\n%b\n%b\n"])
def test_one_that_is_bad_spoils_no_other(bad: bytes, form: bytes) -> None:
    bad = bad.replace(b"%b", b"[" * 5000 + b"]" * 5000)
    if form.endswith(b"\n") and not bad.startswith(b"{"):  # lines of values are told by their braces
        bad = b"{" + bad
    good = [orjson.dumps(post(number)) for number in (1, 2)]
    assert values(form % (good[0], bad, good[1])) == [good[0], bad, good[1]]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (b"1", "an array of 100,000 elements that are not posts: expected a JSON object, found a number"),
        (b"{}", "an array of 66,667 elements that are not posts: global_id is missing"),
        (b'{"global_id": "x"}', "not posts: url is missing"),
        (b'"\\ud800"', "not JSON in UTF-8"),
    ],
)
def test_many_that_are_no_posts_are_one_dead_letter_that_counts_them(bad: bytes, told: str) -> None:
    """A small input does not make a large output."""
    bads = [bad] * (200_000 // (len(bad) + 1))
    if len(bad) == 2:
        bads.append(bad)
    good = orjson.dumps(post(1))
    found = [parsed(it) for it in unpacked(message(b"[" + b",".join([*bads[1:], good, bad]) + b"]", ORIGIN))]
    first, letter = found
    assert isinstance(first, Post)
    assert isinstance(letter, DeadLetter)
    assert told in letter.reason
    assert len(letter.reason) <= LONGEST_REASON
    assert len(letter.message.value) == sum(map(len, bads)) + len(bads) + 1
    assert letter.message.origin == f"{ORIGIN}[0…{len(bads)}]"


def test_a_few_that_are_no_posts_are_a_dead_letter_each() -> None:
    assert values(b"[" + b",".join([b"7"] * 16) + b"]") == [b"7"] * 16


POSTS = st.lists(st.integers(0, 999).map(post), max_size=8)


@given(POSTS, st.sampled_from(["array", "pretty", "lines"]))
def test_whatever_the_form_the_posts_are_those_that_were_packed(posts: list[dict[str, Any]], form: str) -> None:
    packed = {
        "array": orjson.dumps(posts),
        "pretty": orjson.dumps(posts, option=orjson.OPT_INDENT_2),
        "lines": b"\n".join(map(orjson.dumps, posts)),
    }[form]
    if form == "lines" and not posts:
        return
    assert [orjson.loads(value) for value in values(packed)] == posts
    for part, posted in zip(unpacked(message(packed, ORIGIN)), posts, strict=True):
        assert parse_post(part).global_id == posted["global_id"]


# A reader


class Topic(Source):
    """Messages by offset; cut into units anew at each reading, as Kafka does."""

    def __init__(self, raw: list[bytes], cut: list[int]) -> None:
        self.raw = raw
        self.cut = cut

    def parts(self) -> list[str]:
        return ["0"]

    def open(self, part: str, resume: Position | None) -> Reader:
        return TopicReader(self, resume["offset"] if resume else 0)


class TopicReader(Reader):
    def __init__(self, topic: Topic, start: int) -> None:
        self.topic = topic
        self.next = start

    def read(self) -> Unit | None:
        if self.ended:
            return None
        count = self.topic.cut.pop() if self.topic.cut else 3
        start, self.next = self.next, min(self.next + count, len(self.topic.raw))
        messages = [Message(self.topic.raw[it], f"topic@{it}") for it in range(start, self.next)]
        return Unit(messages, {"version": 1, "offset": self.next}, turn=start)

    @property
    def ended(self) -> bool:
        return self.next >= len(self.topic.raw)

    def lag(self) -> int:
        return len(self.topic.raw) - self.next

    def close(self) -> None:
        pass


def packed(ids: list[int]) -> bytes:
    return orjson.dumps(ids[0]) if len(ids) == 1 else orjson.dumps(ids)


def read_all(source: Source, resume: Position | None, stop: int | None = None) -> tuple[list[bytes], Position | None]:
    """What a reader gives, all or that of `stop` units, and where it could go on."""
    reader = source.open("0", resume)
    found: list[bytes] = []
    while not reader.ended and stop != 0:
        unit = reader.read()
        assert unit is not None
        found += [message.value for message in unit.messages]
        resume = orjson.loads(orjson.dumps(unit.resume))
        stop = None if stop is None else stop - 1
    return found, resume


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 7), min_size=1, max_size=8),
    st.integers(1, 5),
    st.lists(st.integers(1, 4), max_size=30),
    st.lists(st.integers(0, 4), max_size=6),
)
def test_each_post_comes_once_wherever_it_is_resumed(
    sizes: list[int], batch: int, cut: list[int], stops: list[int]
) -> None:
    numbers = iter(range(1000))
    raw = [packed([next(numbers) for _ in range(size)]) for size in sizes]
    total = sum(sizes)
    source = SplitMessages(Topic(raw, list(cut)), batch)
    found: list[bytes] = []
    resume: Position | None = None
    for stop in [*stops, None]:
        given_, resume = read_all(source, resume, stop)
        found += given_
    assert [int(value) for value in found] == list(range(total))


def test_amid_a_message_the_topic_has_been_passed_up_to_it() -> None:
    reader = SplitMessages(Topic([packed([1]), packed([2, 3, 4, 5])], [1, 1]), 2).open("0", None)
    passed: list[int] = []
    reader._inner.epoch_ended = lambda position: passed.append(position["offset"])  # type: ignore[attr-defined]
    while (unit := reader.read()) is not None:
        reader.epoch_ended(unit.resume)
    assert passed == [1, 1, 2]


def test_units_stay_small_and_keep_their_turn() -> None:
    reader = SplitMessages(Topic([packed([1]), packed(list(range(5))), packed([2])], [3]), 2).open("0", None)
    units = []
    while not reader.ended:
        assert reader.turn in {None, 0}
        unit = reader.read()
        assert unit is not None
        units.append(unit)
    assert [len(unit.messages) for unit in units] == [2, 2, 2, 1]
    assert {unit.turn for unit in units} == {0}
    assert units[-1].resume == {"version": 1, "offset": 3}
    assert reader.read() is None


def test_units_of_single_posts_are_what_they_were() -> None:
    """So a position of before is read as it was, and one of now as before."""
    topic = Topic([packed([it]) for it in range(5)], [])
    units = []
    reader = SplitMessages(topic, 8).open("0", {"version": 1, "offset": 1})
    while not reader.ended:
        units.append(reader.read())
    plain = topic.open("0", {"version": 1, "offset": 1})
    assert units == [plain.read(), plain.read()]


# In a flow


def test_a_flow_reads_what_nifi_packed_and_a_bad_one_among_them_is_a_dead_letter_alone(tmp_path: Path) -> None:
    path = tmp_path / "posts.jsonl"
    good = [post(number) for number in range(12)]
    lines = [orjson.dumps(good[:10]), b"[]", orjson.dumps([good[10], {"url": "x.png"}, good[11]])]
    path.write_bytes(b"\n".join(lines) + b"\n")
    flow = Dataflow("test")
    posts = posts_in("posts", flow, Settings(source=str(path)), FakeFetcher())
    arrived: list[Arrival] = []
    dead: list[DeadLetter] = []
    op.output("oks", posts.oks, TestingSink(arrived))
    op.output("errs", posts.errs, TestingSink(dead))
    run_main(flow)
    assert [it.post.global_id for it in arrived] == [it["global_id"] for it in good]
    (letter,) = dead
    place = len(lines[0]) + 1 + len(lines[1]) + 1
    assert (letter.message.value, letter.message.origin) == (b'{"url":"x.png"}', f"file:{path}@{place}[1]")
    assert letter.reason == "global_id is missing"
