"""Long, turned and crowded images, and writing that no model here knows: read, or said not to be."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from core.records import Line, Pixels
from models.ocr.line_orientation import Turn, in_order
from models.ocr.parts import Detector, Quad, RecognisedText, Recogniser
from models.ocr.reader import OcrReader
from models.ocr.tiles import detect_in_tiles


def box(left: float, top: float, width: float = 100, height: float = 20) -> Quad:
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


class Rows(Detector):
    """Finds each black row, as high as it is."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def detect(self, image: Pixels) -> list[Quad]:
        self.shapes.append(image.shape)
        dark = np.flatnonzero(image[:, 0, 0] == 0)
        parts = np.split(dark, np.flatnonzero(np.diff(dark) > 1) + 1) if len(dark) else []
        return [box(0, part[0], image.shape[1], part[-1] + 1 - part[0]) for part in parts]


class Says(Recogniser):
    """Says the same of each crop."""

    least_confidence = 0.5
    sure = 0.9

    def __init__(self, text: str = "WORD", confidence: float = 1.0) -> None:
        self.answer = RecognisedText(text, confidence)
        self.asked = 0

    def recognise(self, crops: Sequence[Pixels]) -> list[RecognisedText]:
        self.asked += len(crops)
        return [self.answer for _ in crops]


def striped(height: int, width: int, every: int) -> Pixels:
    image = np.full((height, width, 3), 255, np.uint8)
    for top in range(10, height - 12, every):
        image[top : top + 10] = 0
    return image


@pytest.mark.parametrize("height", [300, 301, 1000, 2311])
def test_each_line_of_a_long_image_is_found_once(height: int) -> None:
    image = striped(height, 100, every=17)
    ((quads, reasons),) = detect_in_tiles(Rows(), [image])
    assert [quad[0, 1] for quad in quads] == list(range(10, height - 12, 17))
    assert {float(below - above) for (_, above), (_, below) in ((quad[0], quad[3]) for quad in quads)} == {10.0}
    assert reasons == []


def test_an_ordinary_image_is_looked_at_once() -> None:
    rows = Rows()
    detect_in_tiles(rows, [striped(250, 100, every=17)])
    assert rows.shapes == [(250, 100, 3)]


def test_images_together_have_the_lines_that_each_has_alone() -> None:
    images = [striped(height, 100, every=17) for height in (250, 1000, 40_000, 301)]
    found = detect_in_tiles(Rows(), images)
    alone = [detect_in_tiles(Rows(), [image])[0] for image in images]
    for (quads, reasons), (expected, expected_reasons) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(quads, expected)
        assert reasons == expected_reasons
    assert detect_in_tiles(Rows(), []) == []


def test_of_an_image_that_is_far_too_long_the_record_says_how_much_was_read() -> None:
    rows = Rows()
    ((_, (reason,)),) = detect_in_tiles(rows, [striped(40_000, 100, every=500)])
    assert len(rows.shapes) == 24
    assert "the first 4225 rows were read" in reason
    reading = OcrReader("fake", Rows(), Says()).one(striped(40_000, 100, every=500))
    assert reading.unread == reason


def test_of_a_crowd_of_lines_the_largest_are_read() -> None:
    image = striped(6000, 3000, every=20)
    image[3000:3100] = 0
    says = Says()
    reading = OcrReader("fake", Rows(), says).one(image)
    assert len(reading.lines) == says.asked == 200
    assert max(line.box[2][1] - line.box[0][1] for line in reading.lines) >= 100
    assert "lines were found, and the 200 largest were read" in reading.unread


def test_a_line_in_which_no_letter_is_known_is_not_read_and_not_nothing() -> None:
    assert "another script" in OcrReader("fake", Rows(), Says("", 0.0)).one(striped(200, 100, 40)).unread
    assert "another script" in OcrReader("fake", Rows(), Says("TO ΣIΔEPO")).one(striped(200, 100, 40)).unread
    assert OcrReader("fake", Rows(), Says()).one(striped(200, 100, 40)).unread == ""


