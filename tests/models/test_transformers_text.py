"""Models of texts that are chosen by name; no hub is asked, so these have random weights."""

from pathlib import Path

import pytest

from core.errors import WeightsError
from core.records import Entity
from dataflows.all_settings import Settings
from models.base import Model
from models.loading import load_entities, load_sentiment
from models.runtime import Runtime
from models.transformers_text import moods
from tests.models.tiny import Tiny, save_tiny

pytestmark = pytest.mark.real

LONG = "when you see a cat in paris " * 40


@pytest.fixture
def ner(tiny: Tiny) -> Model[str, tuple[Entity, ...]]:
    return tiny.entities


def test_entities_are_whole_words_where_they_stand(ner: Model[str, tuple[Entity, ...]]) -> None:
    text = "angela went to\nparis and back to rome with bob"
    found = ner.one(text)
    assert found
    assert all(text[it.start : it.end] == it.text for it in found)
    assert all(it.text == it.text.strip() and it.label in {"PER", "LOC"} for it in found)
    words = text.split()
    assert all(set(it.text.split()) <= set(words) for it in found)


def test_entities_are_found_to_the_end_of_a_long_text(ner: Model[str, tuple[Entity, ...]]) -> None:
    found = ner.one(LONG)
    assert max(it.end for it in found) > len(LONG) * 0.9


def test_what_the_model_is_not_sure_of_is_left_out(
    ner: Model[str, tuple[Entity, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = ner.one(LONG)
    monkeypatch.setattr("models.transformers_text.LEAST_SCORE", 0.0)
    assert len(ner.one(LONG)) > len(sure)
    monkeypatch.setattr("models.transformers_text.LEAST_SCORE", 1.0)
    assert ner.one(LONG) == ()


def test_sentiment_is_the_model_s_probabilities(tiny: Tiny) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    found = tiny.sentiment.one("a cat")
    model = AutoModelForSequenceClassification.from_pretrained(tiny.tone).eval()
    with torch.inference_mode():
        logits = model(**AutoTokenizer.from_pretrained(tiny.tone)("a cat", return_tensors="pt")).logits
    negative, neutral, positive = logits.softmax(1)[0].tolist()
    assert (found.negative, found.neutral, found.positive) == pytest.approx((negative, neutral, positive), abs=1e-4)
    assert found.compound == pytest.approx(positive - negative, abs=1e-4)


def test_a_long_text_is_judged_by_its_beginning(tiny: Tiny) -> None:
    assert tiny.sentiment.one(LONG) == tiny.sentiment.one(LONG + "and more")


@pytest.mark.parametrize(
    ("labels", "meant"),
    [
        (["Negative", "NEUTRAL", "pos"], ["negative", "neutral", "positive"]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["negative", "neutral", "positive"]),
        (["LABEL_0", "LABEL_1"], ["negative", "positive"]),
        (["1 star", "3 stars", "5 stars"], ["negative", "neutral", "positive"]),
    ],
)
def test_what_labels_mean(labels: list[str], meant: list[str]) -> None:
    assert list(moods(labels).values()) == meant


@pytest.mark.parametrize("labels", [["joy", "anger"], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]])
def test_labels_that_are_no_sentiment_are_said(labels: list[str]) -> None:
    with pytest.raises(WeightsError, match=labels[0]):
        moods(labels)


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    emotions = save_tiny(tmp_path / "emotions", "SequenceClassification", {0: "joy", 1: "anger"})
    with pytest.raises(WeightsError, match="labels that are not a sentiment: joy, anger"):
        load_sentiment(Settings(sentiment=str(emotions), device="cpu"), Runtime())
    words = save_tiny(tmp_path / "words", "MaskedLM", {0: "negative", 1: "positive"})
    with pytest.raises(WeightsError, match="was not trained for text-classification"):
        load_sentiment(Settings(sentiment=str(words), device="cpu"), Runtime())
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="holds no weights"):
        load_entities(Settings(ner=str(tmp_path / "empty")), Runtime())
