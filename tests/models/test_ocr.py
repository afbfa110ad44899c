import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from memewax.records import Line, Pixels, Reading
from models.load import Models
from models.ocr import in_reading_order

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:'pin_memory' argument"),  # pytest forgets the filter that loading sets
]


def drawn(*lines: tuple[int, int, str], size: tuple[int, int] = (360, 200)) -> Pixels:
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for x, y, text in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(32))
    return np.asarray(picture)


def test_reads_clear_text_in_order(real: Models) -> None:
    reading = real.ocr.one(drawn((20, 20, "HOLIDAY IN PARIS"), (20, 140, "made with love")))
    assert reading.text == "holiday in paris. made with love. "
    assert reading.as_read == "HOLIDAY IN PARIS\nmade with love"
    top, bottom = reading.lines
    assert top.confidence > 0.5
    assert top.box[0][1] < bottom.box[0][1]
    assert all(type(number) is float for corner in top.box for number in corner)
    assert type(top.confidence) is float


def test_no_text_is_an_empty_reading(real: Models) -> None:
    assert real.ocr.one(np.full((120, 160, 3), 200, np.uint8)) == Reading()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2560), (2560, 3), (8, 8), (20, 2560), (1500, 9)])
def test_any_size(real: Models, shape: tuple[int, int]) -> None:
    assert real.ocr.one(np.full((*shape, 3), 90, np.uint8)) == Reading()


def test_says_nothing_while_it_loads_and_reads(tmp_path: Path) -> None:
    Image.fromarray(drawn((20, 20, "QUIET"))).save(tmp_path / "quiet.png")
    code = f"""
import numpy, PIL.Image
from memewax.settings import Settings
from models.torch_runtime import prepare
settings = Settings(device="cpu")
prepare(settings)
from models.ocr import EasyOcrReader
assert EasyOcrReader.load(settings, "cpu").one(numpy.asarray(PIL.Image.open({str(tmp_path / "quiet.png")!r}))).lines
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def _line(text: str, x: float, y: float) -> Line:
    return Line(text, 1.0, ((x, y), (x + 50, y), (x + 50, y + 20), (x, y + 20)))


def test_reading_order_is_by_rows() -> None:
    lines = [_line("d", 0, 60), _line("b", 100, 3), _line("a", 0, 0), _line("c", 200, 8), _line("e", 100, 55)]
    assert "".join(line.text for line in in_reading_order(lines)) == "abcde"


def test_memory_does_not_grow_with_the_shapes_of_pictures() -> None:
    code = """
import numpy, psutil
from memewax.settings import Settings
from models.torch_runtime import prepare
settings = Settings(device="cpu")
prepare(settings)
from models.ocr import EasyOcrReader
reader = EasyOcrReader.load(settings, "cpu")
resident = []
for height, width in numpy.random.default_rng(0).integers(200, 640, (16, 2)):
    reader.one(numpy.full((height, width, 3), 90, numpy.uint8))
    resident.append(psutil.Process().memory_info().rss / 2**20)
print(resident[-1] - resident[3])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 250  # megabytes; some 500 where every shape's kernels are kept