@pytest.mark.parametrize(
    ("text", "is_lost"),
    [
        ("KHI BAN ĐÓI BNG", True),
        ("PŘÍLIŠ ŽLUOUČKÝ", True),
        ("GEŚLA", True),
        ("AĞLIYOR", True),
        ("DÉJÀ VU, ŒUVRE, ÜBER, ¿MAÑANA? ÅH NEJ", False),
        ("當然", False),
    ],
)
def test_where_letters_with_marks_may_be_lost_the_record_says_so(text: str, is_lost: bool) -> None:
    unread = OcrReader("fake", Rows(), Says(text)).one(striped(200, 100, 40)).unread
    assert ("letters with marks" in unread) is is_lost


def test_what_has_not_the_form_of_a_line_is_no_writing() -> None:
    wheel = np.full((200, 100, 3), 255, np.uint8)
    wheel[50:150] = 0
    assert OcrReader("fake", Rows(), Says("", 0.0)).one(wheel).unread == ""


def test_only_what_is_read_badly_is_tried_upside_down() -> None:
    good, bad = Says(), Says(confidence=0.7)
    OcrReader("fake", Rows(), good).one(striped(200, 100, 40))
    OcrReader("fake", Rows(), bad).one(striped(200, 100, 40))
    assert bad.asked == 2 * good.asked


TURNED: dict[Turn, list[Quad]] = {
    0: [box(0, 0), box(0, 40), box(0, 80)],
    90: [box(80, 0, 20, 100), box(40, 0, 20, 100), box(0, 0, 20, 100)],
    180: [box(0, 80), box(0, 40), box(0, 0)],
    270: [box(0, 0, 20, 100), box(40, 0, 20, 100), box(80, 0, 20, 100)],
}


@pytest.mark.parametrize("turn", TURNED)
def test_turned_lines_are_in_order_and_lie_where_they_lie(turn: Turn) -> None:
    quads = TURNED[turn]
    lines = [Line(str(place), 1.0, tuple((float(x), float(y)) for x, y in quad)) for place, quad in enumerate(quads)]
    shuffled: list[tuple[Line, Turn]] = [(lines[place], turn) for place in (1, 2, 0)]
    assert in_order(shuffled) == lines
    assert in_order([]) == []


def test_a_line_beside_an_image_does_not_turn_the_rest() -> None:
    level = [(Line(f"line {place}", 1.0, tuple(map(tuple, box(0, 40 * place).tolist()))), 0) for place in range(3)]
    beside = (Line("by me", 1.0, tuple(map(tuple, box(150, 0, 10, 100).tolist()))), 90)
    texts = [line.text for line in in_order([*level, beside])]
    assert all(texts.index(f"line {a}") < texts.index(f"line {b}") for a, b in pairwise(range(3)))


def drawn(*lines: str) -> Image.Image:
    image = Image.new("RGB", (480, 200), "white")
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(lines):
        draw.text((20, 30 + 60 * number), text, fill="black", font=ImageFont.load_default(32))
    return image


@pytest.mark.real
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_image_is_read(readers: dict[str, OcrReader], degrees: int) -> None:
    image = np.asarray(drawn("SOMEBODY HELD THE", "PHONE ASKEW").rotate(degrees, expand=True))
    assert readers["ppocr"].one(image).as_read == "SOMEBODY HELD THE\nPHONE ASKEW"


@pytest.mark.real
def test_a_long_chat_is_read_to_its_end(readers: dict[str, OcrReader]) -> None:
    image = Image.new("RGB", (400, 3000), "white")
    draw = ImageDraw.Draw(image)
    texts = [f"message number {number}" for number in range(10, 24)]
    for place, text in enumerate(texts):
        draw.text((20, 40 + 210 * place), text, fill="black", font=ImageFont.load_default(24))
    reading = readers["ppocr"].one(np.asarray(image))
    assert reading.as_read.splitlines() == texts
    assert reading.unread == ""
