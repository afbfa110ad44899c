"""What stands in a file beside its image: it costs little, whatever it is, and never hides the image."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from connectors.fetching.decode import decode
from connectors.fetching.image_metadata import orientation_of, strip_metadata
from connectors.fetching.outcomes import FetchError

RED, BLUE = (254, 0, 0), (0, 0, 254)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pixels(data: bytes) -> NDArray[np.uint8]:
    return decode(data, max_pixels=10**7, max_side=1000)


def chunk(name: bytes, body: bytes, crc: int | None = None) -> bytes:
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)
    )


def scene() -> Image.Image:
    """Soft noise, no two rows of which are alike."""
    noise = np.random.default_rng(3).integers(40, 255, (15, 20, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((200, 150))


SMALL = Image.new("RGB", (16, 16), RED)
PNG = encoded(SMALL)
LONG = 1_500_000
HUGE_EXIF = (
    b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 274, 5, LONG // 8, 26) + bytes(4) + bytes(LONG)
)  # an orientation of rational numbers


def with_chunk(body: bytes) -> bytes:
    return PNG[:33] + body + PNG[33:]


def gif_with(extension: bytes) -> bytes:
    data = encoded(SMALL, "GIF")
    head = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:head] + extension + data[head:]


def jpeg_with(segments: bytes) -> bytes:
    data = encoded(SMALL, "JPEG", quality=100, subsampling=0)
    return data[:2] + segments + data[2:]


def tiff_with(tag: int, kind: int, count: int) -> bytes:
    """One red pixel, and `tag` of `count` values behind it."""
    entries = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    lines = {it: struct.pack("<HHII", it, 3, 1, value) for it, value in entries.items()}
    behind = 10 + 2 + 12 * (len(lines) + 1) + 4
    lines[tag] = struct.pack("<HHII", tag, kind, count, behind)
    directory = b"".join(lines[it] for it in sorted(lines))
    return b"II*\0" + struct.pack("<I", 10) + b"\xff\0" + struct.pack("<H", len(lines)) + directory + bytes(4 + LONG)


HARMLESS = {
    "text of a wrong checksum": with_chunk(chunk(b"tEXt", b"Comment\0odd", crc=1)),
    "resolution of a wrong checksum": with_chunk(chunk(b"pHYs", bytes(9), crc=1)),
    "a name that is none": with_chunk(chunk(b"\xff\xfe\xfd\xfc", b"?")),
    "text that unpacks to 16 MB": with_chunk(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(2**24)))),
    "a profile that unpacks to 16 MB": with_chunk(chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2**24)))),
    "EXIF of 1.5 MB in a PNG": with_chunk(chunk(b"eXIf", HUGE_EXIF)),
    "EXIF of 1.5 MB in a WebP": encoded(SMALL, "WEBP", lossless=True, exif=HUGE_EXIF),
    "a comment of 1.5 MB in a GIF": gif_with(b"!\xfe" + (b"\xff" + b"a" * 255) * (LONG // 256) + b"\0"),
    "many comments in a JPEG": jpeg_with((b"\xff\xfe\x80\0" + bytes(0x7FFE)) * 90),
    "resolution of a TIFF in 187,500 numbers": tiff_with(282, 5, LONG // 8),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_no_pixel_needs_neither_costs_nor_hides_the_image(kind: str) -> None:
    image = pixels(HARMLESS[kind])
    if image.shape == (16, 16, 3):
        np.testing.assert_allclose(image[8, 8], RED, atol=3)
    else:
        assert image.shape == (1, 1, 3)


REFUSED = {
    "orientation in 187,500 numbers": (tiff_with(274, 5, LONG // 8), "tag 274 has 187500 values"),
    "the file itself as each of many tags": (tiff_with(320, 7, LONG), "tag 320"),
    "two million chunks": (with_chunk(chunk(b"teXt", b"") * 200_000), "chunks"),
    "empty segments": (jpeg_with(b"\xff\xfe\0\2" * 200_000), "segments"),
    "blocks of one byte": (gif_with(b"!\xfe" + b"\1a" * 200_000 + b"\0"), "blocks"),
    "a comment before a PPM's numbers": (b"P6 #" + b"a" * 2_000_000 + b"\n1 1 255\n\0\0\0", "small parts"),
    "boxes of nothing": (
        b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 8, b"free") * 300_000,
        "small parts",
    ),
    "numbers in words": (b"P3 2000 2000 255\n" + b"1 " * 2_200_000, "is slow to decode"),
    "BigTIFF": (b"II+\0" + bytes(100), "BigTIFF"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_costs_more_than_any_image_is_refused(kind: str) -> None:
    data, reason = REFUSED[kind]
    with pytest.raises(FetchError, match=reason):
        pixels(data)


def test_scans_times_pixels_are_bounded() -> None:
    data = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(FetchError, match="scans"):
        decode(data[:-2] + last * 70 + b"\xff\xd9", max_pixels=2 * 10**7, max_side=500)


@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_kind_lies_as_its_exif_says(form: str, orientation: int) -> None:
    image = scene()
    exif = Image.Exif()
    exif[274] = orientation
    found = pixels(encoded(image, form, exif=exif)).astype(int)
    expected = pixels(encoded(image, form)).astype(int)
    turned = {
        2: expected[:, ::-1],
        3: expected[::-1, ::-1],
        4: expected[::-1],
        5: expected.transpose(1, 0, 2),
        6: np.rot90(expected, -1),
        7: np.rot90(expected, 2).transpose(1, 0, 2),
        8: np.rot90(expected),
    }.get(orientation, expected)
    assert found.shape == turned.shape
    assert np.abs(found - turned).mean() < 8


def test_exif_that_is_damaged_says_nothing() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = exif.tobytes()
    assert orientation_of(data) == 6
    for end in range(len(data)):
        assert orientation_of(data[:end]) in {1, 6}


def animated(hidden: bool, frame: Image.Image, at: tuple[int, int], still: Image.Image) -> bytes:
    """An APNG of one frame, whose image for other programs is the frame itself or not."""
    body = packed_rows(still)
    control = struct.pack(">5IHHBB", 0, *frame.size, *at, 1, 10, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *still.size, 8, 2, 0, 0, 0))
    moving = chunk(b"acTL", struct.pack(">II", 1, 0))
    if not hidden:
        return head + moving + chunk(b"fcTL", control) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    frames = chunk(b"fcTL", control) + chunk(b"fdAT", struct.pack(">I", 1) + packed_rows(frame))
    return head + moving + chunk(b"IDAT", body) + frames + chunk(b"IEND", b"")


def packed_rows(image: Image.Image) -> bytes:
    """The packed rows."""
    rows = np.asarray(image)
    return zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))


def test_of_an_apng_the_first_frame_is_taken_and_not_what_other_programs_show() -> None:
    first, other = Image.new("RGB", (16, 16), RED), Image.new("RGB", (16, 16), BLUE)
    assert pixels(animated(hidden=True, frame=first, at=(0, 0), still=other))[8, 8].tolist() == list(RED)
    assert pixels(animated(hidden=False, frame=first, at=(0, 0), still=first))[8, 8].tolist() == list(RED)


def test_a_first_frame_that_is_a_part_lies_in_its_place() -> None:
    part, other = Image.new("RGB", (4, 4), RED), Image.new("RGB", (16, 16), BLUE)
    image = pixels(animated(hidden=True, frame=part, at=(8, 2), still=other))
    assert image.shape == (16, 16, 3)
    assert image[3, 9].tolist() == list(RED)
    assert image[12, 1].tolist() == [255, 255, 255]


CUT = {
    "PNG": {},
    "JPEG": {"quality": 90},
    "JPEG in scans": {"quality": 90, "progressive": True},
    "GIF": {},
    "WEBP": {},
    "WEBP without loss": {"lossless": True},
    "BMP": {},
    "PPM": {},
    "TIFF": {},
}


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("percent", [0, 1, 10])
def test_a_file_that_is_cut_is_an_image_as_far_as_it_goes(kind: str, percent: int) -> None:
    data = encoded(scene(), kind.partition(" ")[0], **CUT[kind])
    whole = pixels(data).astype(int)
    found = pixels(data[: -max(2, len(data) * percent // 100)]).astype(int)
    assert found.shape == whole.shape
    same = np.abs(found - whole).mean(axis=(1, 2)) < 12
    assert same.mean() > 0.8


@pytest.mark.parametrize("kind", [it for it in CUT if it != "JPEG in scans"])
def test_of_a_file_that_is_half_missing_the_reason_is_told(kind: str) -> None:
    data = encoded(scene(), kind.partition(" ")[0], **CUT[kind])
    with pytest.raises(FetchError, match="broken"):
        pixels(data[: len(data) // 2])


def test_a_file_of_an_unknown_kind_is_left_alone() -> None:
    assert strip_metadata(b"anything").data == b"anything"


def sticker(colour: tuple[int, int, int], edge: tuple[int, int, int] | None = None) -> Image.Image:
    """Bars as letters are, on a clear ground."""
    image = Image.new("RGBA", (100, 60), (0, 0, 0, 0))
    for left in range(5, 95, 10):
        if edge is not None:
            image.paste((*edge, 255), (left - 2, 8, left + 6, 52))
        image.paste((*colour, 255), (left, 10, left + 4, 50))
    return image


WHITE, BLACK, YELLOW = (255, 255, 255), (0, 0, 0), (255, 255, 0)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize(
    ("image", "ground"),
    [
        (sticker(WHITE), BLACK),
        (sticker(YELLOW), BLACK),
        (sticker(BLACK), WHITE),
        (sticker(RED), WHITE),
        (sticker(WHITE, BLACK), WHITE),
        (sticker(BLACK, WHITE), BLACK),
        (Image.new("RGBA", (9, 9), (255, 255, 255, 0)), WHITE),
    ],
)
def test_what_is_light_is_seen_on_a_clear_ground(image: Image.Image, ground: tuple[int, ...], form: str) -> None:
    assert pixels(encoded(image, form, lossless=True))[0, 0].tolist() == list(ground)


def test_light_and_dark_are_both_seen_on_a_clear_ground() -> None:
    both = Image.new("RGBA", (200, 60))
    both.paste(sticker(WHITE), (0, 0))
    both.paste(sticker(BLACK), (100, 0))
    assert pixels(encoded(both))[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_a_clear_ground_of_every_kind_counts(mode: str) -> None:
    image = sticker(WHITE).convert("LA")
    if mode == "P":
        alpha = np.asarray(image)[:, :, 1]
        image = Image.fromarray((alpha > 0).astype(np.uint8), "P")
        image.putpalette([9, 9, 9, 255, 255, 255])
        image.info["transparency"] = 0
    assert pixels(encoded(image))[0, 0].tolist() == [0, 0, 0]
