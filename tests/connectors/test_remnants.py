"""A name is found wherever a value has it, however it is packed, and no longer name is taken for it."""

import json
import pickle
import re
from base64 import b64encode
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
import orjson
import pytest

from connectors.blanked_lines import blank_lines
from connectors.remnants import LookedFor, in_lines

NAME = "forgettable0001-a"
NAMES = LookedFor((NAME,))


@pytest.mark.parametrize(
    "value",
    [
        NAME,
        f"https://x/{NAME}.png",
        {"a": [1, {NAME: 2}]},
        ({1, NAME},),
        NAME.encode(),
        np.array([NAME.encode()], "S96"),
        np.array([NAME]),
        {"value": b64encode(orjson.dumps({"global_id": NAME})).decode()},
    ],
)
def test_a_name_is_found_in_a_value(value: Any) -> None:
    assert NAMES.in_value(value)
    assert not LookedFor(("forgettable0002-a",)).in_value(value)


@pytest.mark.parametrize("other", [f"1{NAME}", f"{NAME}b", "forgettable", "", 17, None, [], np.zeros(3)])
def test_another_name_is_not_taken_for_it(other: Any) -> None:
    assert not NAMES.in_value(other)


@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_a_name_is_found_in_bytes_of_any_form(tmp_path: Path, before: str) -> None:
    text = f"{before}{NAME} rest"
    for number, data in enumerate(
        (text.encode(), pickle.dumps([text]), b64encode(text.encode()), np.array([text]).tobytes())
    ):
        file = tmp_path / f"{number}"
        file.write_bytes(b"\0" * 100 + data)
        assert NAMES.in_file(file)
        assert not LookedFor(("forgettable0002-a",)).in_file(file)


def test_where_a_longer_name_stands_in_bytes_nothing_is_found(tmp_path: Path) -> None:
    names = LookedFor((NAME,))
    file = tmp_path / "packed"
    file.write_bytes(f"1{NAME}".encode())
    assert names.in_file(file)
    assert not names.in_value(f"1{NAME}")
    assert not names.in_file(file)
    file.write_bytes(f"1{NAME}{NAME}".encode())
    assert names.in_file(file)


def test_a_quoted_name_is_found(tmp_path: Path) -> None:
    file = tmp_path / "line"
    caption = 'she said "no"\nand left'
    file.write_bytes(orjson.dumps({"desc": caption}) + b"\n")
    assert LookedFor((caption,)).in_file(file)
    assert in_lines(file, LookedFor((caption,))) == 1


CAPTION = "caf\u00e9 \U0001f600 / \u732b"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("is_ascii", [False, True])
@pytest.mark.parametrize("wanted", [CAPTION, normalize("NFD", CAPTION)], ids=["composed", "decomposed"])
def test_a_caption_is_found_in_any_form_of_unicode_and_json(
    tmp_path: Path, form: Literal["NFC", "NFD"], is_ascii: bool, wanted: str
) -> None:
    names = LookedFor((wanted,))
    line = json.dumps({"desc": f"a {normalize(form, CAPTION)}!"}, ensure_ascii=is_ascii)
    for text in (line, line.replace("/", "\\/")):
        (file := tmp_path / "line").write_text(text)
        assert names.in_file(file)
        assert in_lines(file, names) == 1
        assert names.in_value(text.encode())  # an original message, as states and dead letters hold it
        assert names.in_value({"value": b64encode(text.encode()).decode()})
    file.write_text(re.sub(r"\\u.{4}", lambda it: "\\u" + it[0][2:].upper(), line))
    assert names.in_file(file)


def test_part_of_a_caption_is_found_where_words_have_no_spaces() -> None:
    assert LookedFor(("\u9ed2\u732b",)).in_value("\u53ef\u611b\u3044\u9ed2\u732b\u3067\u3059")
    assert LookedFor(("meme",)).in_value("\u9ed2meme\u732b")
    assert not LookedFor(("meme",)).in_value("memes")


def test_a_file_that_goes_meanwhile_has_nothing(tmp_path: Path) -> None:
    assert not NAMES.in_file(tmp_path / "gone")
    assert in_lines(tmp_path / "gone", NAMES) == 0


def test_lines_are_blanked_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    lines = [orjson.dumps({"global_id": name, "reason": "x" * 30}) for name in ("a", NAME, "b")]
    data = b"\n".join(lines) + b'\n{"global_id": "half'
    file.write_bytes(data)
    assert blank_lines(file, lambda line: NAME.encode() in line) == 1
    assert blank_lines(file, lambda line: NAME.encode() in line) == 0
    assert file.stat().st_size == len(data)
    kept = file.read_bytes().splitlines()
    assert (kept[0], orjson.loads(kept[1]), kept[2]) == (lines[0], {"forgotten": True}, lines[2])
    assert blank_lines(tmp_path / "none", lambda _: True) == 0
