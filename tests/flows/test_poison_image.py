"""An image that ends the process, while it is decoded or in a model, is given up after its third try."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from PIL import Image

from connectors.fetching.poison_items import PoisonMarks
from tests.factories import image_of
from tests.flows.pixels_flow import DEADLY, MARK
from tests.flows.runs import Flow, whole_lines

COUNT = 8
OF_DECODER = 3
OF_MODEL = 5
"""After the other, so that it is not looked at where that ends the process."""


def test_it_is_a_dead_letter_and_all_others_are_looked_at(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(3)
    lines = []
    for number in range(COUNT):
        (tmp_path / f"{number}.png").write_bytes(image_of(number, random) + (MARK if number == OF_DECODER else b""))
        lines.append(orjson.dumps({"global_id": f"{number}-reddit", "url": f"{number}.png"}) + b"\n")
    Image.new("RGB", (64, 64), "white").save(tmp_path / f"{OF_MODEL}.png")
    (tmp_path / "posts.jsonl").write_bytes(b"".join(lines))
    flow = Flow(folder, tmp_path / "posts.jsonl", read_batch=1, cache="off")
    suspects = flow.recovery / "decoding" / "suspects.json"
    for deadly in ("model", "decoder"):
        monkeypatch.setenv(DEADLY, deadly)
        code, said = flow.worker(snapshot_seconds=60).result()
        assert code == -9, said[-3000:]
    monkeypatch.delenv(DEADLY)
    PoisonMarks(suspects.parent)  # counts what the last one ended at
    noted = orjson.loads(suspects.read_bytes())
    assert list(noted.values()) == [1, 1], "nobody else is blamed"
    suspects.write_bytes(orjson.dumps(dict.fromkeys(noted, 3)))
    flow.worker().end()
    rows = flow.rows()
    failed = {global_id: it["stage"] for global_id, row in rows.items() for it in row["failures"]}
    assert rows.keys() == {f"{number}-reddit" for number in range(COUNT)}
    assert failed == {f"{OF_DECODER}-reddit": "fetch", f"{OF_MODEL}-reddit": "text"}
    assert rows[f"{OF_MODEL}-reddit"]["cluster"] >= 0, "what another model says of it stays"
    letters = [orjson.loads(line) for line in whole_lines(flow.dead)]
    reason = f"it crashed the process 3 times; delete {suspects} to try it again"
    assert {(it["stage"], it["reason"]) for it in letters} == {("fetch", reason), ("text", reason)}
