"""The suite that every model passes: real, fake, or chosen by its folder."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from core.records import Entity, Failure, Pixels, Reading, Sentiment
from models.base import Embedder, Model
from models.stages import MODEL_STAGES, stage_names
from tests.models.conftest import ARRANGEMENTS


def _images() -> list[Any]:
    noise = np.random.default_rng(1)
    shapes = [(48, 64), (64, 48), (1, 1), (90, 30)]
    return [noise.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


TEXTS: list[Any] = ["", "Barack Obama flew to Paris.", "I love it!", "I hate it.\nDoes Angela Merkel?"]
BAD_IMAGES: list[Any] = [
    None,
    "a path",
    np.zeros((8, 8), np.uint8),
    np.zeros((8, 8, 4), np.uint8),
    np.zeros((0, 8, 3), np.uint8),
    np.zeros((8, 8, 3), np.float32),
]
BAD_TEXTS: list[Any] = [None, 7, b"bytes", ["a"]]

SUBJECTS = {"image": (_images(), BAD_IMAGES), "text": (TEXTS, BAD_TEXTS)}
Fields = {stage.name: SUBJECTS[stage.model.subject] for stage in MODEL_STAGES if stage.model}
"""What each stage's model is shown, good and bad."""


@dataclass
class Case:
    model: Model[Any, Any]
    good: list[Any]
    bad: list[Any]


@pytest.fixture(
    params=[
        pytest.param((kind, field), id=f"{kind}-{field}", marks=[] if kind == "fake" else [pytest.mark.real])
        for kind, fields in {
            "fake": Fields,
            "real": Fields,
            "on_torch": ("text_embedding",),
            "tiny": ("entities", "sentiment"),
        }.items()
        for field in fields
    ]
    + [pytest.param(("ocr", name), id=f"ocr-{name}", marks=pytest.mark.real) for name in ARRANGEMENTS]
)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    kind, field = request.param
    if kind == "ocr":
        model, field = request.getfixturevalue("readers")[field], "text"
    else:
        model = request.getfixturevalue(kind).of(field)
    monkeypatch.setattr(model, "batch_size", 3)  # so that a handful of items is more than one batch
    return Case(model, *Fields[field])


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return bool(np.allclose(left, right, atol=1e-5))
    return bool(left == right)


def all_same(left: list[Any], right: list[Any]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


def test_has_a_name_and_a_stage(case: Case) -> None:
    assert case.model.stage in stage_names()
    assert 0 < len(case.model.name) < 60


def test_empty_batch(case: Case) -> None:
    assert case.model([]) == []


def test_one_is_the_batch_of_one(case: Case) -> None:
    for item in case.good:
        assert same(case.model([item])[0], case.model.one(item))


def test_order_is_kept_over_batches(case: Case) -> None:
    items = case.good + case.good[::-1]
    assert all_same(case.model(items), [case.model.one(item) for item in items])


def test_same_answer_twice(case: Case) -> None:
    assert all_same(case.model(case.good), case.model(case.good))


def test_answers_survive_pickling(case: Case) -> None:
    answers = case.model(case.good)
    assert all_same(pickle.loads(pickle.dumps(answers)), answers)


def test_a_bad_item_fails_alone(case: Case) -> None:
    first, second = case.good[:2]
    for bad in case.bad:
        before, failed, after = case.model([first, bad, second])
        assert isinstance(failed, Failure)
        assert failed.stage == case.model.stage
        assert failed.exception == "ValueError"
        assert same(before, case.model.one(first))
        assert same(after, case.model.one(second))


def test_one_raises_on_a_bad_item(case: Case) -> None:
    with pytest.raises(ValueError, match="is "):
        case.model.one(case.bad[0])


def _is_vector(model: Any, answer: Any) -> bool:
    return (
        isinstance(model, Embedder)
        and answer.dtype == np.float32
        and answer.shape == (model.dimension,)
        and bool(np.isclose(np.linalg.norm(answer), 1.0, atol=1e-4))
    )


def _is_sentiment(_: Any, answer: Any) -> bool:
    shares = answer.negative + answer.neutral + answer.positive
    return isinstance(answer, Sentiment) and abs(shares - 1) < 0.002 and -1 <= answer.compound <= 1


def _is_no_failure(_: Any, answer: Any) -> bool:
    """Of a stage that says nothing more of its answers here."""
    return answer is not None and not isinstance(answer, Failure)


KINDS: dict[str, Callable[[Any, Any], bool]] = {
    "embedding": _is_vector,
    "text": lambda _, answer: isinstance(answer, Reading) and type(answer.lines) is tuple,
    "entities": lambda _, answer: type(answer) is tuple and all(isinstance(entity, Entity) for entity in answer),
    "sentiment": _is_sentiment,
    "text_embedding": _is_vector,
}


def test_answers_are_of_the_stage_s_kind(case: Case) -> None:
    is_of_the_kind = KINDS.get(case.model.stage, _is_no_failure)
    for answer in case.model(case.good):
        assert is_of_the_kind(case.model, answer)


def test_images_are_left_as_they_were(case: Case) -> None:
    images: list[Pixels] = [item for item in case.good if isinstance(item, np.ndarray)]
    before = [image.copy() for image in images]
    case.model(case.good)
    assert all(np.array_equal(left, right) for left, right in zip(images, before, strict=True))
