import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.records import Pixels, Reading
from models.ocr.reader import OcrReader
from tests.models.conftest import ARRANGEMENTS

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:'pin_memory' argument"),  # pytest forgets the filter that loading sets
]


@pytest.fixture(params=ARRANGEMENTS)
def reader(request: pytest.FixtureRequest, readers: dict[str, OcrReader]) -> OcrReader:
    return readers[request.param]


def drawn(*lines: tuple[int, int, str], size: tuple[int, int] = (360, 200)) -> Pixels:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y, text in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(32))
    return np.asarray(image)


def test_reads_clear_text_in_order(reader: OcrReader) -> None:
    reading = reader.one(drawn((20, 20, "HOLIDAY IN PARIS"), (20, 140, "made with love")))
    assert reading.text == "holiday in paris. made with love. "
    assert reading.as_read == "HOLIDAY IN PARIS\nmade with love"
    top, bottom = reading.lines
    assert 0.5 < top.confidence <= 1
    assert top.box[0][1] < bottom.box[0][1]
    assert all(type(number) is float for corner in top.box for number in corner)
    assert type(top.confidence) is float


@pytest.mark.parametrize(
    "text",
    [
        "#ThrowbackThursday #nofilter",
        "https://example.org/a-b_c?d=1",
        "someone@example.com",
        "McDonald MacArthur O'Neill",
        "JavaScript iPhone YouTube PayPal",
        "supercalifragilisticexpialidocious",
        "notwithstanding nevertheless",
        "3,200,000 9:05 COVID-19",
        "AT&T R2-D2 C-3PO",
    ],
)
@pytest.mark.parametrize("size", [20, 28])
def test_no_space_comes_into_words_names_tags_and_addresses(
    readers: dict[str, OcrReader], text: str, size: int
) -> None:
    image = Image.new("RGB", (620, 2 * size), "white")
    ImageDraw.Draw(image).text((20, size // 2), text, fill="black", font=ImageFont.load_default(size))
    assert len(readers["ppocr"].one(np.asarray(image)).as_read.split()) == len(text.split())


def test_boxes_lie_around_their_text(reader: OcrReader) -> None:
    (line,) = reader.one(drawn((60, 80, "HOLIDAY"))).lines
    left, top, right, bottom = 60, 88, 200, 112  # of the letters, about
    assert [abs(x - wanted) < 16 for (x, _), wanted in zip(line.box, (left, right, right, left), strict=True)] == [
        1
    ] * 4
    assert [abs(y - wanted) < 16 for (_, y), wanted in zip(line.box, (top, top, bottom, bottom), strict=True)] == [
        1
    ] * 4


def test_large_images_are_read_at_the_detector_s_size(reader: OcrReader) -> None:
    small = Image.fromarray(drawn((20, 20, "HOLIDAY IN PARIS")))
    (line,) = reader.one(np.asarray(small.resize((2520, 1400)))).lines
    assert line.text == "HOLIDAY IN PARIS"
    assert line.box[2][0] > 1400


def test_no_text_is_an_empty_reading(reader: OcrReader) -> None:
    assert reader.one(np.full((120, 160, 3), 200, np.uint8)) == Reading()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2560), (2560, 3), (8, 8), (20, 2560), (1500, 9)])
def test_any_size(reader: OcrReader, shape: tuple[int, int]) -> None:
    assert reader.one(np.full((*shape, 3), 90, np.uint8)).lines == ()


def test_the_name_says_which_engines_read(readers: dict[str, OcrReader]) -> None:
    for arrangement, reader in readers.items():
        assert [part.partition("@")[0] for part in reader.name.split("+")] == arrangement.split("+")


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    start = """
import sys, numpy, psutil, PIL.Image
from dataflows.all_settings import Settings
from models.runtime import Runtime
from models.ocr.arrangement import load_reader
settings = Settings(device="cpu", ocr=sys.argv[1])
reader = load_reader(settings, Runtime.of(settings))
"""
    return subprocess.run([sys.executable, "-c", start + code, *arguments], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("arrangement", ["ppocr", "easyocr"])
def test_it_says_nothing_and_its_memory_does_not_grow_with_the_shapes_of_images(
    tmp_path: Path, arrangement: str
) -> None:
    Image.fromarray(drawn((20, 20, "QUIET"))).save(tmp_path / "quiet.png")
    code = """
assert reader.one(numpy.asarray(PIL.Image.open(sys.argv[2]))).lines
resident = []
for height, width in numpy.random.default_rng(0).integers(100, 320, (16, 2)):
    reader.one(numpy.full((height, width, 3), 90, numpy.uint8))
    resident.append(psutil.Process().memory_info().rss / 2**20)
print(resident[-1] - resident[3])
"""
    done = _run(code, arrangement, str(tmp_path / "quiet.png"))
    assert done.stderr == ""
    (grown,) = done.stdout.splitlines()
    assert float(grown) < 160  # megabytes; some 230 where every shape's kernels are kept, 90 as it is
