"""A picture that ends the process is given up after its third try; all others are looked at."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from tests.flows.pixels_flow import DEADLY
from tests.flows.posts import picture_of
from tests.flows.runs import Flow, whole_lines

COUNT = 12
CULPRIT = 5
MARK = "deadly"


def test_it_is_a_dead_letter_after_its_third_try(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    lines = []
    for number in range(COUNT):
        data = picture_of(number, random) + (MARK.encode() if number == CULPRIT else b"")
        (tmp_path / f"{number}.png").write_bytes(data)
        lines.append(orjson.dumps({"global_id": f"{number}-reddit", "url": f"{number}.png"}) + b"\n")
    (tmp_path / "posts.jsonl").write_bytes(b"".join(lines))
    monkeypatch.setenv(DEADLY, MARK)
    flow = Flow(folder, tmp_path / "posts.jsonl", read_batch=COUNT)
    for _ in range(3):
        code, said = flow.worker().result()
        assert code == -9, said[-3000:]
    flow.worker().end()
    rows = flow.rows()
    assert rows.keys() == {f"{number}-reddit" for number in range(COUNT)}
    assert {global_id for global_id, row in rows.items() if row["failures"]} == {f"{CULPRIT}-reddit"}
    (letter,) = [orjson.loads(line) for line in whole_lines(flow.dead)]
    suspects = flow.recovery / "decoding" / "suspects.json"
    assert (letter["stage"], letter["reason"]) == (
        "fetch",
        f"it ended the process 3 times; delete {suspects} to have it tried again",
    )
    assert list(orjson.loads(suspects.read_bytes()).values()) == [3]  # nobody else is blamed
