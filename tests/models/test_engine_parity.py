"""Every plan that can run a part here answers as the exact one does, within what is tolerated."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.errors import WeightsError
from core.extras import needs_extra
from dataflows.all_settings import Settings
from models import denormals
from models.denormals import flush_denormals
from models.engine import Plan
from models.engine_choice import EnginePart, try_all
from models.engines import plans
from models.identity import is_same
from models.image_graph import image_graph
from models.ocr.db import DETECTOR_FILE
from models.ocr.ocr_engines import ocr_parts, open_detector
from models.ocr.quantization import quantized
from models.processor import has_instructions_for, processor
from models.real_models import real_image, real_ocr
from models.runtime import Runtime
from models.trial_images import trial_images
from models.vit import EXACT, VitEmbedder
from models.vit_engines import image_part
from models.weights import image_weights, ocr_weights
from tests.models.test_vit import ARCHITECTURES, tiny_vit

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def tiny_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("tiny-engines")
    preprocessor, config, _ = ARCHITECTURES["vit"]
    vit = tiny_vit(folder / "tiny", "vit", preprocessor, **config)
    return Settings(vit=vit, models_cache=folder / "cache", device="cpu", threads=1, ocr_canvas=320)


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are enough to tell whether an engine works at all."""
    monkeypatch.setattr("models.engine_choice._ROUNDS", 1)
    monkeypatch.setattr("models.engine_choice._MOST_ROUNDS", 1)
    for where in ("models.vit_engines", "models.ocr.ocr_engines"):
        monkeypatch.setattr(f"{where}.trial_images", lambda: trial_images()[:2])


def parts(settings: Settings) -> list[EnginePart]:
    runtime = Runtime()
    return [image_part(image_weights(settings), settings, runtime), *ocr_parts(settings, runtime)]


@pytest.mark.parametrize("place", range(3), ids=["image", "detector", "recogniser"])
def test_what_is_there_answers_as_the_exact_one(place: int, tiny_settings: Settings) -> None:
    part = parts(tiny_settings)[place]
    tried = [plan for plan in part.others if plan in plans("cpu")]
    assert tried
    trials = try_all(part, tried, rounds=1)
    assert [it.plan for it in trials] == [part.exact, *tried]
    for it in trials:
        assert it.apart is not None, it.refused
        if it.plan.precision == "fp32":
            assert it.apart <= 1e-5
        else:  # of random weights, which are harder to round than those of DINOv2
            assert it.apart <= 5 * part.tolerance, it.plan


def test_what_is_not_near_is_told_apart(tiny_settings: Settings) -> None:
    image, detector, recogniser = parts(tiny_settings)
    eye = list(np.eye(4, dtype=np.float32))
    assert image.apart(eye, eye) == 0
    assert image.apart(eye[::-1], eye) == 1
    half = [np.array([[True, False]])]
    assert detector.apart(half, [~half[0]]) == 1
    assert detector.apart(half, half) == 0
    assert recogniser.apart(["abcd"], ["abcx"]) == pytest.approx(0.25)
    assert recogniser.apart(["abcd"], ["abcd"]) == 0


def test_a_model_of_any_precision_has_one_identity(tiny_settings: Settings) -> None:
    image = trial_images()[0].pixels
    models = [
        real_image(tiny_settings.model_copy(update={"precision": it}), Runtime()) for it in ("exact", "auto", "int8")
    ]
    names = {model.name for model in models}
    assert len(names) == 1
    assert models[0].recorded_name == f"{models[0].name} (torch exact)"
    for model in models:
        assert model.recorded_name == f"{model.name} ({model.engine} {model.precision})"
        assert is_same(model.recorded_name, models[0].name)
        assert float(model.one(image) @ models[0].one(image)) > 0.95
    assert not is_same(models[0].recorded_name, "tiny@00000000.00000000 (torch exact)")


