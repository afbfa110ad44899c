"""Tiny transformers models with random weights, saved as a Hugging Face folder is."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from core.records import Entity, Sentiment
from dataflows.all_settings import Settings
from models.base import Model
from models.loading import load_entities, load_sentiment
from models.runtime import Runtime

VOCABULARY = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
)


def save_tiny(folder: Path, kind: str, labels: dict[int, str], **config: Any) -> Path:
    """A BERT of two layers: `kind` is `SequenceClassification` or `TokenClassification`; sure of what it says."""
    Runtime().torch().manual_seed(3)
    with Runtime().transformers() as transformers:
        _save(transformers, folder, kind, labels, **config)
    return folder


def _save(transformers: ModuleType, folder: Path, kind: str, labels: dict[int, str], **config: Any) -> None:
    made = transformers.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=1.0,
        id2label=labels,
        label2id={label: number for number, label in labels.items()},
        **config,
    )
    getattr(transformers, f"BertFor{kind}")(made).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)


@dataclass(frozen=True)
class Tiny:
    """Models of texts that were chosen by their folder."""

    entities: Model[str, tuple[Entity, ...]]
    sentiment: Model[str, Sentiment]
    tone: Path
    """The folder of the latter."""

    def of(self, stage: str) -> Any:
        """As `Models.of`."""
        return {"entities": self.entities, "sentiment": self.sentiment}[stage]


def load_tiny(folder: Path) -> Tiny:
    names = {0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"}
    moods = {0: "negative", 1: "neutral", 2: "positive"}
    ner = save_tiny(folder / "ner", "TokenClassification", names)
    tone = save_tiny(folder / "tone", "SequenceClassification", moods)
    settings = Settings(ner=str(ner), sentiment=str(tone), device="cpu")
    return Tiny(load_entities(settings, Runtime()), load_sentiment(settings, Runtime()), tone)
