"""`memewax corpus`: from a file to a corpus that is described, reduced and dropped."""

import csv
import random
from pathlib import Path

import orjson
import pytest

from tests.commands.typed import Memewax
from tests.connectors.sinks.test_cluster_events import store

__all__ = ["store"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    chooser = random.Random(0)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["key", "words", "stars"])
        writer.writerows([f"{number}", "x" * chooser.randint(1, 90) + f"{number}", "3"] for number in range(60))
        writer.writerow(["bad"])
    return path


def test_a_file_becomes_a_corpus_that_is_described_reduced_and_dropped(memewax: Memewax, file: Path) -> None:
    words = ("corpus", "load", file, "--name", "mine", "--text", "words", "--id", "key")
    told = memewax(*words, "--json").summary()
    assert (told["rows"], told["embedded"], told["dead_letters"]) == (60, 60, 1)
    assert told["columns"] == {"text": "words", "id": "key"}
    letters = Path("store.mine.dead-letters.jsonl").read_bytes().splitlines()
    assert [orjson.loads(letter)["origin"] for letter in letters] == [f"file:{file}:62"]
    again = memewax(*words)
    assert "0 embedded, 0 with new metadata, 60 unchanged; mine now has 60" in again.out
    assert "1 row could not be used: store.mine.dead-letters.jsonl" in again.err

    assert memewax("corpus", "list", "--json").summary()["corpora"][0]["rows"] == 60
    reduced = memewax("corpus", "reduce", "--name", "mine", "--dims", 3, "--method", "pca", "--json").summary()
    assert reduced["saved"] == "pca-3"
    assert 0 < reduced["methods"]["pca-3"]["recall_at_10"] <= 1
    described = memewax("corpus", "describe", "--name", "mine", "--json").summary()
    assert (described["index"], described["recall_at_10"], described["reductions"]) == ("exact", 1.0, ["pca-3"])

    assert memewax("corpus", "drop", "--name", "mine").code == 0
    assert memewax("corpus", "list", "--json").summary() == {"corpora": []}
    assert not Path("store/mine.corpus").exists()


def test_training_tells_its_numbers_and_the_judgement_of_people(memewax: Memewax, file: Path, tmp_path: Path) -> None:
    memewax("corpus", "load", file, "--name", "mine", "--text", "words")
    pairs = [{"a": "x" * number, "b": "x" * (number + number % 3), "score": number % 3} for number in range(1, 12)]
    (tmp_path / "sts.jsonl").write_bytes(b"\n".join(map(orjson.dumps, pairs)))
    words = ("corpus", "reduce", "--name", "mine", "--dims", 4, "--epochs", 2, "--sts", tmp_path / "sts.jsonl")
    methods = memewax(*words, "--json").summary()["methods"]
    assert methods.keys() == {"pca-4", "trained-4", "full"}
    assert [epoch["number"] for epoch in methods["trained-4"]["epochs"]] == [0, 1, 2]
    assert all(-1 <= methods[name]["spearman"] <= 1 for name in methods)
    shown = memewax(*words)
    assert "recall@10" in shown.out
    assert "saved trained-4 in store/mine.corpus" in shown.err


def test_the_corpora_of_a_store_that_a_flow_wrote_to(memewax: Memewax, store: Path) -> None:
    """Its table of clusters is none."""
    assert [it["corpus"] for it in memewax("corpus", "list", "--store", store, "--json").summary()["corpora"]] == [
        "posts"
    ]
    assert "is reserved" in memewax("corpus", "drop", "--name", "clusters", "--store", store).err


@pytest.mark.parametrize("option", ["--store", "--to"])
def test_the_store_is_named_by_every_command(option: str, memewax: Memewax, file: Path) -> None:
    named = ("--name", "mine", option, "other", "--json")
    assert memewax("corpus", "load", file, "--text", "words", *named).summary()["rows"] == 60
    assert memewax("corpus", "list", option, "other", "--json").summary()["corpora"][0]["rows"] == 60
    assert memewax("corpus", "reduce", "--dims", 3, "--method", "pca", *named).summary()["saved"] == "pca-3"
    assert memewax("corpus", "describe", *named).summary()["rows"] == 60
    assert memewax("corpus", "drop", "--name", "mine", option, "other").code == 0
    assert "other has no corpus yet" in memewax("corpus", "list", option, "other").err


def test_a_table_is_all_that_is_printed_where_nobody_looks(memewax: Memewax, file: Path) -> None:
    done = memewax("corpus", "load", file, "--name", "mine", "--text", "words")
    assert done.out.startswith("┏")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("load", "rows.csv", "--name", "posts"), 2, "choose another --name"),
        (("load", "nowhere.csv", "--name", "mine"), 3, "file nowhere.csv does not exist"),
        (("load", "empty.csv", "--name", "mine"), 3, "empty.csv has no rows\n"),
        (("load", "digits.jsonl", "--name", "mine"), 3, "digits.jsonl has no rows that can be read: row 1: not JSON"),
        (("list", "--store", "gone"), 3, "store gone does not exist: `memewax run --to gone`"),
        (("load", "rows.csv", "--name", "mine"), 2, "the columns are key, words, stars"),
        (("load", "rows.csv", "--name", "mine", "--text", "words", "--clean", "soap"), 2, "no cleaning step 'soap'"),
        (("describe", "--name", "mine"), 3, "no corpus 'mine' in store: it has none yet"),
        (("reduce", "--name", "mine"), 3, "no corpus 'mine' in store"),
        (("drop", "--name", "mine"), 3, "no corpus 'mine' in store"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], code: int, told: str, memewax: Memewax, file: Path) -> None:
    file.with_name("empty.csv").touch()
    file.with_name("digits.jsonl").write_text('{"text": "x", "stars": ' + "9" * 5000 + "}")
    done = memewax("corpus", *words)
    assert (done.code, done.err.count("\n")) == (code, 1)
    assert told in done.err


def test_more_dimensions_than_there_are_is_told(memewax: Memewax, file: Path, tmp_path: Path) -> None:
    memewax("corpus", "load", file, "--name", "mine", "--text", "words")
    done = memewax("corpus", "reduce", "--name", "mine", "--dims", 8)
    assert (done.code, "has 8 dimensions and 48 rows" in done.err) == (2, True)
    (tmp_path / "sts.jsonl").write_text('{"a": "x"}')
    done = memewax("corpus", "reduce", "--name", "mine", "--dims", 4, "--sts", tmp_path / "sts.jsonl")
    assert (done.code, "expected JSON lines with a, b and score" in done.err) == (3, True)
