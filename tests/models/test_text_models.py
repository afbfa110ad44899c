"""What each model of texts is for: entities, sentiment, similarity."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.errors import WeightsError
from dataflows.all_settings import Settings
from models.entities import SpacyEntities
from models.loading import Models
from models.runtime import Runtime
from models.weights import entity_weights

pytestmark = pytest.mark.real


def test_obvious_entities_are_found_where_they_stand(real: Models) -> None:
    text = "I love\nBarack Obama, who moved to Paris in 2019."
    found = real.entities.one(text)
    assert {("Barack Obama", "PERSON"), ("Paris", "GPE"), ("2019", "DATE")} <= {(e.text, e.label) for e in found}
    assert all(text[entity.start : entity.end] == entity.text for entity in found)


def test_a_pipeline_without_entities_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(entity_weights(Settings()).path, folder)
    config = (folder / "config.cfg").read_text()
    (folder / "config.cfg").write_text(config.replace('"lemmatizer","ner"]', '"lemmatizer"]'))
    with pytest.raises(WeightsError, match=r"finds no entities|no pipeline that spaCy can load"):
        SpacyEntities(entity_weights(Settings(ner=str(folder))), Runtime())


def test_a_text_over_the_limit_fails_alone(real: Models) -> None:
    long, short = real.entities(["word " * 250_000, "Paris"])
    assert "exceeds maximum" in long.reason  # type: ignore[union-attr]
    assert [(it.text, it.label) for it in short] == [("Paris", "GPE")]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "sign"), [("I love this, it is great!", 1), ("This is horrible, I hate it.", -1), ("A table.", 0)]
)
def test_sentiment_has_the_sign_a_reader_gives_it(real: Models, text: str, sign: int) -> None:
    assert np.sign(real.sentiment.one(text).compound) == sign


def test_no_text_is_neutral(real: Models) -> None:
    assert real.sentiment.one(" ").neutral == 1.0


def test_alike_sentences_are_nearer(real: Models) -> None:
    cat, kitten, bank = real.text(["A cat sits on a mat.", "A kitten rests on a rug.", "The bank raised its rates."])
    assert cat @ kitten > 0.4 > 0.2 > cat @ bank


def test_minilm_gives_the_published_numbers(real: Models) -> None:
    expected = np.array(
        [0.0676, 0.0635, 0.0487, 0.0793, 0.0374], np.float32
    )  # the model card's "This is an example sentence"
    np.testing.assert_allclose(real.text.one("This is an example sentence")[:5], expected, atol=5e-4)
