"""Columns of other people's tables."""

from typing import Any

import pytest

from connectors.sources.column_mapping import ColumnMapping, InputRow, chosen_columns
from core.amounts import count_of
from core.errors import SettingsError
from core.times import time_or_none


def mapped(*rows: InputRow, columns: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    mapping = ColumnMapping(rows, chosen_columns(columns))
    return [post for row in rows for post in mapping.posts(row)]


@pytest.mark.parametrize(
    ("row", "post"),
    [
        (  # a spreadsheet's
            {
                "ID": "1.0",
                "Image URL": " https://a/b.png ",
                "Title": "Hi",
                "Likes": "1.2k",
                "Date": "2023-12-11 08:00:00 UTC",
            },
            {
                "global_id": "1",
                "url": "https://a/b.png",
                "desc": "Hi",
                "score": 1200,
                "created_time": "2023-12-11T08:00:00+00:00",
            },
        ),
        (  # 4CAT's: `url` is the page, `image_url` the image
            {
                "id": "9",
                "thread_id": "8",
                "body": "b",
                "author": "x",
                "url": "https://site/9",
                "image_url": "https://a/9.jpg",
            },
            {
                "global_id": "9",
                "url": "https://a/9.jpg",
                "desc": "b",
                "author": "x",
                "input_url": "https://site/9",
                "thread_id": "8",
            },
        ),
        (  # pandas'
            {"column_1": 0, "post_id": 7.0, "img": "p/q.jpg", "score": float("nan"), "user": None, "day": "nan"},
            {"global_id": "7", "url": "p/q.jpg", "column_1": 0},
        ),
        (  # an API's
            {
                "id": 3,
                "images": [{"url": "https://a/3.png"}],
                "user": {"username": "bob", "id": 1},
                "created_at": 1702281600,
            },
            {"global_id": "3", "url": "https://a/3.png", "author": "bob", "created_time": "2023-12-11T08:00:00+00:00"},
        ),
        (  # a name that nobody knows, with images in it
            {"id": "a", "meme": "https://a/x.gif?s=1", "desc": "d"},
            {"global_id": "a", "url": "https://a/x.gif?s=1", "desc": "d"},
        ),
        (  # a time whose meaning is not plain stays as it is
            {"id": "a", "url": "https://a/x", "created_time": "03/04/2024"},
            {"global_id": "a", "url": "https://a/x", "created_time": None},
        ),
    ],
)
def test_usual_names_are_found(row: InputRow, post: InputRow) -> None:
    found = mapped(row)[0]
    if post.get("created_time", "") is None:
        assert found.pop("created_time", None) is None
        post = {name: value for name, value in post.items() if name != "created_time"}
        found.pop("input_created_time", None)
    assert found == post


def test_what_is_said_is_taken() -> None:
    row = {
        "n": "5",
        "pic": "x",
        "alt": "https://a/b.png",
        "votes": "1,234",
        "flag": "yes",
        "when": "1702281600",
        "deep": {"a": 1},
    }
    columns = ("global_id=n", "url=alt", "votes=votes:int", "hot=flag:bool", "seen=when:time", "inner=deep.a")
    post = mapped(row, columns=columns)[0]
    assert (post["global_id"], post["url"]) == ("5", "https://a/b.png")
    assert (post["votes"], post["hot"], post["seen"]) == (1234, True, "2023-12-11T08:00:00+00:00")
    assert post["inner"] == 1
    assert post["pic"] == "x"


def test_a_value_that_is_not_of_its_type_is_null() -> None:
    assert mapped({"id": "1", "url": "a.png", "n": "many"}, columns=("n=n:int",))[0]["n"] is None


def test_several_images_are_several_posts() -> None:
    for value in (
        ["https://a/1.png", "https://a/2.png"],
        "https://a/1.png,https://a/2.png",
        '["https://a/1.png","https://a/2.png"]',
    ):
        posts = mapped({"id": "1", "images": value, "title": "t"})
        assert [(it["global_id"], it["url"], it["desc"]) for it in posts] == [
            ("1_1", "https://a/1.png", "t"),
            ("1_2", "https://a/2.png", "t"),
        ]


def test_a_row_without_an_id_has_one_of_what_it_holds() -> None:
    first, second, again = mapped({"url": "a.png"}, {"url": "b.png"}, {"url": "a.png"})
    assert first["global_id"] == again["global_id"] != second["global_id"]


@pytest.mark.parametrize("column", ["url", "=x", "url=", "a=b\x00"[:2]])
def test_what_is_no_column_is_told(column: str) -> None:
    with pytest.raises(SettingsError, match="write --column NAME=FIELD"):
        chosen_columns((column,))
    with pytest.raises(SettingsError, match="given twice"):
        chosen_columns(("url=a", "url=b"))


@pytest.mark.parametrize(
    ("shown", "count"),
    [("1.2k", 1200), ("3M", 3_000_000), ("1,234", 1234), ("1 234 567", 1_234_567), (17.0, 17), ("-4", -4), (5, 5)]
    + [("1e3", 1000), ("1.5E+03", 1500), ("1e-3", None), ("2e2k", 200_000)]
    + [(it, None) for it in ("", "many", "nan", True, "1,23", "0x10", "9" * 30, [1])],
)
def test_a_number_is_read_as_pages_show_it(shown: Any, count: int | None) -> None:
    assert count_of(shown) == count


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.0", ""], "int"),
        (["007", "8"], "text"),
        (["1", "2.5", "-1e3"], "float"),
        (["1780000000000000001", "9223372036854775807", "-1.0"], "int"),
        (["1", "9223372036854775808"], "text"),
        (["true", "False"], "bool"),
        (["2023-12-11", "2024-01-01 08:00:00"], "time"),
        (["1702281600"], "int"),
        (["03/04/2024"], "text"),
        ([], "text"),
        ([[1]], "text"),
    ],
)
def test_the_type_of_a_column_is_that_of_all_its_values(values: list[Any], kind: str) -> None:
    rows = [{"url": "a.png", "mine": value} for value in values] or [{"url": "a.png", "mine": None}]
    mapping = ColumnMapping(rows, (), is_table=True)
    assert mapping.own == {"mine": kind}
    if kind == "int":
        assert [it.get("mine", "") for row in rows for it in mapping.posts(row)] == [
            it and int(it.partition(".")[0]) for it in values
        ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("Image Link", "Posted", "Num Likes", "Text", "_id"), {"url": "Image Link", "created_time": "Posted", "score": "Num Likes"}),
        (("display_url", "taken_at_timestamp", "num_likes"), {"created_time": "taken_at_timestamp", "score": "num_likes"}),
        (("Bild-URL", "Datum", "Gefällt mir", "Titel", "Kennung", "Autor", "Quelle"),
         {"url": "Bild-URL", "created_time": "Datum", "score": "Gefällt mir", "desc": "Titel", "author": "Autor", "source": "Quelle"}),
        (("Bild", "Zeitstempel", "Punkte", "Beschreibung"), {"url": "Bild", "desc": "Beschreibung"}),
        (("imageUrl", "createdAt", "likeCount", "fullText"), {"created_time": "createdAt", "score": "likeCount", "desc": "fullText"}),
        (("image", "Date (UTC)", "# Likes", "title"), {"created_time": "Date (UTC)", "score": "# Likes"}),
        (("image_url", "created_at", "likes", "title", "id", "Posted", "Titel", "_id", "imageUrl", "bild"),  # as before
         {"url": "image_url", "created_time": "created_at", "score": "likes", "desc": "title", "global_id": "id"}),
    ],
)  # fmt: skip
def test_more_names_are_known(names: tuple[str, ...], found: dict[str, str]) -> None:
    values: dict[int, Any] = {0: "https://a/1.png", 1: "1.7e9", 2: "7"}
    late = {"Posted": "1.6e9", "imageUrl": "https://a/2.png", "bild": "https://a/3.png"}
    row = {name: late[name] if n > 2 and name in late else values.get(n, f"v{n}") for n, name in enumerate(names)}
    mapping = ColumnMapping([row], ())
    assert {name: mapping.fields.get(name) for name in found} == found
    assert mapping.fields["url"] == names[0]
    (post,) = mapping.posts(row)
    assert (post["created_time"], post["score"]) == ("2023-11-14T22:13:20+00:00", 7)


@pytest.mark.parametrize(
    ("values", "scores"),
    [
        (["1.234", "17", "1.234.567", ""], [1234, 17, 1_234_567, None]),
        (["1.234", "17.5"], [1, 18]),
        (["1.234", "2.5k"], [1, 2500]),
        (["0.123", "1.234"], [0, 1]),
        (["17.0", "3"], [17, 3]),
        ([1.234, 5], [1, 5]),
    ],
)
def test_dots_between_thousands_are_told_by_all_values_of_a_column(values: list[Any], scores: list[int | None]) -> None:
    rows = [{"id": str(n), "url": "a.png", "likes": value, "mine": value} for n, value in enumerate(values)]
    found = mapped(*rows, columns=("mine=mine:int",))
    assert [it.get("score") for it in found] == scores
    assert [it.get("mine") for it in found] == scores


def test_a_time_in_a_row_of_a_program_s_floats_is_one() -> None:
    assert ColumnMapping([{"url": "a.png", "timestamp": "1.7022816E+09"}], ()).fields["created_time"] == "timestamp"
    assert time_or_none("1.7e9") == time_or_none(1_700_000_000)
    assert time_or_none("1.7e5") is time_or_none("1.7e40") is None