def test_ocr_reads_the_same_by_any_engine(tiny_settings: Settings) -> None:
    image = Image.new("RGB", (360, 160), "white")
    for y, text in ((20, "HOLIDAY PLANS"), (90, "none so far")):
        ImageDraw.Draw(image).text((20, y), text, fill="black", font=ImageFont.load_default(32))
    pixels = np.asarray(image)
    for precision in ("exact", "auto"):
        reader = real_ocr(tiny_settings.model_copy(update={"precision": precision}), Runtime())
        assert reader.one(pixels).as_read == "HOLIDAY PLANS\nnone so far"
        assert is_same(reader.recorded_name, reader.name)


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_what_an_engine_answered_stays_and_is_shown_without_a_copy(engine: str, tiny_settings: Settings) -> None:
    file = ocr_weights(tiny_settings, "ppocr").path / DETECTOR_FILE
    session = Runtime().by(Plan(engine, "fp32")).session(file)
    dark, light = (np.full((1, 3, 64, 64), value, np.float32) for value in (-1, 1))
    (first,) = session.run({"x": dark})
    before = first.copy()
    (second,) = session.run({"x": light})
    np.testing.assert_array_equal(first, before)
    assert not np.array_equal(first, second)
    with ThreadPoolExecutor(4) as pool:  # each is read before the next one is computed
        seen = list(pool.map(lambda it: session.read({"x": it}, lambda found: found[0].copy()), [dark, light] * 8))
    for number, answer in enumerate(seen):
        np.testing.assert_allclose(answer, (first, second)[number % 2], atol=1e-6)


