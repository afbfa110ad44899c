"""Named-entity recognition and sentiment analysis by Hugging Face transformers models trained for these tasks."""

from typing import Any, Final

from core.errors import WeightsError
from core.records import Sentiment
from models.entities import EntityFinder, Span
from models.runtime import Runtime
from models.sentiment import SentimentModel
from models.torch_runtime import Torch
from models.weights import Weights

LEAST_SCORE: Final = 0.75
"""Entities with a lower score are left out, as in the first version of memewax."""

_STRIDE: Final = 32
"""Tokens by which the windows of a long text overlap."""

_MOODS: Final = ("negative", "neutral", "positive")
_UNNAMED: Final = {2: ("negative", "positive"), 3: _MOODS}
"""Meaning of LABEL_0, LABEL_1, … by the number of labels: the order of models trained on SST-2 and of cardiffnlp's."""
_STARS: Final = {"1": "negative", "2": "negative", "3": "neutral", "4": "positive", "5": "positive"}


class TransformersEntities(EntityFinder):
    """A token classifier with its own labels (mostly PER, LOC, ORG, MISC); word pieces are aggregated to words."""

    batch_size = 8
    engine = Torch.name

    def __init__(self, weights: Weights, runtime: Runtime) -> None:
        """Load `weights`; raises `WeightsError` if they were not trained for it."""
        self.name = weights.label
        options = {"aggregation_strategy": "first", "stride": _STRIDE}
        self._pipeline = _pipeline("token-classification", weights, runtime, **options)

    def spans(self, texts: list[str]) -> list[list[Span]]:
        """Find the entities with a score above `LEAST_SCORE` in each text, of any length."""
        if not any(texts):
            return [[] for _ in texts]
        full = [text for text in texts if text.strip()]
        found = iter(self._pipeline(full, batch_size=self.batch_size))
        return [
            [
                (int(it["start"]), int(it["end"]), str(it["entity_group"]))
                for it in next(found)
                if it["score"] > LEAST_SCORE
            ]
            if text.strip()
            else []
            for text in texts
        ]


class TransformersSentiment(SentimentModel):
    """A text classifier: shares are its probabilities, compound is positive minus negative, rounded to 4 digits."""

    batch_size = 16
    engine = Torch.name

    def __init__(self, weights: Weights, runtime: Runtime) -> None:
        """Load `weights`; raises `WeightsError` if they were not trained for it."""
        self.name = weights.label
        options = {"top_k": None, "truncation": True, "function_to_apply": "softmax"}
        self._pipeline = _pipeline("text-classification", weights, runtime, **options)
        labels = list(self._pipeline.model.config.id2label.values())
        self._moods = moods(labels)
        if {"negative", "positive"} - set(self._moods.values()):
            raise WeightsError(f"{weights.path} lacks labels for negative and positive: its labels are {labels}")

    def score(self, texts: list[str]) -> list[Sentiment]:
        """Compute the sentiment of each text; a text longer than the model's input is truncated."""
        return [self._of(scores) for scores in self._pipeline(texts, batch_size=self.batch_size)]

    def _of(self, scores: list[dict[str, Any]]) -> Sentiment:
        shares = dict.fromkeys(_MOODS, 0.0)
        for it in scores:
            shares[self._moods[it["label"]]] += float(it["score"])
        compound = round(shares["positive"] - shares["negative"], 4)
        return Sentiment(**{mood: round(share, 4) for mood, share in shares.items()}, compound=compound)


def moods(labels: list[str]) -> dict[str, str]:
    """Map each label to negative, neutral or positive; raises `WeightsError` if one means none of them."""
    found = {label: _mood(label, len(labels)) for label in labels}
    unknown = [label for label, mood in found.items() if mood is None]
    if unknown:
        raise WeightsError(
            f"labels that are not a sentiment: {', '.join(unknown)}; expected negative, neutral or positive"
        )
    return {label: mood for label, mood in found.items() if mood}


def _mood(label: str, count: int) -> str | None:
    lowered = label.lower()
    if lowered.startswith("label_") and count in _UNNAMED:
        return _UNNAMED[count][int(lowered.removeprefix("label_"))]
    if "star" in lowered:
        return _STARS.get(lowered[:1])
    return next((mood for mood in _MOODS if mood[:3] in lowered), None)


def _pipeline(task: str, weights: Weights, runtime: Runtime, **options: Any) -> Any:
    with runtime.transformers() as transformers:
        is_tokens = task.startswith("token")
        kind = (
            transformers.AutoModelForTokenClassification
            if is_tokens
            else transformers.AutoModelForSequenceClassification
        )
        try:
            model, info = kind.from_pretrained(weights.path, local_files_only=True, output_loading_info=True)
            tokenizer = transformers.AutoTokenizer.from_pretrained(weights.path, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise WeightsError(f"transformers cannot load {weights.path} as a model for {task}: {error}") from error
        if info["missing_keys"]:  # transformers would initialise these at random
            raise WeightsError(
                f"{weights.path} was not trained for {task}: it lacks {', '.join(sorted(info['missing_keys']))}"
            )
        longest = int(getattr(model.config, "max_position_embeddings", 0)) or 512
        # RoBERTa reserves two positions; some tokenizers have no limit at all.
        taken = 2 * (model.config.model_type == "roberta")
        tokenizer.model_max_length = min(tokenizer.model_max_length, longest - taken)
        return transformers.pipeline(task, model=model.eval(), tokenizer=tokenizer, device=runtime.device, **options)
