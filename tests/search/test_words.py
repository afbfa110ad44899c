"""What is typed finds the posts that have the words, and nothing that is typed breaks the search."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lancedb
import pytest

from connectors.sinks.rows import row_of
from connectors.store.interface import UnsupportedError
from connectors.store.lance_tables import LanceTable
from connectors.store.posts_table import PostRows
from connectors.store.stored_table import StoredTable
from core.errors import WorldError
from core.records import Line, Reading, Record
from search import words
from search.words import ParsedQuery, WordIndex, WordMatches
from tests.factories import ANSWERS, POSTS, make_removal, post, sides

BOX = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def row(global_id: str, read: str, caption: str = "") -> dict[str, object]:
    reading = Reading(tuple(Line(line, 0.9, BOX) for line in read.splitlines()))
    made = post(global_id, description=caption)
    return row_of(Record(made, sides(global_id, **{**ANSWERS, "text": reading})), "")


ROWS = [
    row("cat", "When the cat is away\nimgflip.com", "mice"),
    row("dog", "my dog ate the cat"),
    row("both", "nobody:", "A CAT and a Dog"),
    row("mordor", "One does not simply walk into Mordor", "café"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    table = PostRows(folder, POSTS)
    table.upsert(ROWS[:2])
    table.compact()
    table.upsert(ROWS[2:])  # not in the index yet
    return folder


def found(store: Path, text: str) -> WordMatches:
    return WordIndex(store).find(ParsedQuery.of(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", {"cat", "dog", "both"}),
        ("CATS", {"cat", "dog", "both"}),
        ("cat dog", {"dog", "both"}),
        ("cat -dog", {"cat"}),
        ('"the cat" mice', {"cat"}),
        ('cat -"the cat"', {"both"}),
        ("cafe", {"mordor"}),
        ("imgflip", set()),
        ("one does NOT simply", {"mordor"}),
        ("unheard", set()),
    ],
)
def test_all_words_are_found(store: Path, text: str, expected: set[str]) -> None:
    assert set(found(store, text).all) == expected


def test_words_are_found_from_inside_an_event_loop(store: Path) -> None:
    async def ask() -> WordMatches:
        return found(store, "cat")

    assert set(asyncio.run(ask()).all) == {"cat", "dog", "both"}


def test_posts_that_have_some_words_or_slips_come_after(store: Path) -> None:
    both = found(store, "cat mice")
    assert (both.all, set(both.some)) == (("cat",), {"dog", "both"})
    slip = found(store, "simply awya")
    assert not slip.all
    table = PostRows(store, POSTS)
    table.compact()
    assert found(store, "simpyl").nearly == ()  # two letters
    assert found(store, "simplx mordor").nearly == ("mordor",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        '"',
        '""',
        "'; DROP TABLE",
        "-dog",
        "()[]{}*?~^:\\/",
        "a" * 10_000,
        "word " * 5_000,
        "\x00\ud800",
        "🤣",
        "AND OR NOT",
        "+must",
    ],
)
def test_whatever_is_typed_is_a_search(store: Path, text: str) -> None:
    assert isinstance(found(store, text), WordMatches)


def test_posts_are_found_as_they_come_and_go(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    words = WordIndex(tmp_path)
    assert words.find(ParsedQuery.of("cat")) == WordMatches()
    table.upsert(ROWS)
    assert set(words.find(ParsedQuery.of("cat")).all) == {"cat", "dog", "both"}
    assert words.having(["dog"]) == {"dog", "both"}
    assert words.having_all(["the cat"]) == {"cat", "dog"}
    lancedb.connect(tmp_path).open_table("posts").delete("global_id = 'cat'")
    assert set(words.find(ParsedQuery.of("cat")).all) == {"dog", "both"}


def test_a_store_of_an_earlier_version_is_searched_when_a_flow_has_opened_it(tmp_path: Path) -> None:
    PostRows(tmp_path, POSTS).upsert(ROWS)
    lancedb.connect(tmp_path).open_table("posts").drop_columns(["text_clean"])
    words = WordIndex(tmp_path)
    assert not words.can_search()
    assert words.find(ParsedQuery.of("cat")) == WordMatches()
    PostRows(tmp_path, POSTS)
    assert set(WordIndex(tmp_path).find(ParsedQuery.of("cat")).all) == {"cat", "dog", "both"}
    assert WordIndex(tmp_path).find(ParsedQuery.of("imgflip")).all == ()


def test_processes_that_open_a_new_store_at_once_do_not_hinder_each_other(tmp_path: Path) -> None:
    for number in range(4):
        folder = tmp_path / str(number)
        StoredTable(folder, POSTS)  # there, but without indexes
        with ThreadPoolExecutor(4) as pool:
            opened = [pool.submit(PostRows, folder, POSTS) for _ in range(4)]
        assert [it.exception() for it in opened] == [None] * 4
        assert WordIndex(folder).can_search()


def test_a_kind_of_store_without_full_text_search_finds_by_meaning_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PostRows(tmp_path, POSTS).upsert(ROWS)

    def refuse(*_: object) -> None:
        raise UnsupportedError("this store cannot search words")

    monkeypatch.setattr(LanceTable, "words", refuse)
    words = WordIndex(tmp_path)
    assert not words.can_search()
    assert words.find(ParsedQuery.of("cat")) == WordMatches()
    assert words.having(["dog"]) == words.having_all(["the cat"]) == set()


def test_a_folder_without_posts_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="holds no posts"):
        WordIndex(tmp_path)


def test_what_comes_after_the_indexes_were_made_is_found_and_what_goes_is_not(tmp_path: Path) -> None:
    table = PostRows(tmp_path, POSTS)
    table.upsert([row(f"old{at}", f"the cat number{at}") for at in range(20)])
    table.compact()
    words = WordIndex(tmp_path)
    assert len(words.find(ParsedQuery.of("cat")).all) == 20
    for at in range(5):
        table.upsert([row(f"new{at}", f"another cat and wombat{at}")])
        assert words.find(ParsedQuery.of(f"wombat{at}")).all == (f"new{at}",)
    table.upsert([{**row("old1", "a dog now"), "revision": 2}, {**row("new1", "a dog too"), "revision": 2}])
    assert set(words.find(ParsedQuery.of("dog")).all) == {"old1", "new1"}
    assert words.find(ParsedQuery.of("wombat1")).all == ()
    table.remove([make_removal(global_id="new2"), make_removal(global_id="old2")])
    assert set(words.find(ParsedQuery.of("another cat")).all) == {"new0", "new3", "new4"}
    assert not {"old1", "old2"} & set(words.find(ParsedQuery.of("cat")).all)
    table.compact()
    table.upsert([row("newest", "the last cat")])
    found = words.find(ParsedQuery.of("cat")).all
    assert set(found) == {"newest", "new0", "new3", "new4", *(f"old{at}" for at in range(20) if at not in {1, 2})}
    assert len(found) == len(set(found))


def test_a_filter_takes_no_hits_away_that_come_after_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST", 3)
    table = PostRows(tmp_path, POSTS)
    table.upsert([row(f"{number}", f"cat {'dog ' * number}") for number in range(60)])
    index = WordIndex(tmp_path)
    last = set(map(str, range(50, 60)))
    assert not last & set(index.find(ParsedQuery.of("cat")).all)
    found = index.find(ParsedQuery.of("cat"), lambda ids: [it for it in ids if it in last]).all
    assert len(found) == 3
    assert set(found) < last
    assert index.find(ParsedQuery.of("cat"), lambda _: []) == WordMatches()


def test_many_ask_while_one_looks_for_news(store: Path) -> None:
    index = WordIndex(store, 0.0)
    with ThreadPoolExecutor(8) as pool:
        each = list(pool.map(lambda _: index.find(ParsedQuery.of("cat dog")).all, range(40)))
    assert {frozenset(it) for it in each} == {frozenset({"dog", "both"})}
