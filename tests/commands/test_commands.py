"""The `memewax` command: help, exit codes, and runs with fake models."""

import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from connectors.control.flow_note import note_flow
from connectors.store.posts_table import PostStore
from core.counts import RunCounts
from dataflows.all_settings import Settings
from memewax import __version__
from memewax.__main__ import main
from memewax.commands.app import app
from memewax.commands.flow_run import summary_of
from memewax.commands.progress import Progress
from memewax.commands.recovery import is_prepared
from memewax.commands.supervise import Ended, FlowError
from tests.commands.typed import Done, Memewax
from tests.folders import ROOT

POSTS = 40


# Help


def commands(command: Any, name: str = "memewax") -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, found in getattr(command, "commands", {}).items():
        yield from commands(found, f"{name} {inner}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_commands_are_these() -> None:
    names = {"run", "demo", "doctor", "settings", "bench", "bench overhead", "bench fetch", "bench ocr", "ingest"}
    names |= {"inspect", "export", "page", "forget", "bench deletes"}
    names |= {
        "eval",
        "eval ocr",
        "eval clusters",
        "eval entities",
        "eval sentiment",
        "eval similarity",
        "eval search",
        "eval compare",
    }
    names |= {"corpus", "corpus load", "corpus list", "corpus drop", "corpus describe", "corpus reduce", "serve", "ask"}
    names |= {"clusters", "clusters list", "clusters show", "clusters trending", "bench clusters"}
    names |= {"topics", "topics create", "topics check", "topics describe", "topics asyncapi"}
    names |= {"bench similarity", "bench growth", "store", "store check", "store compact", "store create"}
    names |= {"bench reading", "bench page", "bench reposts", "bench cache", "profile", "sql", "store thumbnails"}
    names |= {"dead-letters", "dead-letters list", "dead-letters show", "dead-letters replay", "dead-letters drop"}
    names |= {"recovery", "recovery show", "recovery check", "recovery backup", "recovery restore"}
    names |= {"recovery create", "recovery move", "bench models", "bench pipeline", "bench cassandra"}
    names |= {"kubernetes", "kubernetes scale", "kubernetes backup", "kubernetes restore"}
    assert COMMANDS.keys() == {"memewax"} | {f"memewax {name}" for name in names}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_every_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for option in command.params:
        assert getattr(option, "help", None), option.name


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not hasattr(command, "commands")])
def test_every_command_is_in_the_documents(name: str) -> None:
    written = [it for it in (ROOT / "docs").rglob("*.md") if it.parent.name != "reference"]  # which is generated
    documents = [ROOT / "README.md", ROOT / "justfile", *written]
    assert name in "".join(path.read_text() for path in documents)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_can_be_asked_for(name: str, memewax: Memewax) -> None:
    done = memewax(*name.split()[1:], "--help")
    assert done.code == 0
    assert "Usage" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_whole_on_a_narrow_screen(name: str, memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = " ".join(memewax(*name.split()[1:], "--help").out.split())
    for option in COMMANDS[name].params:
        assert " ".join(option.help.split()) in words
    for inner in getattr(COMMANDS[name], "commands", {}).values():
        assert inner.get_short_help_str(1000) in words


def test_the_version_can_be_asked_for(memewax: Memewax) -> None:
    assert memewax("--version") == Done(0, f"memewax {__version__}\n", "")


def test_the_package_can_be_run() -> None:
    command = [sys.executable, "-m", "memewax", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"memewax {__version__}\n"


def test_ctrl_c_before_there_is_a_command_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupting(MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> None:
            if name == "memewax.commands.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "memewax.commands.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capfd.readouterr() == ("", "")


# Settings


def test_settings_are_listed_with_their_values(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_VIT_BATCH", "3")
    monkeypatch.setenv("MEMEWAX_KAFKA", '{"sasl.password": "hunter2"}')
    done = memewax("settings", "--json")
    assert done.summary()["vit_batch"] == 3
    assert "hunter2" not in done.out
    told = memewax("settings").out
    assert "MEMEWAX_VIT_BATCH = 3\n" in told
    assert "MEMEWAX_TRUECASE = true\n" in told


def test_settings_are_whole_on_a_narrow_screen(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("MEMEWAX_SOURCE", "posts/" * 20)
    told = memewax("settings").out
    for name, field in Settings.model_fields.items():
        assert f"MEMEWAX_{name.upper()} =" in told
        assert " ".join(str(field.description).split()) in " ".join(told.split())
    assert f"MEMEWAX_SOURCE = {'posts/' * 20}\n" in told


# Errors: one line, and a code that says of which kind


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "no source: .*--from"),
        (["--from", "posts.jsonl"], 2, "no sink: .*--to"),
        (["--from", "posts.jsonl", "--to", "out.jsonl", "--processes", "500"], 2, "MEMEWAX_PROCESSES .* = '500'"),
        (["--from", "gone.jsonl", "--to", "out.jsonl"], 3, "no such file: .*gone.jsonl"),
        (["--from", "kafka://", "--to", "out.jsonl"], 2, "'kafka://' is not kafka://HOST:PORT/TOPIC"),
        (
            ["--from", "posts.jsonl", "--to", "out.jsonl", "--dead-letters", "dead"],
            2,
            "dead letters go to a .jsonl file",
        ),
        (["--from", "posts.jsonl", "--to", "out.jsonl", "--to", "./out.jsonl"], 2, "named twice"),
        (
            ["--from", "posts.jsonl", "--to", "abfs://bucket/out"],
            2,
            "'abfs://bucket/out' cannot be used here: records go to a folder",
        ),
        (["--from", "posts.jsonl", "--to", "postgresql://host/db"], 2, "'postgresql://host/db' cannot be used here"),
        (["--from", "posts.jsonl", "--to", "kafak://h:1/t"], 2, "'kafak://h:1/t' cannot .* kafka://HOST:PORT/TOPIC"),
        (["--from", "posts.jsonl", "--to", "kafka:/h/x"], 2, "'kafka:/h/x' is not kafka://HOST:PORT/TOPIC"),
        (["--from", "posts.jsonl", "--to", "out.csv"], 2, "'out.csv' cannot .*; for a new folder .* write 'out.csv/'"),
        (["--from", "posts.jsonl", "--to", "-"], 2, "'-' cannot be used here"),
        (["--from", "posts.jsonl", "--to", "store,out.jsonl"], 2, "one address.*repeat --to"),
        (["--from", "posts.doc", "--to", "out.jsonl"], 2, "'posts.doc' cannot be used here: posts come from"),
        (["--from", "kafak://h:1/t", "--to", "out.jsonl"], 2, "'kafak://h:1/t' cannot be used here"),
        (["--from", "posts.jsonl", "--to", "out.jsonl", "--dead-letters", "abfs://b/x.jsonl"], 2, "dead letters go to"),
        (["--from", "posts.jsonl", "--to", "posts.jsonl"], 3, "posts.jsonl is also the source"),
        (["--from", "posts.jsonl", "--to", "posts.jsonl/store"], 3, "posts.jsonl"),
        (["--from", "posts.jsonl", "--to", "out.jsonl", "--recovery", "posts.jsonl"], 3, "posts.jsonl: "),
    ],
)
def test_an_error_is_one_line_and_a_code(
    words: list[str], code: int, told: str, memewax: Memewax, tmp_path: Path
) -> None:
    (tmp_path / "posts.jsonl").write_bytes(b'{"global_id": "1", "url": "1.png"}\n')
    done = memewax("run", *words)
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("memewax: ")
    assert done.err.count("\n") == 1
    assert re.search(told, done.err)
    assert code != 2 or [path.name for path in tmp_path.iterdir()] == ["posts.jsonl"]


def test_cluster_events_queries_and_answers_go_to_what_is_known(
    memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "posts.jsonl").touch()
    monkeypatch.setenv("MEMEWAX_CLUSTER_EVENTS", "events.csv")
    run = memewax("run", "--from", "posts.jsonl", "--to", "out.jsonl")
    assert (run.code, "cluster events go to" in run.err) == (2, True)
    for words in (["--from", "kafak://h:1/t"], ["--from", "posts.jsonl", "--to", "answers.csv"]):
        serve = memewax("serve", *words)
        assert serve.code == 2
        assert f"{words[-1]!r} cannot be used here" in serve.err
    assert [path.name for path in tmp_path.iterdir()] == ["posts.jsonl"]


def test_an_option_that_does_not_exist_is_an_error_of_usage(memewax: Memewax) -> None:
    assert memewax("run", "--form", "posts.jsonl").code == 2


def test_an_unknown_variable_is_an_error_of_settings(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_SUORCE", "posts.jsonl")
    done = memewax("run", "--from", "posts.jsonl", "--to", "out.jsonl")
    assert (done.code, "MEMEWAX_SUORCE" in done.err) == (2, True)


def test_a_run_that_cannot_begin_leaves_nothing_behind(memewax: Memewax, tmp_path: Path) -> None:
    """Else the next one would go on after it, and miss outputs that it was not told of."""
    (tmp_path / "empty").mkdir()
    done = memewax("run", "--from", "empty", "--to", "store")
    assert (done.code, "no image in" in done.err) == (3, True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize("has_read", [True, False])
def test_a_start_that_failed_removes_what_it_made(
    has_read: bool, memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(*_: object) -> None:
        PostStore(tmp_path / "new" / "store", 8, 8)
        raise FlowError("no weights", 3, has_read=has_read)

    monkeypatch.setattr("memewax.commands.flow_run.run_job", failing)
    (tmp_path / "posts.jsonl").touch()
    (tmp_path / "mine").mkdir()
    words = ("run", "--from", "posts.jsonl", "--to", "new/store", "--to", "out.jsonl", "--recovery", "mine")
    done = memewax(*words)
    assert (done.code, done.err) == (3, "memewax: no weights\n")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == (["mine", "new", "out.jsonl", "posts.jsonl"] if has_read else ["mine", "posts.jsonl"])
    assert is_prepared(tmp_path / "mine") is has_read


def test_what_somebody_else_put_into_a_new_store_stays(
    memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(*_: object) -> None:
        (tmp_path / "store" / "texts.corpus").mkdir()
        raise FlowError("no weights", 3, has_read=False)

    monkeypatch.setattr("memewax.commands.flow_run.run_job", failing)
    (tmp_path / "posts.jsonl").touch()
    assert memewax("run", "--from", "posts.jsonl", "--to", "store").code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["posts.jsonl", "store"]


def test_a_sink_that_is_added_is_told_of_and_one_that_moved_is_none(
    memewax: Memewax, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("memewax.commands.flow_run.run_job", lambda *_: Ended(RunCounts(), 1.0))
    (tmp_path / "posts.jsonl").touch()
    words = ("run", "--from", "posts.jsonl", "--recovery", "memory")
    assert "new to this flow" not in memewax(*words, "--to", "store").err
    (tmp_path / "gone.v2").mkdir()
    note_flow(tmp_path / "memory", Settings(source=("posts.jsonl",), to=("store", "gone.v2")))
    shutil.rmtree(tmp_path / "gone.v2")
    (tmp_path / "moved").mkdir()
    (tmp_path / "store").rename(tmp_path / "moved" / "store")
    told = memewax(*words, "--to", "moved/store", "--to", "out.jsonl").err
    assert told.startswith("memewax: out.jsonl is new to this flow: it receives records from now on\n")
    assert told.count("new to this flow") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "memewax", "settings", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "memewax: output: No space left on device\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "memewax", "settings", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


# Runs


def id_of(number: int) -> str:
    """An id like any other, or at times one that nobody would think of."""
    return f"{number}-reddit" if number % 10 else f"{number}\x00'\"%\n\U0001f600"


def lines(numbers: range) -> bytes:
    return b"".join(orjson.dumps({"global_id": id_of(number), "url": "1.png"}) + b"\n" for number in numbers)


def ids(path: Path) -> list[str]:
    return sorted(orjson.loads(line)["global_id"] for line in path.read_bytes().splitlines())


def expected(count: int) -> list[str]:
    return sorted(map(id_of, range(count)))


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A run of some posts, one that comes again and one that is none, into a store and a file."""
    content = lines(range(POSTS)) + lines(range(5, 6)) + b"no post\n"
    (tmp_path / "posts.jsonl").write_bytes(content)
    return ["run", "--from", "posts.jsonl", "--to", "store", "--to", "records.jsonl", "--json"]


def test_a_run_and_what_comes_after_it(memewax: Memewax, words: list[str], tmp_path: Path) -> None:
    """One test, since each run is a process of its own."""
    done = memewax(*words)
    summary = done.summary()
    seconds, rate = summary.pop("seconds"), summary.pop("posts_per_second")
    outcome = {"posts": POSTS, "joined": POSTS, "updated": 0, "partial": 0, "dead_letters": 1, "clusters": 1}
    assert summary == {**outcome, "retry_waiting": 0}
    assert rate == pytest.approx(POSTS / seconds, abs=0.1)
    assert f"memewax: {POSTS} records, 1 dead letter in {seconds:,.1f} s\n" in done.err
    assert done.err.endswith("  1 x parse: not JSON in UTF-8 (each line is a JSON object with global_id and url)\n")
    assert ids(tmp_path / "records.jsonl") == expected(POSTS)
    assert sorted(row["global_id"] for row in PostStore(tmp_path / "store", 8, 8).rows()) == expected(POSTS)
    (letter,) = (tmp_path / "store.dead-letters.jsonl").read_bytes().splitlines()
    assert b64decode(orjson.loads(letter)["value"]) == b"no post"
    assert (tmp_path / "store.recovery").is_dir()

    again = memewax(*words)
    assert again.summary()["posts"] == 0
    assert "nothing new since the last run; delete store.recovery to start over" in again.err
    assert ids(tmp_path / "records.jsonl") == expected(POSTS)

    with (tmp_path / "posts.jsonl").open("ab") as out:
        out.write(lines(range(POSTS, POSTS + 7)))
    assert memewax(*words).summary()["posts"] == 7
    assert ids(tmp_path / "records.jsonl") == expected(POSTS + 7)

    (tmp_path / "records.jsonl").rename(tmp_path / "elsewhere.jsonl")
    gone = memewax(*words)
    assert (gone.code, gone.out) == (3, "")
    assert "records.jsonl is missing, but store.recovery would resume after posts already done" in gone.err
    (tmp_path / "elsewhere.jsonl").rename(tmp_path / "records.jsonl")

    part = tmp_path / "store.recovery" / "part-0.sqlite3"
    part.rename(tmp_path / "part")
    cut = memewax(*words)
    assert (cut.code, cut.out) == (3, "")
    assert "store.recovery lacks part-0.sqlite3: restore a backup of it" in cut.err
    (tmp_path / "part").rename(part)

    (tmp_path / "posts.jsonl").write_bytes(lines(range(2)))
    replaced = memewax(*words)
    assert replaced.code == 0
    assert ids(tmp_path / "records.jsonl") == expected(POSTS + 7), "known posts are not written again"
    assert "the contents of a source were replaced; it is read from its start" in replaced.err


def test_an_output_that_is_there_already_is_left_alone(memewax: Memewax, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"mine\n")
    done = memewax(*words)
    assert done.code == 3
    assert "records.jsonl exists already" in done.err
    assert (tmp_path / "records.jsonl").read_bytes() == b"mine\n"


def test_a_demo_that_was_stopped_shows_nothing_half(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Ended(RunCounts(posts=3), 1.0, drained=True)
    monkeypatch.setattr("memewax.commands.demo.run_flow", lambda *_: (ended, Path("recovery")))
    done = memewax("demo", "--to", "here")
    assert (done.code, done.out) == (130, "")
    assert "stopped before all posts were read" in done.err
    assert not Path("here/index.html").exists()


# Figures


def test_a_run_that_took_no_time_has_no_rate() -> None:
    assert summary_of(Ended(RunCounts(posts=3), 0.0)).posts_per_second == 0.0


def test_progress_is_told_in_a_line() -> None:
    progress = Progress("bytes")
    now = progress._start
    progress._first = now, 0
    counts = RunCounts(posts=3500, joined=3000, partial=21, dead_letters=2, clusters=7, lag=1234)
    assert progress.line(counts, now + 10) == (
        "3,021 posts · 302.1 a second · 2 dead letters · 7 clusters · 1,234 bytes to go · 10 s"
    )


def test_progress_of_a_live_stream_says_how_old_posts_are_and_what_is_left_out() -> None:
    progress = Progress("posts")
    counts = RunCounts(posts=3, joined=3, behind=12.3, share_kept=0.25)
    assert "0 posts to go · 12 s behind · 25.0% of the posts read · " in progress.line(counts, progress._start)


def test_while_models_are_loaded_no_counts_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress("bytes")
    progress._plain_at -= 31
    progress.show(RunCounts())
    assert capfd.readouterr().err == "loading models …\n"


def test_before_a_second_is_over_there_is_no_rate() -> None:
    progress = Progress("bytes")
    assert "- a second" in progress.line(RunCounts(posts=1), progress._start + 0.5)


def test_help_and_version_are_found_as_people_type_them(memewax: Memewax) -> None:
    whole = memewax("--help").out
    assert memewax("-h").out == memewax("help").out == whole
    assert memewax("help", "run").out == memewax("run", "-h").out == memewax("run", "--help").out
    assert memewax("version").out == memewax("--version").out


def test_a_run_that_can_use_nothing_ends_with_3_and_one_of_nothing_with_0(memewax: Memewax, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    empty = memewax("run", "--from", "empty.jsonl", "--to", "o.jsonl")
    assert (empty.code, empty.err) == (0, "memewax: nothing to read: the source is empty\n")
    (tmp_path / "bad.jsonl").write_bytes(b'{"a"\n{"b"\n')
    bad = memewax("run", "--from", "bad.jsonl", "--to", "p.jsonl")
    assert bad.code == 3
    assert "2 x parse: not JSON in UTF-8 (each line is a JSON object" in bad.err
    assert "nothing that was read could be used" in bad.err


def test_times_without_an_end_are_refused(memewax: Memewax) -> None:
    assert memewax("run", "--snapshot-interval", "inf").code == 2
    assert memewax("clusters", "list", "--hours", "1e9").code == 2


def test_a_demo_deletes_nothing_that_it_did_not_make(memewax: Memewax, tmp_path: Path) -> None:
    mine = tmp_path / "mydata"
    (mine / "images").mkdir(parents=True)
    (mine / "posts.jsonl").write_text("mine")
    done = memewax("demo", "--to", "mydata")
    assert (done.code, (mine / "posts.jsonl").read_text()) == (3, "mine")
    assert "holds files that no demo made" in done.err
