"""The commands of the documents run: those that need no service, no real model and no minutes."""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from tests.commands.typed import Memewax
from tests.folders import ROOT
from tests.test_docs import ALL

GROUPS: Final = {
    "bench": "takes minutes; each benchmark has a test",
    "eval": "needs real models; each evaluation has a test",
    "doctor": "needs real models",
    "profile": "runs a flow of real models",
    "page": "does not end",
    "serve": "does not end",
    "ingest": "needs a service",
    "demo": "made the files of this test",
}
WORDS: Final = {
    "kafka://": "needs a broker",
    "--brokers": "needs a broker",
    "cassandra://": "needs a server",
    "s3://": "needs a server",
    "bluesky:": "needs a service",
    "mastodon:": "needs a service",
    "feed:": "needs a service",
    "reddit:": "needs a service",
    "imgur:": "needs a service",
    "--follow": "does not end",
    "/pods/": "names folders outside of the test's",
    ".zst": "needs a dump of a gigabyte",
}
LEFT_OUT: Final = {
    ("dead-letters", "show"): "an id that each run makes anew",
    ("clusters", "show"): "an id that a demo may not have",
    ("recovery", "restore"): "the folders that it replaces are there",
    ("corpus", "reduce"): "needs embeddings of a real model",
    ("ask",): "asks in the terminal",
}


def is_run(words: list[str]) -> bool:
    typed = " ".join(words)
    left_out = words[0] in GROUPS or any(it in typed for it in WORDS) or tuple(words[:2]) in LEFT_OUT
    return not left_out


RUN: Final = {document: [words for it, words in ALL if it == document and is_run(words)] for document, _ in ALL}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a demo, a store under the name of most documents, and the files that commands read."""
    folder = tmp_path_factory.mktemp("documents")
    environment = {**os.environ, "MEMEWAX_MODELS": "fake", "PYTHONPATH": str(ROOT)}

    def typed(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "memewax", *words], cwd=folder, env=environment, check=True)

    typed("demo")
    for name in ("images", "posts.jsonl"):
        (folder / name).symlink_to(folder / "demo" / name)
    typed("run", "--from", "posts.jsonl", "--to", "./store")
    for month in ("january", "february"):
        (folder / f"{month}.jsonl").write_text(f'{{"global_id": "{month}", "url": "images/one.png"}}\n')
    Image.new("RGB", (40, 30), "red").save(folder / "such-wow.png")
    tweets = [{"id": number, "text": f"we will build it {number}"} for number in range(40)]
    (folder / "archive.json.gz").write_bytes(gzip.compress(orjson.dumps(tweets)))
    columns = ("id", "url", "image_link", "text", "body", "words", "key", "created", "written", "app", "lang")
    images = {"url", "image_link"}
    rows = [["such-wow.png" if it in images else f"{it} {number}" for it in columns] for number in range(40)]
    for name in ("table.csv", "rows.csv"):
        (folder / name).write_text("\n".join(",".join(it) for it in [columns, *rows]))
    parquet.write_table(pa.table({"key": ["a"], "url": ["such-wow.png"], "year": ["2026"]}), folder / "rows.parquet")
    return folder


@pytest.mark.xdist_group("documents")
@pytest.mark.parametrize("document", [document for document, those in RUN.items() if those])
def test_the_commands_of_a_document_run(
    document: str, made: Path, memewax: Memewax, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, words in enumerate(RUN[document]):
        folder = made
        if words[0] == "run":  # each into a new store
            (folder := tmp_path / str(number)).mkdir()
            for it in made.iterdir():
                if not it.name.startswith(("store", "demo")):
                    (folder / it.name).symlink_to(it)
        monkeypatch.chdir(folder)
        done = memewax(*words)
        left = words[0] == "forget" and "--check" in words  # lines of an output are never rewritten
        assert done.code in ({0, 1} if left else {0}), f"memewax {' '.join(words)}: {done.err or done.out}"


def test_most_commands_that_could_run_do() -> None:
    assert sum(map(len, RUN.values())) >= 40
