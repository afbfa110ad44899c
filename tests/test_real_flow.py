"""The main job with everything real: posts whose truth is known, through the flow, into store and file."""

import subprocess
import sys
from pathlib import Path

import lancedb
import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from connectors.topics.bodies import schema
from memewax.demo import load_truth, make_posts, summarise

POSTS = 12


@pytest.mark.real
def test_real_posts_come_out_as_they_are_known_to_be(tmp_path: Path) -> None:
    posts = make_posts(tmp_path)
    truth = load_truth(tmp_path)
    lines = posts.read_bytes().splitlines()
    known = [line for line in lines if any(f'"{it}"'.encode() in line for it in truth.posts)][:POSTS]
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join([*known, b"not JSON"]) + b"\n")
    store, records, dead = tmp_path / "store", tmp_path / "records.jsonl", tmp_path / "dead.jsonl"

    run = [sys.executable, "-m", "memewax", "run", "--from", few, "--to", store, "--to", records, "--json"]
    done = subprocess.run([*map(str, run), "--dead-letters", str(dead)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    ids = {orjson.loads(line)["global_id"] for line in known}
    assert orjson.loads(done.stdout)["joined"] == len(ids)
    rows = [orjson.loads(line) for line in records.read_bytes().splitlines()]
    assert {row["global_id"] for row in rows} == ids == set(_column(store, "global_id"))
    assert all(not row["missing"] and not row["failures"] for row in rows)
    for row in rows:
        Draft202012Validator(schema("record")).validate(row)
    for vector in (*_column(store, "embeddings"), *_column(store, "text_embedding")):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        assert len(vector) == 384
    letters = [orjson.loads(line) for line in dead.read_bytes().splitlines()]
    assert [letter["stage"] for letter in letters] == ["parse"]
    found = summarise(rows, letters, truth).to_dict()
    assert found["ocr"]["character_error_rate"] < 0.15


def _column(store: Path, name: str) -> list[object]:
    values: list[object] = lancedb.connect(store).open_table("posts").to_arrow()[name].to_pylist()
    return values
