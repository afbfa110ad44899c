"""What platforms write around an image's words goes, and the words stay."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.plain_text import plain_text


@pytest.mark.parametrize(
    "line",
    [
        "10:42 PM",
        "9.41",
        "3:14 PM · May 4, 2019 · Twitter for iPhone",
        "1.2K Retweets 15,301 Likes",
        "42 comments",
        "Like Comment Share",
        "5h",
        "2 hrs ago",
        "LTE 87%",
        "@some_body",
        "u/some-body · 3h",
        "r/memes",
        "imgflip.com",
        "made with mematic",
        "via 9gag.com",
        "www.example.com/page?x=1",
        "12/31/2019",
        "",
        " · ",
    ],
)
def test_a_line_that_a_platform_wrote_goes(line: str) -> None:
    assert plain_text([line]) == ""


@pytest.mark.parametrize(
    "line",
    [
        "when the clock says 3:14",
        "I have 2 comments about this",
        "1984",
        "87%",
        "Reply",
        "nobody likes you",
        "share your food",
        "May the force be with you",
        "100% of the time it works every time",
        "send nudes",
        "reading is fun",
        "x",
    ],
)
def test_a_line_of_words_stays(line: str) -> None:
    assert plain_text([line]) == line


def test_names_and_addresses_go_from_within_a_line() -> None:
    lines = ["John Smith @john · 3h", "me: look at imgflip.com for more", "THE END"]
    assert plain_text(lines) == "John Smith · 3h\nme: look at for more\nTHE END"


@given(st.lists(st.text(max_size=200), max_size=5))
def test_it_only_takes_away(lines: list[str]) -> None:
    assert len(plain_text(lines)) <= sum(map(len, lines)) + len(lines)


@pytest.mark.parametrize("piece", ["1,", "a.", "@a", "10:10 ", "like ", "- ", "r/", "www."])
def test_its_time_is_bounded(piece: str) -> None:
    start = time.process_time()
    plain_text([piece * 2_000])
    assert time.process_time() - start < 5
