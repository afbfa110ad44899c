"""`memewax serve` and `memewax ask`: any text works, and what strangers wrote does nothing to a terminal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import orjson
import pytest
from PIL import Image
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from connectors.fetching.decode import decode
from connectors.store.posts_table import PostStore
from core.untrusted_text import safe_json, sanitized
from dataflows.all_settings import load_settings
from memewax.commands.ask import _image
from tests.commands.typed import Done, Memewax
from tests.factories import embedded_row as row
from tests.factories import make_corpus

HOSTILE = "\x1b[31m[bold red]red[/] \x9b2J \u202eknalb"
ANY_TEXT = ['it\'s "quoted" %s 100%', "🙂👍🏽 naïve", "日本語 שלום العربية", "x" * 10_000, "--looks-like-an-option"]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(memewax: Memewax, tmp_path: Path) -> Ask:
    """Its answer as JSON, from a store with three texts."""
    make_corpus(tmp_path / "store", ["a", "bb", "ccc"], favorite_count=1234, retweet_count=5)

    def run(*words: object) -> dict[str, Any]:
        return memewax("ask", "--json", *words).summary()

    return run


@pytest.mark.parametrize("text", ANY_TEXT)
def test_any_text_is_answered(ask: Ask, text: str) -> None:
    (hit,) = ask("--", text)["hits"]
    assert hit["text"] in {"a", "bb", "ccc"}


def test_how_many_and_which(ask: Ask) -> None:
    assert ask("bb", "-k", 3)["hits"][0]["text"] == "bb"
    assert len(ask("bb", "-k", 3)["hits"]) == 3
    assert [hit["text"] for hit in ask("bb", "-k", 3, "--source", "web")["hits"]] == ["bb"]
    assert [hit["text"] for hit in ask("bb", "--after", "2020-01-03")["hits"]] == ["ccc"]
    assert ask("bb", "--language", "fr")["hits"] == []


def test_a_person_sees_date_favourites_retweets_and_score(ask: Ask, memewax: Memewax) -> None:
    shown = memewax("ask", "bb").out
    for part in ("bb", "2020-01-02 00:00:00", "1,234", "5", "1.000", "0.000", "tweets"):
        assert part in shown


def check_error(done: Done, code: int, reason: str) -> None:
    assert done.code == code
    assert done.err.startswith("memewax: ")
    assert reason in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["  "], 2, "text is empty"),
        (["bb", "--corpus", "nowhere"], 1, "no corpus 'nowhere'"),
        (["bb", "--after", "soon"], 2, "filter after must be a time"),
        (["bb", "--brokers", "127.0.0.1:1", "--timeout", "1"], 3, "start the broker"),
        (["--image", "nothing.png"], 3, "No such file"),
    ],
)
def test_what_cannot_be_asked_is_one_line(ask: Ask, memewax: Memewax, words: list[str], code: int, reason: str) -> None:
    check_error(memewax("ask", *words), code, reason)


def test_an_error_answer_is_json_too(ask: Ask, memewax: Memewax) -> None:
    done = memewax("ask", "bb", "--corpus", "nowhere", "--json")
    assert done.code == 1
    assert "nowhere" in orjson.loads(done.out)["error"]["reason"]


def test_lines_of_stdin_are_questions(
    ask: Ask, memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lines").write_text("bb\n\nccc\n")
    with (tmp_path / "lines").open() as lines:
        monkeypatch.setattr("sys.stdin", lines)
        done = memewax("ask", "--json")
    assert [orjson.loads(line)["hits"][0]["text"] for line in done.out.splitlines()] == ["bb", "ccc"]


def test_an_image_finds_the_most_similar_memes(ask: Ask, memewax: Memewax, tmp_path: Path) -> None:
    posts = PostStore(tmp_path / "store", 8, 8)
    posts.upsert([row("meme", 1, "Such Wow", url="https://memes.example/1.png")])
    lancedb.connect(tmp_path / "store").open_table("posts").update(values={"models": None})
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    assert [hit["id"] for hit in ask("--image", tmp_path / "x.png")["hits"]] == ["meme"]
    shown = memewax("ask", "--image", tmp_path / "x.png").out
    assert "Such Wow" in shown
    assert "│ meme" in shown  # which post it is
    (tmp_path / "x.png").write_text("no image")
    check_error(memewax("ask", "--image", tmp_path / "x.png"), 1, "not a supported image")


def test_hostile_text_is_shown_and_does_nothing(memewax: Memewax, tmp_path: Path) -> None:
    make_corpus(tmp_path / "store", [HOSTILE], source=HOSTILE)
    shown = memewax("ask", HOSTILE).out
    assert "[bold red]red[/]" in shown
    assert not set("\x1b\x9b\u202e") & set(shown)
    done = memewax("ask", HOSTILE, "--json")
    assert not set("\x1b\x9b\u202e") & set(done.out)
    assert done.summary()["hits"][0]["text"] == HOSTILE


def test_what_is_harmless_stays() -> None:
    assert sanitized("👩‍🚀 日本語 שלום\n\ttab") == "👩‍🚀 日本語 שלום\n\ttab"
    assert sanitized("\x1b]0;title\x07\r\x7f\u2066") == "�]0;title����"
    assert orjson.loads(safe_json({"a": "\x7f\x9b\u202e"})) == {"a": "\x7f\x9b\u202e"}


def test_a_file_of_queries_is_answered_into_a_file(ask: Ask, memewax: Memewax, tmp_path: Path) -> None:
    queries = [orjson.dumps({"id": str(number), "text": "bb"}) for number in range(50)]
    (tmp_path / "queries.jsonl").write_bytes(b"\n".join([*queries, b"no JSON", b""]))
    done = memewax("serve", "--from", "queries.jsonl", "--to", "answers.jsonl", "--json")
    summary = done.summary()
    assert (summary["queries"], summary["answers"], summary["errors"]) == (51, 51, 1)
    answers = [orjson.loads(line) for line in (tmp_path / "answers.jsonl").read_bytes().splitlines()]
    assert {it["id"] for it in answers if "error" not in it} == {str(number) for number in range(50)}
    assert len(answers) == 51
    assert lancedb.connect(tmp_path / "store").open_table("answers").count_rows() == 51

    (tmp_path / "mine.jsonl").write_text("precious")
    refused = memewax("serve", "--from", "queries.jsonl", "--to", "mine.jsonl")
    assert refused.code == 3
    assert "mine.jsonl exists already and this recovery folder did not write it" in refused.err
    assert "ready to answer" not in refused.err, "it is said before anything is loaded"
    assert (tmp_path / "mine.jsonl").read_text() == "precious"
    assert memewax("serve", "--from", "queries.jsonl", "--to", "answers.jsonl").code == 0


def test_serving_without_queries_says_what_is_missing(memewax: Memewax) -> None:
    check_error(memewax("serve"), 2, "no queries: give their address with --from")
    check_error(
        memewax("serve", "--from", "somewhere"),
        2,
        "'somewhere' cannot be used here: queries come from a .jsonl file or kafka://HOST:PORT/TOPIC",
    )


def test_what_a_person_types_is_asked_until_the_end_and_remembered(
    ask: Ask, memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_, **__: tmp_path)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("bb\n\nnot this\x03ccc\n\x04")  # an empty line, Ctrl-C, Ctrl-D
        done = memewax("ask", "--json", "-k", 2)
    assert (done.code, done.err) == (0, "")
    assert [orjson.loads(line)["hits"][0]["text"] for line in done.out.splitlines()] == ["bb", "ccc"]
    history = (tmp_path / "ask-history").read_text()
    assert "+bb\n" in history
    assert "+ccc\n" in history


def test_who_waits_for_the_model_is_told(ask: Ask, memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    assert "loading the model" in memewax("ask", "bb", "--json").err


def test_an_error_does_not_end_a_session(
    ask: Ask, memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("platformdirs.user_state_path", lambda *_, **__: tmp_path)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("bb\nccc\n\x04")
        done = memewax("ask", "--corpus", "nowhere")
    assert done.code == 0
    assert done.err.count("no corpus 'nowhere'") == 2


def test_an_image_that_is_made_small_is_what_the_flow_sees_of_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    noise = np.random.default_rng(5).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    noise[:, :300] = 0  # lies above once it is upright
    Image.fromarray(noise).save(tmp_path / "turned.png", exif=exif)
    file = tmp_path / "turned.png"
    small = _image(file, load_settings(), small=True)
    assert len(small) < 700_000 < file.stat().st_size
    seen = decode(small, max_pixels=10**8, max_side=400).astype(int)
    expected = decode(file.read_bytes(), max_pixels=10**8, max_side=400).astype(int)
    assert seen.shape == expected.shape == (400, 300, 3)
    assert np.abs(seen - expected).mean() < 6
