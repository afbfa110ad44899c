"""`memewax bench models`, with parts that answer at once."""

import time
from collections.abc import Callable

import orjson
import pytest

from core.errors import WorldError
from memewax.bench import bench_models
from models.engine import Plan
from models.engine_choice import EnginePart
from tests.commands.typed import Memewax

EXACT, FAR, BROKEN = Plan("torch", "exact"), Plan("onnx", "int8"), Plan("openvino", "fp32")


def _load(plan: Plan) -> Callable[[], float]:
    if plan == BROKEN:
        raise WorldError("no such instruction")

    def answer() -> float:
        time.sleep(0.002)
        return 1.0 if plan == FAR else 0.0

    return answer


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    part = EnginePart("image model", "tiny", EXACT, (FAR, BROKEN), _load, lambda one, other: abs(one - other), 0.5)
    monkeypatch.setattr(bench_models, "image_part", lambda *_: part)
    monkeypatch.setattr(bench_models, "ocr_parts", lambda *_: [])
    monkeypatch.setattr(bench_models, "plans", lambda _: (EXACT, FAR, BROKEN))


def test_a_table_has_each_engine_and_lines_say_which_cannot_be_used(memewax: Memewax) -> None:
    done = memewax("bench", "models", "--runs", "2")
    assert done.code == 0
    words = " ".join(done.out.split())
    assert "image model torch exact" in words
    assert "image model onnx int8" in words
    assert "image model by onnx int8: differs by 1, and 0.5 is tolerated" in words
    assert "image model by openvino fp32: cannot be used: no such instruction" in words
    assert "8 images, 2 runs in turns" in words


def test_json_has_the_times_of_each_engine(memewax: Memewax) -> None:
    report = orjson.loads(memewax("bench", "models", "--runs", "3", "--json").out)
    exact, far, broken = report["parts"]["image model"]
    assert (exact["engine"], exact["precision"], exact["differs"], exact["refused"]) == ("torch", "exact", 0, None)
    assert exact["range"][0] <= exact["milliseconds"] <= exact["range"][1]
    assert far["milliseconds"] is not None
    assert "is tolerated" in far["refused"]
    assert (broken["milliseconds"], broken["range"]) == (None, None)
    assert report["n"] == 3