def test_a_detector_of_8_bits_is_made_once(tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, image = ocr_weights(tiny_settings, "ppocr"), trial_images()[0].pixels

    def text_by(plan: Plan) -> NDArray[np.bool_]:
        return open_detector(weights, tiny_settings, Runtime(), plan).text_of(image)

    found, expected = text_by(Plan("onnx", "int8")), text_by(Plan("onnx", "exact"))
    assert expected.any()
    assert (found ^ expected).sum() <= 0.1 * (found | expected).sum()
    monkeypatch.setattr("models.ocr.quantization._quantize", lambda *_: pytest.fail("made twice"))
    assert (text_by(Plan("onnx", "int8")) == found).all()


def test_what_is_no_network_is_not_written_in_8_bits(tiny_settings: Settings, tmp_path: Path) -> None:
    settings = tiny_settings.model_copy(update={"models_cache": tmp_path / "cache"})
    (file := tmp_path / "some.onnx").write_bytes(b"no graph\n")
    with pytest.raises(WeightsError, match=r"some\.onnx cannot be quantized to int8") as caught:
        quantized(file, ocr_weights(settings, "ppocr"), settings, tuple)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_a_graph_that_gives_other_numbers_is_refused(
    tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.image_graph._TOLERANCE", -1.0)
    settings = tiny_settings.model_copy(update={"models_cache": tmp_path})
    with pytest.raises(WeightsError, match="as an ONNX graph gives other numbers"):
        image_graph(image_weights(settings), 32, settings, Runtime())
    assert not list(tmp_path.iterdir())


def test_no_size_depends_on_a_condition(tiny_settings: Settings) -> None:
    """OpenVINO reads conditions as false on processors without AVX-512, if small numbers are zero."""
    file = image_graph(image_weights(tiny_settings), 32, tiny_settings, Runtime())
    assert {"Where", "Expand"} & {node.op_type for node in onnx.load(str(file)).graph.node} == {"Expand"}


def test_a_model_that_cannot_be_a_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    preprocessor, config, _ = ARCHITECTURES["mobilevitv2"]  # its folding of patches is unknown to the exporter
    settings = Settings(
        vit=tiny_vit(tmp_path / "tiny", "mobilevitv2", preprocessor, **config), models_cache=tmp_path / "cache"
    )
    with pytest.raises(WeightsError, match="tiny cannot be exported to ONNX") as caught:
        image_graph(image_weights(settings), 64, settings, Runtime())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", [it for it in ARCHITECTURES if it != "mobilevitv2"])
def test_other_architectures_become_graphs(architecture: str, tmp_path: Path, noise: np.random.Generator) -> None:
    preprocessor, config, _ = ARCHITECTURES[architecture]
    folder = tiny_vit(tmp_path / "tiny", architecture, preprocessor, **config)
    settings = Settings(vit=folder, models_cache=tmp_path / "cache", device="cpu", threads=1)
    weights = image_weights(settings)
    images = [noise.integers(0, 256, (height, 50, 3), dtype=np.uint8) for height in (20, 40, 60)]
    found = VitEmbedder(weights, Runtime(), settings, Plan("onnx", "fp32")).describe(images)
    exact = VitEmbedder(weights, Runtime(), settings, EXACT).describe(images)
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
        assert (one.patches is None) == (other.patches is None)


def test_what_would_compute_on_a_card_answers_the_same_by_the_cpu_s_provider(tiny_settings: Settings) -> None:
    weights, image = image_weights(tiny_settings), trial_images()[0].pixels
    on_card = Runtime("cuda")
    found = VitEmbedder(weights, on_card, tiny_settings, Plan("onnx", "fp32")).one(image)
    np.testing.assert_allclose(found, VitEmbedder(weights, Runtime(), tiny_settings, EXACT).one(image), atol=1e-3)
    image, detector, recogniser = (
        image_part(weights, tiny_settings, on_card),
        *ocr_parts(tiny_settings, on_card),
    )
    engines = {plan.engine for part in (image, detector, recogniser) for plan in part.others}
    assert engines == {"onnx", "torch", "tensorrt"}
    assert "int8" not in {plan.precision for part in (image, detector, recogniser) for plan in part.others}
    for part, on_cpu in zip((detector, recogniser), ocr_parts(tiny_settings, Runtime()), strict=True):
        plan = Plan("onnx", "fp32")
        assert part.apart(part.load(plan)(), on_cpu.load(on_cpu.exact)()) <= part.tolerance


@pytest.mark.parametrize("by_torch", [False, True])
def test_numbers_too_small_to_matter_are_zero_inside_the_block_alone(
    by_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_torch:  # on other systems
        monkeypatch.setattr(denormals, "_maths", lambda: None)
    tiny = np.full(1, 1e-39, np.float32)

    def doubled() -> float:
        return float((tiny * 2).sum())

    with ThreadPoolExecutor(1) as pool:
        expected = pool.submit(doubled).result()  # by a thread that is there before: new ones compute as the old one
        with flush_denormals():
            inside, beside = doubled(), pool.submit(doubled).result()
    assert (beside, doubled()) == (expected, expected)
    assert inside in {0.0, expected}  # a processor that cannot computes as ever


def test_the_images_are_always_the_same_and_hold_lines() -> None:
    found = trial_images()
    assert len(found) == 8
    assert all(max(it.pixels.shape) <= 512 and len(it.lines) == 2 for it in found)
    before = [it.pixels.sum() for it in found]
    trial_images.cache_clear()
    assert [it.pixels.sum() for it in trial_images()] == before


def test_images_that_are_not_installed_are_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    trial_images.cache_clear()
    monkeypatch.setattr("models.trial_images.package_folder", lambda _: None)
    assert len({it.pixels.tobytes() for it in trial_images()}) == 8
    trial_images.cache_clear()


def test_the_processor_is_named_and_has_float32() -> None:
    assert processor()
    assert has_instructions_for("fp32")
    assert has_instructions_for("exact")


def test_a_processor_without_short_numbers_has_bf16_and_int8_by_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.processor._facts", lambda: {"model name": "An older one", "flags": "sse4_2 avx2 fma"})
    assert {plan.precision for plan in plans("cpu")} == {"exact", "fp32"}
    assert processor() == "An older one"


def test_an_engine_of_an_extra_is_named_with_it() -> None:
    with pytest.raises(Exception, match=r"pip install 'memewax\[openvino\]'"), needs_extra("openvino", "it"):
        raise ModuleNotFoundError(name="openvino")
